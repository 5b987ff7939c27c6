package desktop

import (
	"context"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"github.com/jezek/xgb/xproto"
)

// Program is a program that shows itself on a server's screen.
type Program struct {
	cmd    *exec.Cmd
	said   *tail
	exited chan struct{}
}

// Run starts a program on the screen and returns at once. The caller must Stop
// it; it ends with this process in any case.
func (s *Server) Run(name string, args ...string) (*Program, error) {
	p := &Program{cmd: exec.Command(name, args...), said: &tail{limit: 4096}, exited: make(chan struct{})}
	p.cmd.Env = s.Env()
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	// A program's own children may keep what it said open after its end.
	p.cmd.WaitDelay = stopGrace
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("run %s on %s: %w", name, s.display, err)
	}
	go func() {
		_ = p.cmd.Wait() // How it ended is told by what it said.
		close(p.exited)
	}()
	return p, nil
}

// Exited is closed when the program has ended.
func (p *Program) Exited() <-chan struct{} { return p.exited }

// Said returns the last of what the program printed.
func (p *Program) Said() string { return p.said.String() }

// Stop ends the program and what it started in its process group, politely at
// first, and blocks until it is gone. It may be called again.
func (p *Program) Stop() {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		select {
		case <-p.exited:
			return
		default:
		}
		// The one error there is says that the group has ended already.
		_ = syscall.Kill(-p.cmd.Process.Pid, sig)
		select {
		case <-p.exited:
			return
		case <-time.After(stopGrace):
		}
	}
	<-p.exited
}

// WaitWindows blocks until the window manager manages at least that many
// windows or ctx is done. A count of 0 waits for the window manager alone: it may
// overlook a window that comes onto the screen while it starts, so programs
// should be run after it.
func (s *Server) WaitWindows(ctx context.Context, count int) error {
	client, err := s.dial()
	if err != nil {
		return err
	}
	defer closeClient(client)
	const list = "_NET_CLIENT_LIST"
	atom, err := xproto.InternAtom(client, false, uint16(len(list)), list).Reply()
	if err != nil {
		return fmt.Errorf("wait for windows: %w", err)
	}
	root := xproto.Setup(client).DefaultScreen(client).Root
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		prop, err := xproto.GetProperty(client, false, root, atom.Atom, xproto.AtomWindow, 0, 1000).Reply()
		if err != nil {
			return fmt.Errorf("wait for windows: %w", err)
		}
		if prop.Type != xproto.AtomNone && int(prop.ValueLen) >= count {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait for %d windows, there are %d: %w", count, prop.ValueLen, ctx.Err())
		}
	}
}
