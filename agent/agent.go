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
	"os"
	"sync"
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
	// usualFrameRate is what a coordinator orders unless its policy says otherwise.
	usualFrameRate = 5
)

// Config says what to record and for whom.
type Config struct {
	Coordinator identity.Client
	Display     string
	// Authority is the path of the display's authority file; empty for none.
	Authority     string
	User          string
	SpoolDir      string
	MaxSpoolBytes int64
	Metadata      map[string]string
	Version       string
	Logger        hclog.Logger
}

// Agent records one desktop.
type Agent struct {
	cfg  Config
	line timeline.Timeline
	log  hclog.Logger

	durable  chan struct{} // closed when the bus has the first chunk
	stopOnce sync.Once
	stopping chan struct{}
	done     chan struct{} // closed when nothing more will be sent

	mu      sync.Mutex
	reason  string
	drain   time.Duration
	spool   *spool.Spool
	session *spool.Session
	link    *session.Session
	capture *capture.Capture
}

// New makes an agent; it starts nothing.
func New(cfg Config) *Agent {
	return &Agent{cfg: cfg, line: timeline.New(), log: cfg.Logger, drain: DefaultDrain,
		durable: make(chan struct{}), stopping: make(chan struct{}), done: make(chan struct{})}
}

// Durable is closed when the bus has the first chunk: the desktop is being recorded.
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
	hooks, err := control.Listen(a.cfg.SpoolDir)
	if err != nil {
		return err
	}
	conn, err := a.cfg.Coordinator.Dial()
	if err != nil {
		return errors.Join(err, hooks.Close())
	}
	defer func() { _ = conn.Close() }()
	key, err := bus.NewKey()
	if err != nil {
		return errors.Join(err, hooks.Close())
	}
	registrar := session.Registrar{
		Client: recfleetv1.NewAgentServiceClient(conn), Key: key, AgentVersion: a.cfg.Version, Logger: a.log.Named("session"),
	}

	// Run, and stop in the order of the flow: the live session, those left by earlier processes, the hooks.
	stopped := context.AfterFunc(ctx, func() { a.Stop("stopped by signal", 0) })
	defer stopped()
	var left, serving sync.WaitGroup
	base, end := context.WithCancel(context.WithoutCancel(ctx))
	leftCtx, endLeft := context.WithCancel(base)
	defer serving.Wait()
	defer end()
	serving.Go(func() {
		if err := hooks.Serve(base, a); err != nil {
			a.log.Error("hooks not served", "error", err)
		}
	})
	for _, s := range p.Left() {
		left.Go(func() { a.finishLeft(leftCtx, registrar, s) })
	}
	err = a.record(base, registrar)
	timer := time.AfterFunc(leftDrain, endLeft)
	left.Wait()
	timer.Stop()
	endLeft()
	close(a.done)
	return err
}

// record registers a session and records until stopping, then drains.
func (a *Agent) record(ctx context.Context, registrar session.Registrar) error {
	display, err := x11.Open(a.cfg.Display, x11.Options{Authority: a.cfg.Authority})
	if err != nil {
		return err
	}
	g, err := display.Geometry()
	if err != nil {
		return errors.Join(err, display.Close())
	}
	// The session begins with its first picture. Where none comes, it begins all the same, with a gap.
	start := a.line.Now()
	primed, err := capture.Prime(ctx, capture.Config{
		Display: a.cfg.Display, Authority: a.cfg.Authority, FrameRate: usualFrameRate, Now: a.line.Now, Logger: a.log.Named("capture"),
	}, geometryOf(g))
	if err != nil {
		a.log.Warn("capture not primed", "error", err)
	} else {
		start = primed.At()
	}
	s, err := a.spool.Create(a.registration(geometryOf(g), start))
	if err != nil {
		primed.Close()
		return errors.Join(err, display.Close())
	}
	defer func() {
		if err := s.Close(); err != nil {
			a.log.Error("session not closed", "error", err)
		}
	}()
	grant, err := a.register(ctx, registrar, s)
	if err != nil {
		primed.Close()
		err = errors.Join(err, display.Close())
		if s.Registration().SessionID == "" {
			return errors.Join(err, s.Remove())
		}
		return err
	}
	return a.run(ctx, registrar, s, grant, desk{display, primed})
}

