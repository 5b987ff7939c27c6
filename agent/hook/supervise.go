package hook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/agent/control"
	"github.com/recfleet/recfleet/internal/filelock"
)

const (
	// minRestart is the pause before the agent is started again, maxKilled what it grows to where the agent is being killed, and
	// maxFailed where it fails by itself.
	minRestart = 100 * time.Millisecond
	maxKilled  = 500 * time.Millisecond
	maxFailed  = 5 * time.Second
	// steadyAfter is how long an agent must have run for the pause to be short again.
	steadyAfter = 10 * time.Second
	// reachPatience is how long a stop is tried over the socket before the agent gets a signal.
	reachPatience = 500 * time.Millisecond
)

// Supervisor runs the agent as a child and starts it again whenever it did not end in order.
type Supervisor struct {
	// Program is the agent's path, Args its arguments; it is given the write end of a pipe as file 3, for Report.
	Program string
	Args    []string
	// Again is added to the arguments of an agent that goes on with a recording.
	Again    string
	SpoolDir string
	// Settings is the file that is there for as long as the agent is to run: it removes it when it ends in order.
	Settings string
	// Ready is the way to the hook; nil where none waits: then a recording that was begun is gone on with.
	Ready  io.WriteCloser
	Logger hclog.Logger
}

// Run keeps the agent running: one that is killed, or hangs, is started again, and one that another supervisor left behind is
// watched over. It blocks until the agent has ended in order, could not begin, was to stop, or ctx is done; then it has the agent
// stop and waits for it. It returns the exit code that the agent ended with. While another supervisor has the spool, it fails with
// filelock.ErrHeld.
func (s Supervisor) Run(ctx context.Context) (code int, err error) {
	lock, err := filelock.Take(filepath.Join(s.SpoolDir, SupervisorLock))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	told := s.Ready == nil
	if told && !s.wanted() {
		return 0, nil
	}
	for pause := minRestart; ; pause *= 2 {
		began := time.Now()
		var e ending
		if told && Held(s.SpoolDir, AgentLock) {
			e = s.adopt(ctx)
		} else if e, err = s.once(ctx, &told); err != nil {
			return 0, err
		}
		if s.over(ctx, e, told) {
			return e.code, nil
		}
		limit := maxFailed
		if e.killed {
			limit = maxKilled
		}
		if time.Since(began) > steadyAfter {
			pause = minRestart
		}
		pause = min(pause, limit)
		s.Logger.Error("agent restarted", "exit", e.how, "pause", pause)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return e.code, nil
		case <-timer.C:
		}
	}
}

// ending is how an agent ended.
type ending struct {
	code   int
	killed bool
	how    string
	failed bool // it told of an error
}

// over reports whether it need not be started again.
func (s Supervisor) over(ctx context.Context, e ending, told bool) bool {
	_, ordered := control.StopOrdered(s.SpoolDir)
	switch {
	case e.code == 0 && !e.killed, !s.wanted(), ctx.Err() != nil:
		return true
	case e.failed && !told: // it never recorded, and whoever waits knows why
		return true
	case ordered && !e.killed: // it gave up what it could not hand over
		return true
	}
	return false
}

// wanted reports whether the agent is to run: it has not ended in order.
func (s Supervisor) wanted() bool {
	_, err := os.Stat(s.Settings)
	return err == nil
}

// once runs the agent until it ends. told is set once the hook knows that it records.
func (s Supervisor) once(ctx context.Context, told *bool) (ending, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return ending{}, fmt.Errorf("launch agent: %w", err)
	}
	defer func() { _ = r.Close() }()
	args := slices.Clone(s.Args)
	if *told {
		args = append(args, s.Again)
	}
	cmd := exec.Command(s.Program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = "/", os.Stdout, os.Stderr, []*os.File{w}
	if err := cmd.Start(); err != nil {
		return ending{}, errors.Join(fmt.Errorf("launch agent: %w", err), w.Close())
	}
	_ = w.Close()
	var group sync.WaitGroup
	running, ended := context.WithCancel(context.WithoutCancel(ctx))
	group.Go(func() {
		select {
		case <-running.Done():
		case <-ctx.Done():
			s.stop(running, cmd.Process.Signal)
		}
	})
	group.Go(func() { s.guard(running, cmd.Process.Kill) })
	var e ending
	if ready, err := readReady(r); err == nil {
		e.failed = ready.Error != ""
		s.tell(ready, told)
	}
	_ = cmd.Wait() // how it ended is judged below
	ended()
	group.Wait()
	e.code, e.how = cmd.ProcessState.ExitCode(), cmd.ProcessState.String()
	if st, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		e.killed = st.Signaled()
	}
	return e, nil
}

// tell passes on the first thing that is worth telling the hook.
func (s Supervisor) tell(r Ready, told *bool) {
	if *told || s.Ready == nil {
		*told = *told || r.Error == ""
		return
	}
	*told = r.Error == ""
	if err := Report(s.Ready, r); err != nil {
		s.Logger.Warn("hook not told", "error", err)
	}
}

// stop asks the running agent to stop: over its socket, so that one that has got a signal of its own does not take this for the second,
// and by signal where it does not listen yet.
func (s Supervisor) stop(running context.Context, signal func(os.Signal) error) {
	if err := control.OrderStop(s.SpoolDir, "stopped by signal"); err != nil {
		s.Logger.Warn("stop not noted", "error", err)
	}
	patience := time.NewTimer(reachPatience)
	defer patience.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := control.Stop(running, s.SpoolDir, "stopped by signal", 0); !errors.Is(err, control.ErrNotRunning) {
			return
		}
		select {
		case <-running.Done():
			return
		case <-patience.C:
			_ = signal(syscall.SIGTERM) // it may have just ended
			return
		case <-tick.C:
		}
	}
}
