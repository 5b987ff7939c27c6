// Package hook holds what the platform's start and stop hooks do: launch the agent as a process of its own and wait until it
// records, keep it running, stop it and wait until it is done.
//
// In come a checked configuration and a time to wait; out comes a session that is being recorded, or the reason why not and
// no process left behind. What always holds: both may be called twice, out of order, and while the other runs; no secret
// stands in an argument list; of a supervisor and its agent either one brings back the other.
package hook

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"
)

const (
	// logLimit is the size at which the log of the process before is put aside.
	logLimit = 8 << 20
	// killGrace is how long a process that is to go may take to put its session in order.
	killGrace = 5 * time.Second
)

// Launch is how to launch the agent's supervisor.
type Launch struct {
	// Program is its path, Args its arguments. It is to call DialReady on the spool's folder.
	Program string
	Args    []string
	// Env is its whole environment.
	Env      []string
	SpoolDir string
	// Unit, where systemd runs, is how to have the supervisor run by it; nil for a process of our own.
	Unit *Unit
}

// launched is a supervisor that was launched.
type launched interface {
	// end stops it, politely at first, then with its agent, and waits for both.
	end(dir string)
	// leave lets it be.
	leave() error
}

// Run launches it apart from the caller and blocks until it says that the agent records. Where it says anything else, or
// nothing until ctx is done, it and the agent are ended first. The caller holds the start lock.
func (l Launch) Run(ctx context.Context) (Ready, error) {
	log, err := openLog(filepath.Join(l.SpoolDir, LogName))
	if err != nil {
		return Ready{}, err
	}
	defer func() { _ = log.Close() }()
	w, err := listenReady(l.SpoolDir)
	if err != nil {
		return Ready{}, err
	}
	defer w.close(l.SpoolDir)
	supervisor, err := l.launch(ctx, log)
	if err != nil {
		return Ready{}, err
	}
	ready, err := w.await(ctx)
	switch {
	case err != nil && ctx.Err() != nil:
		err = errors.New("nothing was recorded in the time given; the agent's log says why: " + log.Name())
	case err != nil:
		err = errors.New("the agent ended without a word; its log is " + log.Name())
	}
	if err != nil || ready.Error != "" {
		supervisor.end(l.SpoolDir)
		return ready, err
	}
	if err := supervisor.leave(); err != nil {
		return ready, fmt.Errorf("launch agent: %w", err)
	}
	return ready, nil
}

func (l Launch) launch(ctx context.Context, log *os.File) (launched, error) {
	if l.Unit != nil {
		err := l.Unit.start(ctx, l)
		if err == nil {
			return l.Unit, nil
		}
		hclog.New(&hclog.LoggerOptions{Name: "launch", Output: log}).Warn("unit not started, a process of its own instead", "error", err)
	}
	cmd := exec.Command(l.Program, l.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.Env = "/", log, log, l.Env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("launch agent: %w", err)
	}
	return process{cmd}, nil
}

// process is a supervisor in a session of its own.
type process struct{ cmd *exec.Cmd }

func (p process) leave() error { return p.cmd.Process.Release() }

func (p process) end(dir string) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(killGrace, func() { _ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) })
	_ = p.cmd.Wait() // how it ended is in its log
	// An agent whose supervisor was killed before it recorded ends by itself.
	ctx, cancel := context.WithTimeout(context.Background(), killGrace)
	defer cancel()
	_ = AwaitFree(ctx, dir, SupervisorLock, AgentLock) // its group is killed then
	kill.Stop()
}

// LogName is the log in the spool's folder.
const LogName = "run.log"

// LogTo has what this process and its children print go to the log of a spool.
func LogTo(dir string) error {
	f, err := openLog(filepath.Join(dir, LogName))
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	for _, fd := range []int{1, 2} {
		if err := unix.Dup3(int(f.Fd()), fd, 0); err != nil {
			return fmt.Errorf("print to log: %w", err)
		}
	}
	return nil
}

// Shield asks the kernel to spare this process and its children where memory is short, as far as the caller may ask for that.
func Shield() { _ = os.WriteFile("/proc/self/oom_score_adj", []byte("-900"), 0) }

func openLog(path string) (*os.File, error) {
	if st, err := os.Stat(path); err == nil && st.Size() > logLimit {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, fmt.Errorf("put log aside: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	return f, nil
}
