// Package hook holds what the platform's start and stop hooks do: launch the agent as a process of its own and wait until it
// records, stop it and wait until it is done.
//
// In come a checked configuration and a time to wait; out comes a session that is being recorded, or the reason why not and
// no process left behind. What always holds: both may be called twice, out of order, and while the other runs; no secret
// stands in an argument list.
package hook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
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

// Launch is how to launch the agent's supervisor.
type Launch struct {
	// Program is its path, Args its arguments; it is given the write end of a pipe as file 3, for Report.
	Program string
	Args    []string
	// Env is its whole environment.
	Env      []string
	SpoolDir string
}

// Run launches it in a session of its own and blocks until it says that the agent records. Where it says anything else, or
// nothing until ctx is done, it and the agent are ended first.
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
	cmd.Env = l.Env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return Ready{}, errors.Join(fmt.Errorf("launch agent: %w", err), w.Close())
	}
	_ = w.Close()
	stop := context.AfterFunc(ctx, func() { _ = r.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	ready, err := readReady(r)
	switch {
	case err != nil && ctx.Err() != nil:
		err = errors.New("nothing was recorded in the time given")
	case err != nil:
		err = errors.New("the agent ended without a word; its log is " + log.Name())
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

// end stops a supervisor, politely at first, then with its agent, and waits for it.
func end(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(killGrace, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
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
