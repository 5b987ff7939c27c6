// Package agent records a desktop: it wires capture to spool to publish, under one session registered with the coordinator.
//
// In come the X display and the coordinator's orders; out go chunks and events. What always holds: pictures reach the
// server only through the spool, so that a coordinator or a bus that is away costs nothing but disk; what an earlier process
// left in the spool is sent beside the new session; at the end everything stops in the order of its flow, each part after
// the one before it has drained.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/agent/capture"
	"github.com/recfleet/recfleet/agent/control"
	"github.com/recfleet/recfleet/agent/session"
	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/agent/timeline"
	"github.com/recfleet/recfleet/agent/x11"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/identity"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

const (
	// DefaultDrain is how long the end may take: the platform's hooks have 60 s.
	DefaultDrain = 50 * time.Second
	// leftDrain is how long sessions of earlier processes are waited for once the live one is done.
	leftDrain = 5 * time.Second
	// lastCall is how long a registration that is under way is waited for once the recording is to end.
	lastCall = time.Second
	// restartAfter is the pause before another session is begun where the coordinator has given up the one being recorded.
	restartAfter = time.Second

	givenUp = "given up by the coordinator"
)

// Config says what to record and for whom.
type Config struct {
	Coordinator identity.Client
	// AWSProfile is the profile of AWS's shared files that joins where the token is for identities of AWS; empty for the usual one.
	AWSProfile string
	Display    string
	// Authority is the path of the display's authority file; empty for none.
	Authority string
	// Admit is called where a display that was lost does not open again: its server may be another one, with another cookie for
	// Authority. It may be nil.
	Admit         func(context.Context) error
	User          string
	SpoolDir      string
	MaxSpoolBytes int64
	Metadata      map[string]string
	// Mode says what becomes of the recording while the coordinator does not know of it, Strict where it is empty; Grace is how
	// long that may be in the mode of that name.
	Mode  session.Mode
	Grace time.Duration
	// MinFreeBytes is how much of the spool's disk must be free for a new session to begin in the strict mode; 0 means
	// DefaultMinFreeBytes.
	MinFreeBytes int64
	// FFmpeg has FFmpeg take the pictures.
	FFmpeg bool
	// SendOnly has the agent hand over what earlier ones left and record nothing.
	SendOnly bool
	// Sitting names what the agent is kept running for, the same in every process that follows a killed one: the session is gone
	// on with. Without it, one that was cut off on the same display since the machine was started is.
	Sitting string
	// ConfigFile is removed when the run ends in order: it holds the token, and whoever starts another run writes it anew.
	// Empty for none.
	ConfigFile string
	// Supervisor returns the process that keeps the agent running, 0 where there is none. It may be nil.
	Supervisor func() int
	// Clock is what time is read from; a zero one is the machine's.
	Clock   timeline.Clock
	Version string
	Logger  hclog.Logger
}

// Agent records one desktop.
type Agent struct {
	cfg  Config
	line timeline.Timeline
	log  hclog.Logger

	durable  chan struct{} // closed when the first chunk is where the mode wants it
	first    sync.Once
	stopOnce sync.Once
	stopping chan struct{}
	done     chan struct{}               // closed when nothing more will be sent
	lowered  bool                        // the frame rate, since the spool is filling up; only whoever records looks at it
	watched  atomic.Pointer[x11.Display] // nil while there is none
	ordered  string                      // why the recording was to end before this process began; Run sets it first

	mu      sync.Mutex
	reason  string
	drain   time.Duration
	spool   *spool.Spool
	session *spool.Session
	up      *uplink
	capture *capture.Capture // nil before the first of the session
	resumed *spool.Session   // of those that an earlier process left
	before  past             // of the session, by earlier processes
}

// New makes an agent; it starts nothing.
func New(cfg Config) *Agent {
	if cfg.Mode == "" {
		cfg.Mode = session.Strict
	}
	if cfg.Grace <= 0 {
		cfg.Grace = session.DefaultGrace
	}
	if cfg.MinFreeBytes == 0 {
		cfg.MinFreeBytes = DefaultMinFreeBytes
	}
	if cfg.Clock.Wall == nil {
		cfg.Clock = timeline.SystemClock()
	}
	return &Agent{cfg: cfg, line: cfg.Clock.New(), log: cfg.Logger, drain: DefaultDrain,
		durable: make(chan struct{}), stopping: make(chan struct{}), done: make(chan struct{})}
}

