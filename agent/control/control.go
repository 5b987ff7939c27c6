// Package control is how the hooks speak to the running agent: over a socket in the spool's folder, that only its owner can
// open. One connection carries one request line and one answer line, both JSON.
package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// ErrNotRunning says that no agent runs on the spool.
var ErrNotRunning = errors.New("no agent is running")

const (
	socketName = "run.sock"
	maxLine    = 64 << 10
	lineWait   = 5 * time.Second
)

// The states of an agent.
const (
	StateStarting  = "starting"  // nothing of the session is on the bus yet
	StateRecording = "recording" // the bus has the first chunk; the disk has it, in a mode that is not strict
	StateStopping  = "stopping"  // capture has ended, the rest is on its way
	StateSending   = "sending"   // nothing is recorded, what earlier sessions left is on its way
	StateStopped   = "stopped"   // no agent runs
)

// Status is what an agent does. The names are for scripts and do not change.
type Status struct {
	State string `json:"state"`
	PID   int    `json:"pid,omitempty"`
	// SupervisorPID is the process that starts the agent again where it is killed; 0 where there is none.
	SupervisorPID int    `json:"supervisor_pid,omitempty"`
	AgentVersion  string `json:"agent_version,omitempty"`
	// RecordingMode is strict, grace or best-effort; empty where no agent runs.
	RecordingMode string `json:"recording_mode,omitempty"`
	// Registered says that the coordinator knows of the session; SessionID is empty until then.
	Registered      bool      `json:"registered"`
	SessionID       string    `json:"session_id,omitempty"`
	Display         string    `json:"display,omitempty"`
	User            string    `json:"user,omitempty"`
	StartTime       time.Time `json:"start_time,omitzero"`
	LastFrameTime   time.Time `json:"last_frame_time,omitzero"`
	Width           int       `json:"width,omitempty"`
	Height          int       `json:"height,omitempty"`
	Frames          int64     `json:"frames"`
	Segments        int       `json:"segments"`
	AwaitingReceipt int       `json:"awaiting_receipt"`
	SpooledBytes    int64     `json:"spooled_bytes"`
	PublishedChunks int64     `json:"published_chunks"`
	ReportedEvents  int64     `json:"reported_events"`
	// EarlierSessions are those in the spool that an earlier process began.
	EarlierSessions int    `json:"earlier_sessions"`
	SpoolDir        string `json:"spool_dir"`
}

// Agent is what is controlled.
type Agent interface {
	Status() Status
	// Stop asks for the end of the recording; what cannot be sent within the given time stays in the spool. The channel is
	// closed when nothing more will be sent. Idempotent.
	Stop(reason string, drain time.Duration) <-chan struct{}
}

// The commands of a request.
const (
	commandStatus = "status"
	commandStop   = "stop"
	commandWatch  = "watch" // answered with signs of life until one side ends
)

type request struct {
	Command string        `json:"command"`
	Reason  string        `json:"reason,omitempty"`
	Drain   time.Duration `json:"drain,omitempty"`
}

type answer struct {
	Status *Status `json:"status,omitempty"`
	Error  string  `json:"error,omitempty"`
}

// InFolder calls use with a short path of a socket in the folder: socket addresses have no room for long ones.
func InFolder(dir, name string, use func(path string) error) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return use(filepath.Join("/proc/self/fd", fmt.Sprint(d.Fd()), name))
}

// Server listens for the hooks.
type Server struct{ listener *net.UnixListener }

// Listen opens the socket. The caller must hold the spool's lock: a socket that is there is from a process that is gone.
func Listen(dir string) (*Server, error) {
	s := &Server{}
	err := InFolder(dir, socketName, func(path string) error {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		var err error
		if s.listener, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"}); err != nil {
			return err
		}
		s.listener.SetUnlinkOnClose(false)
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		if s.listener != nil {
			_ = s.listener.Close()
		}
		return nil, fmt.Errorf("listen for hooks: %w", err)
	}
	return s, nil
}

// Serve answers until ctx is done.
func (s *Server) Serve(ctx context.Context, a Agent) error {
	var group sync.WaitGroup
	defer group.Wait()
	stop := context.AfterFunc(ctx, func() { _ = s.listener.Close() })
	defer stop()
	for {
		c, err := s.listener.AcceptUnix()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept hook: %w", err)
		}
		group.Go(func() {
			defer func() { _ = c.Close() }()
			s.serveOne(ctx, c, a)
		})
	}
}

// Close closes a server that was never served.
func (s *Server) Close() error { return s.listener.Close() }

func (s *Server) serveOne(ctx context.Context, c net.Conn, a Agent) {
	_ = c.SetDeadline(time.Now().Add(lineWait))
	q, err := readRequest(c)
	if err != nil {
		return
	}
	var r answer
	switch q.Command {
	case commandStatus:
	case commandWatch:
		beat(ctx, c, a)
		return
	case commandStop:
		select {
		case <-a.Stop(q.Reason, q.Drain):
		case <-ctx.Done():
		}
	default:
		r.Error = fmt.Sprintf("unknown command %q", q.Command)
	}
	st := a.Status()
	r.Status = &st
	b, err := json.Marshal(r)
	if err != nil {
		return
	}
	_ = c.SetDeadline(time.Now().Add(lineWait))
	_, _ = c.Write(append(b, '\n'))
}

// Query asks the agent on the spool how it stands; ErrNotRunning where there is none.
func Query(ctx context.Context, dir string) (Status, error) {
	return ask(ctx, dir, request{Command: commandStatus})
}

// Stop has the agent on the spool stop, and blocks until it has sent what it could within the given time.
func Stop(ctx context.Context, dir, reason string, drain time.Duration) (Status, error) {
	return ask(ctx, dir, request{Command: commandStop, Reason: reason, Drain: drain})
}

// dial connects to the agent on the spool; ErrNotRunning where there is none.
func dial(ctx context.Context, dir string) (c *net.UnixConn, err error) {
	err = InFolder(dir, socketName, func(path string) error {
		var d net.Dialer
		var err error
		c, err = d.DialUnix(ctx, "unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
		return err
	})
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, ErrNotRunning
	}
	if err != nil {
		return nil, fmt.Errorf("reach the agent: %w", err)
	}
	return c, nil
}

func ask(ctx context.Context, dir string, q request) (st Status, err error) {
	c, err := dial(ctx, dir)
	if err != nil {
		return st, err
	}
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	b, err := json.Marshal(q)
	if err != nil {
		return st, fmt.Errorf("ask the agent: %w", err)
	}
	if _, err := c.Write(append(b, '\n')); err != nil {
		return st, fmt.Errorf("ask the agent: %w", err)
	}
	st, err = readAnswer(c)
	if ctx.Err() != nil {
		return Status{}, fmt.Errorf("wait for the agent: %w", ctx.Err())
	}
	return st, err
}

// readRequest reads the line of a hook.
func readRequest(r io.Reader) (q request, err error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxLine)).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &q)
	}
	return q, err
}

// readAnswer reads the line of an agent.
func readAnswer(r io.Reader) (Status, error) {
	line, err := bufio.NewReader(io.LimitReader(r, maxLine)).ReadBytes('\n')
	if err != nil {
		return Status{}, fmt.Errorf("wait for the agent: %w", err)
	}
	var a answer
	if err := json.Unmarshal(line, &a); err != nil {
		return Status{}, fmt.Errorf("understand the agent: %w", err)
	}
	if a.Error != "" || a.Status == nil {
		return Status{}, fmt.Errorf("ask the agent: %s", a.Error)
	}
	return *a.Status, nil
}
