// Package hook holds what the platform's start and stop hooks do: launch the agent as a process of its own and wait until it
// records, stop it and wait until it is done.
//
// In come a checked configuration and a time to wait; out comes a session that is being recorded, or the reason why not and
// no process left behind. What always holds: both may be called twice, out of order, and while the other runs; no secret
// stands in an argument list.
package hook

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// logLimit is the size at which the log of the process before is put aside.
	logLimit = 8 << 20
	// killGrace is how long a process that is to go may take to put its session in order.
	killGrace = 5 * time.Second
)

// Ready is what the agent says once to the hook that launched it.
type Ready struct {
	SessionID string `json:"session_id,omitempty"`
	// Error is why it does not record, and Code the exit code for that.
	Error string `json:"error,omitempty"`
	Code  int    `json:"code,omitempty"`
}

// Report writes r to the pipe that the hook waits on, and closes it.
func Report(pipe *os.File, r Ready) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("report to hook: %w", err)
	}
	_, err = pipe.Write(append(b, '\n'))
	return errors.Join(err, pipe.Close())
}

// Launch is how to launch the agent.
type Launch struct {
	// Program is the agent's path, Args its arguments; it is given the write end of a pipe as file 3, for Report.
	Program  string
	Args     []string
	SpoolDir string
}

// Run launches the agent in a session of its own and blocks until it says that it records. Where it says anything else, or
// nothing until ctx is done, it is ended first.
func (l Launch) Run(ctx context.Context) (Ready, error) {
	log, err := openLog(filepath.Join(l.SpoolDir, "run.log"))
	if err != nil {
		return Ready{}, err
	}
	defer func() { _ = log.Close() }()
	r, w, err := os.Pipe()
	if err != nil {
		return Ready{}, fmt.Errorf("launch agent: %w", err)
	}
	defer func() { _ = r.Close() }()
	cmd := exec.Command(l.Program, l.Args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = "/", log, log, []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return Ready{}, errors.Join(fmt.Errorf("launch agent: %w", err), w.Close())
	}
	_ = w.Close()
	stop := context.AfterFunc(ctx, func() { _ = r.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	line, err := bufio.NewReader(io.LimitReader(r, 64<<10)).ReadBytes('\n')
	var ready Ready
	switch {
	case ctx.Err() != nil:
		err = errors.New("nothing was recorded in the time given")
	case err != nil:
		err = errors.New("the agent ended without a word; its log is " + log.Name())
	default:
		err = json.Unmarshal(line, &ready)
	}
	if err != nil || ready.Error != "" {
		end(cmd)
		return ready, err
	}
	if err := cmd.Process.Release(); err != nil {
		return ready, fmt.Errorf("launch agent: %w", err)
	}
	return ready, nil
}

// end stops a process, politely at first, and waits for it.
func end(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(killGrace, func() { _ = cmd.Process.Kill() })
	_ = cmd.Wait() // how it ended is in its log
	kill.Stop()
}

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

// Lock is held by one hook at a time.
type Lock struct{ file *os.File }

// AwaitLock waits for the lock of that name in the folder until ctx is done.
func AwaitLock(ctx context.Context, dir, name string) (Lock, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return Lock{}, fmt.Errorf("open lock: %w", err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return Lock{f}, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return Lock{}, errors.Join(fmt.Errorf("lock %s: %w", name, err), f.Close())
		}
		select {
		case <-ctx.Done():
			return Lock{}, errors.Join(fmt.Errorf("wait for lock %s: %w", name, ctx.Err()), f.Close())
		case <-tick.C:
		}
	}
}

// Release lets the next one in.
func (l Lock) Release() { _ = l.file.Close() }