// register gives up when the agent is stopped.
func (a *Agent) register(ctx context.Context, registrar session.Registrar, s *spool.Session) (bus.Grant, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	waiting := make(chan struct{})
	var group sync.WaitGroup
	defer group.Wait()
	defer close(waiting)
	group.Go(func() {
		select {
		case <-a.stopping:
			cancel()
		case <-waiting:
		}
	})
	return registrar.Register(ctx, s)
}

// desk is the desktop as it was opened.
type desk struct {
	display *x11.Display
	primed  *capture.Primed // nil where no picture came
}

func (a *Agent) run(ctx context.Context, registrar session.Registrar, s *spool.Session, grant bus.Grant, d desk) error {
	reg := s.Registration()
	grab := capture.New(capture.Config{
		Display: a.cfg.Display, Authority: a.cfg.Authority, FrameRate: reg.Settings.FrameRate, SegmentLength: reg.Settings.SegmentLength,
		Primed: d.primed, Start: reg.Start, Now: a.line.Now, Sink: s, Room: a.spool.Room, Logger: a.log.Named("capture"),
	})
	link := session.New(session.Config{
		Spool: s, Client: registrar.Client, Key: registrar.Key, Grant: &grant, Frames: grab.Frames, Logger: a.log.Named("session"),
	})
	a.mu.Lock()
	a.session, a.link, a.capture = s, link, grab
	a.mu.Unlock()

	grabCtx, endGrab := context.WithCancel(ctx)
	defer endGrab()
	keepCtx, endKeep := context.WithCancel(ctx)
	defer endKeep()
	linkCtx, endLink := context.WithCancel(ctx)
	defer endLink()
	geometries := make(chan *spool.Geometry, 1)
	var watching, grabbing, keeping, linking sync.WaitGroup
	var grabErr, keepErr, linkErr error
	linked := make(chan struct{})
	watching.Go(func() { a.watch(grabCtx, d.display, geometries) })
	grabbing.Go(func() {
		defer endGrab()
		grabErr = grab.Run(grabCtx, geometries)
	})
	keeping.Go(func() {
		if keepErr = s.Run(keepCtx); keepErr != nil {
			endGrab() // nothing can be kept any more
		}
	})
	linking.Go(func() {
		defer close(linked)
		linkErr = link.Run(linkCtx)
	})

	reason := a.untilEnd(grabCtx, link, linked)
	endGrab()
	watching.Wait()
	grabbing.Wait()
	endKeep()
	keeping.Wait()
	if grabErr != nil || keepErr != nil {
		reason = "capture failed"
	}
	a.log.Info("capture ended", "reason", reason)
	if err := s.Update(func(r *spool.Registration) { r.End, r.EndReason = a.line.Now(), reason }); err != nil {
		keepErr = errors.Join(keepErr, err)
	}
	a.mu.Lock()
	drain := a.drain
	a.mu.Unlock()
	timer := time.AfterFunc(drain, endLink)
	linking.Wait()
	timer.Stop()
	err := errors.Join(grabErr, keepErr, linkErr)
	if link.Complete() {
		err = errors.Join(err, s.Close(), s.Remove())
	} else {
		a.log.Warn("session stays in the spool", "session_id", reg.SessionID, "spooled_bytes", a.spool.Bytes())
	}
	return err
}

// untilEnd blocks until the recording is to end and returns why.
func (a *Agent) untilEnd(grabCtx context.Context, link *session.Session, linked <-chan struct{}) string {
	durable := link.Durable()
	for {
		select {
		case <-durable:
			durable = nil
			a.log.Info("session recording")
			close(a.durable)
		case <-a.stopping:
			a.mu.Lock()
			defer a.mu.Unlock()
			return a.reason
		case reason := <-link.Stop():
			a.Stop(reason, 0)
			return reason
		case <-linked:
			return "session refused"
		case <-grabCtx.Done():
			return "capture failed"
		}
	}
}

