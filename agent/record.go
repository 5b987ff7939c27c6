package agent

import (
	"context"
	"errors"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/recfleet/recfleet/agent/capture"
	"github.com/recfleet/recfleet/agent/session"
	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/agent/x11"
	"github.com/recfleet/recfleet/internal/bus"
)

// record registers a session, or goes on with the one that is given, and records until stopping, then drains.
func (a *Agent) record(ctx context.Context, registrar session.Registrar, resumed *spool.Session) error {
	if resumed != nil {
		return a.goOn(ctx, registrar, resumed)
	}
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
	return a.run(ctx, registrar, s, &grant, desk{display: display, primed: primed, past: past{until: start}, sink: s})
}

// pause waits, and reports whether the recording is to go on.
func (a *Agent) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-a.stopping:
		return false
	case <-timer.C:
		return true
	}
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
	past    past            // what was recorded of the session before
	sink    capture.Sink    // where the rest goes
}

func (a *Agent) run(ctx context.Context, registrar session.Registrar, s *spool.Session, grant *bus.Grant, d desk) error {
	reg := s.Registration()
	grab := capture.New(capture.Config{
		Display: a.cfg.Display, Authority: a.cfg.Authority, FrameRate: reg.Settings.FrameRate, SegmentLength: reg.Settings.SegmentLength,
		SegmentBytes: reg.Settings.SegmentBytes, Primed: d.primed, Start: d.past.until, Now: a.line.Now, Sink: d.sink, Room: a.spool.Room,
		Logger: a.log.Named("capture"),
	})
	link := session.New(session.Config{
		Spool: s, Client: registrar.Client, Key: registrar.Key, Grant: grant, Frames: d.past.count(grab.Frames), Logger: a.log.Named("session"),
	})
	a.mu.Lock()
	a.session, a.link, a.capture, a.before = s, link, grab, d.past
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
	if reason == givenUp && errors.Is(linkErr, session.ErrRefused) {
		err = errors.Join(err, errGivenUp)
	}
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
			a.first.Do(func() { close(a.durable) })
		case <-a.stopping:
			a.mu.Lock()
			defer a.mu.Unlock()
			return a.reason
		case reason := <-link.Stop():
			a.Stop(reason, 0)
			return reason
		case <-linked:
			return givenUp
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
		display = a.reopen(ctx)
	}
}

// reopen returns nil where the display cannot be opened yet.
func (a *Agent) reopen(ctx context.Context) *x11.Display {
	display, err := x11.Open(a.cfg.Display, x11.Options{Authority: a.cfg.Authority})
	if errors.Is(err, x11.ErrRefused) && a.cfg.Admit != nil && a.cfg.Admit(ctx) == nil {
		display, err = x11.Open(a.cfg.Display, x11.Options{Authority: a.cfg.Authority})
	}
	if err != nil {
		return nil
	}
	a.log.Info("display opened", "display", a.cfg.Display)
	return display
}

// registration describes the desktop.
func (a *Agent) registration(g spool.Geometry, start time.Time) spool.Registration {
	host, _ := os.Hostname()
	metadata := map[string]string{"hostname": host, "os": osName(), "display": a.cfg.Display, "user": a.cfg.User, "agent_version": a.cfg.Version}
	for k, v := range a.cfg.Metadata {
		metadata[k] = v
	}
	maps.DeleteFunc(metadata, func(_, v string) bool { return v == "" })
	instance := host
	if v := a.cfg.Metadata["instance"]; v != "" {
		instance = v
	}
	return spool.Registration{
		RequestID: session.NewRequestID(), Start: start, Display: a.cfg.Display, User: a.cfg.User, Instance: instance,
		Stack: a.cfg.Metadata["stack"], Fleet: a.cfg.Metadata["fleet"], Metadata: metadata, Geometry: g,
		Sitting: a.cfg.Sitting, Clock: a.line.Anchor(),
	}
}
