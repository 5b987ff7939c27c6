package hook

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/recfleet/recfleet/agent/control"
)

const (
	// readyName is the socket in the spool's folder on which a hook waits for the supervisor that it launched.
	readyName = "ready.sock"
	// dialPatience is how long a supervisor may take from its launch until it is on that socket.
	dialPatience = 15 * time.Second
)

// Ready is what the agent says once to the hook that launched it.
type Ready struct {
	SessionID string `json:"session_id,omitempty"`
	// Error is why it does not record, and Code the exit code for that.
	Error string `json:"error,omitempty"`
	Code  int    `json:"code,omitempty"`
}

// Report writes r to whoever waits for it, and closes the way there.
func Report(to io.WriteCloser, r Ready) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("report to hook: %w", err)
	}
	_, err = to.Write(append(b, '\n'))
	return errors.Join(err, to.Close())
}

// readReady reads what an agent says once; an error where it ended without a word.
func readReady(r io.Reader) (Ready, error) {
	var ready Ready
	line, err := bufio.NewReader(io.LimitReader(r, 64<<10)).ReadBytes('\n')
	if err != nil {
		return ready, fmt.Errorf("wait for agent: %w", err)
	}
	if err := json.Unmarshal(line, &ready); err != nil {
		return ready, fmt.Errorf("understand agent: %w", err)
	}
	return ready, nil
}

// DialReady connects a supervisor to the hook that launched it; nil where none waits any more. The hook takes the end of the
// connection for the supervisor's.
func DialReady(dir string) io.WriteCloser {
	var c net.Conn
	err := control.InFolder(dir, readyName, func(path string) (err error) {
		c, err = net.Dial("unix", path)
		return err
	})
	if err != nil {
		return nil
	}
	return c
}

// waiter waits for a supervisor.
type waiter struct{ listener *net.UnixListener }

// listenReady opens the socket. The caller must hold the start lock: one that is there is from a hook that is gone.
func listenReady(dir string) (waiter, error) {
	var w waiter
	err := control.InFolder(dir, readyName, func(path string) error {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		var err error
		if w.listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"}); err == nil {
			w.listener.SetUnlinkOnClose(false)
		}
		return err
	})
	if err != nil {
		return w, fmt.Errorf("listen for agent: %w", err)
	}
	return w, nil
}

// await blocks until the supervisor has passed on what the agent says, has ended, or ctx is done.
func (w waiter) await(ctx context.Context) (Ready, error) {
	if err := w.listener.SetDeadline(time.Now().Add(dialPatience)); err != nil {
		return Ready{}, fmt.Errorf("wait for agent: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = w.listener.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	c, err := w.listener.Accept()
	if err != nil {
		return Ready{}, fmt.Errorf("wait for agent: %w", err)
	}
	defer func() { _ = c.Close() }()
	end := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer end()
	return readReady(c)
}

// close lets no supervisor in any more.
func (w waiter) close(dir string) {
	_ = w.listener.Close()
	_ = control.InFolder(dir, readyName, os.Remove)
}
