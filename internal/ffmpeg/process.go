// Package ffmpeg is the one door to child processes: it starts FFmpeg and ffprobe, and says how they ended.
//
// A process lives in a process group of its own and does not outlive this one. Where asked for, it runs under limits that
// hold from its first instruction, and without network where the kernel allows that. An exit code is reported and never believed
// alone: FFmpeg ends with 0 after many failures, so callers look at what came out.
package ffmpeg

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"
)

// pipeBytes is what the kernel lets a user have without privileges; a raw frame is some megabytes, so a larger pipe saves
// many switches between the two processes.
const pipeBytes = 1 << 20

// ErrNotInstalled means that a program is not on the PATH.
var ErrNotInstalled = errors.New("program is not installed")

// Config says what to start.
type Config struct {
	// Args are FFmpeg's arguments, without the program's name. Nothing that comes from a user or the network belongs here.
	Args []string
	// Env is added to the environment, as "KEY=value".
	Env []string
	// Stdin and Stdout ask for pipes; without them the process reads nothing and its output is dropped.
	Stdin, Stdout bool
	// Limits bound what it may take. The process is held until they are set.
	Limits Limits
	// Offline asks for a process without network. Where the kernel does not allow it, the process has it: see Confinement.
	Offline bool
	// Nice lowers the process's priority: 0 is the caller's own, 19 the lowest.
	Nice   int
	Logger hclog.Logger
}

// Process is a running FFmpeg.
type Process struct {
	cmd    *exec.Cmd
	stdin  *os.File
	stdout *os.File
	stderr *tail
	logger hclog.Logger
	limits Limits
	held   Confinement

	gone     chan struct{} // closed when the process has been waited for
	stopping sync.Once
	stopped  sync.WaitGroup
}

// Exit is how a process ended.
type Exit struct {
	// Code is the exit code, or -1 after a signal.
	Code int
	// Signal is the name of the signal that ended it, if one did.
	Signal string
	// Limit is the limit that it ran into, if it failed by one.
	Limit Limit
	// Stderr is the end of what it wrote there.
	Stderr string
	// CPU is the processor time that it took, user and system.
	CPU time.Duration
}

// String describes the exit in one line.
func (e Exit) String() string {
	how := fmt.Sprintf("exit code %d", e.Code)
	if e.Signal != "" {
		how = "signal " + e.Signal
	}
	if e.Limit != "" {
		how += " at its limit of " + string(e.Limit)
	}
	if e.Stderr != "" {
		how += ": " + oneLine(e.Stderr)
	}
	return how
}

// Start starts ffmpeg from the PATH. The caller must call Wait. ErrNotInstalled where there is none.
func Start(cfg Config) (*Process, error) {
	p := &Process{stderr: &tail{}, logger: cfg.Logger, limits: cfg.Limits, gone: make(chan struct{})}
	var childIn, childOut *os.File
	var childEnds []*os.File
	defer func() {
		for _, f := range childEnds {
			f.Close()
		}
	}()
	if cfg.Stdin {
		r, w, err := openPipe()
		if err != nil {
			return nil, fmt.Errorf("start ffmpeg: %w", err)
		}
		childIn, p.stdin, childEnds = r, w, append(childEnds, r)
	}
	if cfg.Stdout {
		r, w, err := openPipe()
		if err != nil {
			p.closePipes()
			return nil, fmt.Errorf("start ffmpeg: %w", err)
		}
		childOut, p.stdout, childEnds = w, r, append(childEnds, w)
	}
	var err error
	p.cmd, p.held, err = launch(func() *exec.Cmd {
		cmd := exec.Command("ffmpeg", cfg.Args...)
		cmd.Env = append(os.Environ(), cfg.Env...)
		if childIn != nil {
			cmd.Stdin = childIn
		}
		if childOut != nil {
			cmd.Stdout = childOut
		}
		cmd.Stderr = p.stderr
		cmd.WaitDelay = 2 * time.Second
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
		return cmd
	}, cfg.Limits, cfg.Offline)
	if err != nil {
		p.closePipes()
		return nil, fmt.Errorf("start ffmpeg: %w", installed(err))
	}
	if cfg.Nice != 0 {
		// A process that is less polite than asked for still does its work.
		_ = unix.Setpriority(unix.PRIO_PGRP, p.PID(), cfg.Nice)
	}
	p.logger.Debug("ffmpeg started", "pid", p.PID(), "limited", p.held.Limited, "offline", p.held.Offline, "own_user", p.held.OwnUser)
	return p, nil
}

// installed names the one failure to start that somebody has to mend by installing.
func installed(err error) error {
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("%w: %w", ErrNotInstalled, err)
	}
	return err
}

func openPipe() (r, w *os.File, err error) {
	if r, w, err = os.Pipe(); err != nil {
		return nil, nil, err
	}
	// A smaller pipe than asked for only costs time.
	if raw, err := r.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { _, _ = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, pipeBytes) })
	}
	return r, w, nil
}

// Confinement says what holds for the process.
func (p *Process) Confinement() Confinement { return p.held }

// PID returns the process id, which is also its group's.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Stdin returns the pipe to the process; closing it tells FFmpeg that the input is over. Nil unless asked for.
func (p *Process) Stdin() io.WriteCloser {
	if p.stdin == nil {
		return nil
	}
	return p.stdin
}

// Stdout returns the pipe from the process, which takes read deadlines. It stays open until Wait. Nil unless asked for.
func (p *Process) Stdout() *os.File { return p.stdout }

// Stop asks the process to finish and kills its group if it has not within the grace time. It returns at once; later calls
// do nothing.
func (p *Process) Stop(grace time.Duration) {
	p.stopping.Do(func() {
		p.signal(syscall.SIGINT)
		p.stopped.Go(func() {
			timer := time.NewTimer(grace)
			defer timer.Stop()
			select {
			case <-p.gone:
			case <-timer.C:
				p.logger.Warn("ffmpeg did not stop in time", "pid", p.PID(), "grace", grace)
				p.Kill()
			}
		})
	})
}

// Kill kills the process and its group at once.
func (p *Process) Kill() { p.signal(syscall.SIGKILL) }

func (p *Process) signal(s syscall.Signal) {
	select {
	case <-p.gone: // the number may be somebody else's by now
	default:
		_ = syscall.Kill(-p.PID(), s)
	}
}

// Wait blocks until the process is gone, closes the pipes and says how it ended. The error is for a wait that went wrong,
// not for what the process did. To be called once.
func (p *Process) Wait() (Exit, error) {
	// Signals must not reach a process id that was given to somebody else: learn of the end without reaping first.
	_ = blockUntilWaitable(p.PID())
	close(p.gone)
	err := p.cmd.Wait()
	p.stopped.Wait()
	p.closePipes()

	exit := Exit{
		Code: p.cmd.ProcessState.ExitCode(), Stderr: p.stderr.String(),
		CPU: p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime(),
	}
	if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		exit.Signal = status.Signal().String()
	}
	if usage, ok := p.cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		exit.Limit = p.limits.hit(exit, usage)
	}
	p.logger.Debug("ffmpeg ended", "pid", p.PID(), "exit", exit.String())
	var exitError *exec.ExitError
	if err != nil && !errors.As(err, &exitError) && !errors.Is(err, exec.ErrWaitDelay) {
		return exit, fmt.Errorf("wait for ffmpeg: %w", err)
	}
	return exit, nil
}

func blockUntilWaitable(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (p *Process) closePipes() {
	if p.stdin != nil {
		p.stdin.Close()
	}
	if p.stdout != nil {
		p.stdout.Close()
	}
}