// Durable is closed when the desktop is being recorded: when the bus has the first chunk or, in a mode that is not strict, when the
// spool's disk has it.
func (a *Agent) Durable() <-chan struct{} { return a.durable }

// Stop asks for the end of the recording; see control.Agent.
func (a *Agent) Stop(reason string, drain time.Duration) <-chan struct{} {
	a.stopOnce.Do(func() {
		a.mu.Lock()
		a.reason = reason
		if drain > 0 {
			a.drain = drain
		}
		a.mu.Unlock()
		if err := control.OrderStop(a.cfg.SpoolDir, reason); err != nil {
			a.log.Warn("stop not noted", "error", err)
		}
		close(a.stopping)
	})
	return a.done
}

// Run records until Stop is called, the coordinator orders the end, or ctx is done; then it drains. It returns nil when
// everything was handed over or stays in the spool in good order.
func (a *Agent) Run(ctx context.Context) error {
	// Configure and open.
	p, err := spool.Open(spool.Config{Dir: a.cfg.SpoolDir, MaxBytes: a.cfg.MaxSpoolBytes, Scan: scan, Logger: a.log.Named("spool")})
	if err != nil {
		return err
	}
	defer func() { _ = p.Close() }()
	a.mu.Lock()
	a.spool = p
	a.mu.Unlock()
	var resumed *spool.Session
	if a.ordered = a.stopOrdered(); a.cfg.SendOnly {
		a.log.Info("what is left is handed over", "sessions", len(p.Left()))
	} else if a.ordered != "" {
		a.log.Warn("nothing recorded, what is left is handed over", "reason", a.ordered)
		a.Stop(a.ordered, 0)
	} else {
		resumed = a.resume(p.Left())
	}
	hooks, err := control.Listen(a.cfg.SpoolDir)
	if err != nil {
		return err
	}
	key, err := bus.NewKey()
	if err != nil {
		return errors.Join(err, hooks.Close())
	}
	conn, err := a.way()
	if err != nil {
		return errors.Join(err, hooks.Close())
	}
	registrar := session.Registrar{
		Client: recfleetv1.NewAgentServiceClient(conn), Key: key, AgentVersion: a.cfg.Version, Remember: p.Remember,
		Logger: a.log.Named("session"),
	}

	// Run, and stop in the order of the flow: the live session, those left by earlier processes, the hooks.
	stopped := context.AfterFunc(ctx, func() { a.Stop("stopped by signal", 0) })
	defer stopped()
	var left, serving sync.WaitGroup
	base, end := context.WithCancel(context.WithoutCancel(ctx))
	leftCtx, endLeft := context.WithCancel(base)
	defer serving.Wait()
	defer end()
	serving.Go(func() { conn.run(base) })
	serving.Go(func() {
		if err := hooks.Serve(base, a); err != nil {
			a.log.Error("hooks not served", "error", err)
		}
	})
	for _, s := range p.Left() {
		if s != resumed {
			left.Go(func() { a.finishLeft(leftCtx, registrar, s) })
		}
	}
	for a.ordered == "" && !a.cfg.SendOnly {
		err = a.record(base, registrar, resumed)
		resumed = nil
		if !errors.Is(err, errLost) || !a.pause(restartAfter) {
			break
		}
		a.log.Error("session lost, another is begun", "error", err)
	}
	a.finish(&left, endLeft)
	if err == nil {
		err = a.removeConfig()
	}
	close(a.done)
	return err
}

// finish waits for the sessions of earlier processes, for some time where they are not what this process is for.
func (a *Agent) finish(left *sync.WaitGroup, end context.CancelFunc) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		left.Wait()
	}()
	if a.cfg.SendOnly {
		select {
		case <-done:
		case <-a.stopping:
		}
	}
	patience := leftDrain
	if a.ordered != "" {
		a.mu.Lock()
		patience = a.drain
		a.mu.Unlock()
	}
	timer := time.AfterFunc(patience, end)
	<-done
	timer.Stop()
	end()
}

// removeConfig is called while the spool is still locked: the next start writes its file once it has the lock.
func (a *Agent) removeConfig() error {
	if a.cfg.ConfigFile == "" {
		return nil
	}
	if err := os.Remove(a.cfg.ConfigFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove configuration: %w", err)
	}
	return nil
}
