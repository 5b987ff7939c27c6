package hook

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"
)

const (
	// keepEvery is how often an agent looks for its supervisor.
	keepEvery = 500 * time.Millisecond
	// relaunchEvery is the least time between two launches of a supervisor.
	relaunchEvery = 2 * time.Second
	// unitGrace is how long systemd may take to start the supervisor again.
	unitGrace = 3 * time.Second
)

// Keeper is the agent's part of the pair: it sees to it that there is a supervisor.
type Keeper struct {
	// Program is the supervisor's path, Args its arguments.
	Program  string
	Args     []string
	SpoolDir string
	// Unit says that systemd is to start it again; it is given some time for that.
	Unit   bool
	Logger hclog.Logger
}

// Run looks until ctx is done. Where the supervisor is gone before begun is closed, whoever waits for the recording has been told that
// there is none: abandon is called instead, once.
func (k Keeper) Run(ctx context.Context, begun <-chan struct{}, abandon func()) {
	tick := time.NewTicker(keepEvery)
	defer tick.Stop()
	var lost, launched time.Time
	child := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if child != 0 {
			if pid, _ := unix.Wait4(child, nil, unix.WNOHANG, nil); pid == child {
				child = 0
			}
		}
		now := time.Now()
		if Held(k.SpoolDir, SupervisorLock) {
			lost = time.Time{}
			continue
		}
		if lost.IsZero() {
			lost = now
		}
		select {
		case <-begun:
		default:
			k.Logger.Error("supervisor lost before anything was recorded")
			abandon()
			return
		}
		if k.Unit && now.Sub(lost) < unitGrace || now.Sub(launched) < relaunchEvery || child != 0 && now.Sub(launched) < 5*relaunchEvery {
			continue
		}
		launched = now
		var err error
		if child, err = k.launch(); err != nil {
			k.Logger.Error("supervisor not launched", "error", err)
			continue
		}
		k.Logger.Warn("supervisor lost, another is launched", "pid", child)
	}
}

// launch starts a supervisor that outlives this process, in a session of its own.
func (k Keeper) launch() (int, error) {
	cmd := exec.Command(k.Program, k.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "/", os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	return cmd.Process.Pid, cmd.Process.Release()
}
