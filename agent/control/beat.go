package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// BeatEvery is the time between two signs of life.
const BeatEvery = 500 * time.Millisecond

// The signs of life.
const (
	beatAlive = 'a' // the process runs
	beatWell  = 'w' // and could tell its status: nothing in it holds on for ever to what the others need
)

// beat gives signs of life until ctx is done or nobody listens any more.
func beat(ctx context.Context, c net.Conn, a Agent) {
	var group sync.WaitGroup
	defer group.Wait()
	answered := make(chan struct{}, 1)
	answered <- struct{}{} // the first question is free to be asked
	tick := time.NewTicker(BeatEvery)
	defer tick.Stop()
	for sign := byte(beatAlive); ; {
		_ = c.SetDeadline(time.Now().Add(lineWait))
		if _, err := c.Write([]byte{sign}); err != nil {
			return
		}
		sign = beatAlive
		select {
		case <-answered:
			group.Go(func() {
				a.Status()
				answered <- struct{}{}
			})
		default:
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if len(answered) > 0 {
			sign = beatWell
		}
	}
}

// Watcher hears an agent's signs of life. It is for one goroutine.
type Watcher struct {
	conn net.Conn
	in   *bufio.Reader
	pid  int
}

// Watch begins to listen to the agent on the spool; ErrNotRunning where there is none. An agent that hangs is connected to all
// the same.
func Watch(ctx context.Context, dir string) (*Watcher, error) {
	c, err := dial(ctx, dir)
	if err != nil {
		return nil, err
	}
	pid, err := peer(c)
	if err == nil {
		_, err = c.Write([]byte(`{"command":"` + commandWatch + `"}` + "\n"))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("watch the agent: %w", err), c.Close())
	}
	return &Watcher{conn: c, in: bufio.NewReader(c), pid: pid}, nil
}

// PID returns the process that listens on the spool's socket.
func (w *Watcher) PID() int { return w.pid }

// Next blocks until the next sign of life; well says that the agent could also tell its status. An error means that the agent
// has ended, or Close was called.
func (w *Watcher) Next() (well bool, err error) {
	b, err := w.in.ReadByte()
	if err != nil {
		return false, fmt.Errorf("watch the agent: %w", err)
	}
	return b == beatWell, nil
}

// Close ends the listening. It may be called while Next blocks.
func (w *Watcher) Close() error { return w.conn.Close() }

// peer returns the process at the other end of a connection.
func peer(c *net.UnixConn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var who *unix.Ucred
	var asked error
	if err := raw.Control(func(fd uintptr) { who, asked = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return 0, err
	}
	if asked != nil {
		return 0, asked
	}
	return int(who.Pid), nil
}