// watch hands geometries to the capture until ctx is done, and opens the display again where it was lost.
func (a *Agent) watch(ctx context.Context, display *x11.Display, geometries chan *spool.Geometry) {
	report := func(g *spool.Geometry) {
		select {
		case <-geometries: // an older one that nobody has seen
		default:
		}
		geometries <- g
	}
	backoff := 100 * time.Millisecond
	for {
		if display != nil {
			err := display.Watch(ctx, func(g x11.Geometry) {
				backoff = 100 * time.Millisecond
				seen := geometryOf(g)
				report(&seen)
			})
			_ = display.Close() // it is lost, or nobody needs it any more
			if ctx.Err() != nil {
				return
			}
			a.log.Warn("display lost", "display", a.cfg.Display, "error", err)
			report(nil)
		}
		timer := time.NewTimer(backoff)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		backoff = min(2*backoff, 5*time.Second)
		var err error
		if display, err = x11.Open(a.cfg.Display, x11.Options{Authority: a.cfg.Authority}); err != nil {
			display = nil
		}
	}
}

// finishLeft sends what an earlier process left of a session, and ends it.
func (a *Agent) finishLeft(ctx context.Context, registrar session.Registrar, s *spool.Session) {
	log := a.log.With("request_id", s.Registration().RequestID)
	err := a.sendLeft(ctx, registrar, s)
	if cerr := s.Close(); err == nil {
		err = cerr
	}
	switch {
	case ctx.Err() != nil:
		log.Warn("earlier session stays in the spool")
	case err != nil:
		log.Error("earlier session not finished", "error", err)
	default:
		log.Info("earlier session finished")
	}
}

func (a *Agent) sendLeft(ctx context.Context, registrar session.Registrar, s *spool.Session) error {
	r := s.Registration()
	var grant *bus.Grant
	if r.SessionID == "" {
		if len(s.Segments()) == 0 {
			return errors.Join(s.Close(), s.Remove())
		}
		g, err := registrar.Register(ctx, s)
		if err != nil {
			return err
		}
		grant = &g
	}
	if r.End.IsZero() {
		end, err := endOf(s)
		if err != nil {
			return err
		}
		err = s.Update(func(r *spool.Registration) { r.End, r.EndReason = end, "agent was killed" })
		if err != nil {
			return err
		}
	}
	link := session.New(session.Config{Spool: s, Client: registrar.Client, Key: registrar.Key, Grant: grant, Logger: a.log.Named("session")})
	if err := link.Run(ctx); err != nil || !link.Complete() {
		return err
	}
	return errors.Join(s.Close(), s.Remove())
}

// endOf returns the time up to which anything is known of a session.
func endOf(s *spool.Session) (time.Time, error) {
	end := s.Registration().Start
	for after := int64(0); ; {
		events, err := s.Events(after, 100)
		if err != nil || len(events) == 0 {
			return end, err
		}
		for _, e := range events {
			if after = e.Number; e.Time.After(end) {
				end = e.Time
			}
		}
	}
}

// registration describes the desktop.
func (a *Agent) registration(g spool.Geometry, start time.Time) spool.Registration {
	host, _ := os.Hostname()
	metadata := map[string]string{"hostname": host, "os": osName(), "display": a.cfg.Display, "user": a.cfg.User, "agent_version": a.cfg.Version}
	for k, v := range a.cfg.Metadata {
		metadata[k] = v
	}
	instance := host
	if v := a.cfg.Metadata["instance"]; v != "" {
		instance = v
	}
	return spool.Registration{
		RequestID: session.NewRequestID(), Start: start, Display: a.cfg.Display, User: a.cfg.User, Instance: instance,
		Stack: a.cfg.Metadata["stack"], Fleet: a.cfg.Metadata["fleet"], Metadata: metadata, Geometry: g,
	}
}
