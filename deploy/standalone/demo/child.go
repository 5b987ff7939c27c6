package main

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
)

// child is a program that runs beside the demonstration and is stopped by its process id.
type child struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string // what it prints
	log   string
}

// stopGrace is how long a child may take to drain.
const stopGrace = 30 * time.Second

// startChild starts a program of bin/, its messages going to a log in the data directory.
func startChild(cfg config, name string, args ...string) (*child, error) {
	return startChildWith(cfg, nil, name, args...)
}

// startChildWith gives it an environment beside its own.
func startChildWith(cfg config, env []string, name string, args ...string) (*child, error) {
	c := &child{
		name: name, cmd: exec.Command(filepath.Join(cfg.bin, name), args...), lines: make(chan string),
		log: filepath.Join(cfg.dir, filepath.Base(name)+".log"),
	}
	c.cmd.Env = append(os.Environ(), env...)
	log, err := os.Create(c.log)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer log.Close()
	c.cmd.Stderr = log
	// A group of its own: an interrupt at the terminal is for the demonstration, which then stops its children in order.
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go func() { // ends when the child's output does; stop waits for that
		defer close(c.lines)
		for scan := bufio.NewScanner(stdout); scan.Scan(); {
			c.lines <- scan.Text()
		}
	}()
	return c, nil
}

// line waits for the next line that the child prints.
func (c *child) line(ctx context.Context, most time.Duration) (string, error) {
	select {
	case line, ok := <-c.lines:
		if !ok {
			return "", fmt.Errorf("%s ended; see %s", c.name, c.log)
		}
		return line, nil
	case <-ctx.Done():
		return "", ctx.Err()
	case <-time.After(most):
		return "", fmt.Errorf("%s said nothing for %s; see %s", c.name, most, c.log)
	}
}

// stop asks the child to finish and kills it if it does not.
func (c *child) stop() error {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may be gone
	killer := time.AfterFunc(stopGrace, func() { _ = c.cmd.Process.Kill() })
	defer killer.Stop()
	for range c.lines { // to the end of its output
	}
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w; see %s", c.name, err, c.log)
	}
	return nil
}

// desktop is the virtual desktop and the programs on it.
type desktop struct {
	*child
	display string
}

type desktopState struct {
	Display string `json:"display"`
	Error   string `json:"error"`
}

func startDesktop(ctx context.Context, cfg config, size string) (*desktop, error) {
	c, err := startChild(cfg, "demodesktop", "-size", size)
	if err != nil {
		return nil, err
	}
	d := &desktop{child: c}
	state, err := d.answer(ctx)
	if err != nil {
		return nil, errors.Join(err, c.stop())
	}
	d.display = state.Display
	return d, nil
}

func (d *desktop) resize(ctx context.Context, size string) error {
	if _, err := fmt.Fprintln(d.stdin, "resize "+size); err != nil {
		return fmt.Errorf("resize the desktop: %w", err)
	}
	_, err := d.answer(ctx)
	return err
}

func (d *desktop) answer(ctx context.Context) (desktopState, error) {
	line, err := d.line(ctx, time.Minute)
	if err != nil {
		return desktopState{}, err
	}
	var state desktopState
	if err := json.Unmarshal([]byte(line), &state); err != nil {
		return state, fmt.Errorf("read the desktop's answer: %w", err)
	}
	if state.Error != "" {
		return state, fmt.Errorf("desktop: %s", state.Error)
	}
	return state, nil
}

// hook runs recagent as a session hook does and passes its words on.
func hook(ctx context.Context, cfg config, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(cfg.bin, "recagent"), args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("recagent %s: %w", args[0], err)
	}
	return nil
}

// sessionOf asks the agent which session it records.
func sessionOf(ctx context.Context, cfg config, spool string) (string, error) {
	out, err := exec.CommandContext(ctx, filepath.Join(cfg.bin, "recagent"), "status", "-o", "json", "--spool-dir", spool).Output()
	if err != nil {
		return "", fmt.Errorf("recagent status: %w", err)
	}
	var status struct {
		SessionID string `json:"session_id"`
	}
	if err := json.Unmarshal(out, &status); err != nil || status.SessionID == "" {
		return "", fmt.Errorf("recagent status: no session in %q", out)
	}
	return status.SessionID, nil
}
