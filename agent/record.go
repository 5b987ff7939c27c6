package agent

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/recfleet/recfleet/agent/capture"
	"github.com/recfleet/recfleet/agent/session"
	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/agent/x11"
	"github.com/recfleet/recfleet/internal/bus"
)

// desk is the desktop as it was opened, and the session that it is recorded in.
type desk struct {
	session  *spool.Session
	grant    *bus.Grant      // that came with the registration, if it was made just now
	display  *x11.Display    // nil where it has to be opened
	primed   *capture.Primed // nil where no picture came
	settings spool.Settings  // to capture with
	past     past            // what was recorded of the session before
	sink     *sink           // where the rest goes
	follows  bool            // another capture of this process, without a pause
}

// from is where a capture is to begin. The first picture of one that follows another without a pause lasts from the end of the
// one before, even if it was taken a moment earlier.
func (d *desk) from() time.Time {
	if d.primed == nil || !d.follows {
		return d.past.until
	}
	return d.past.until.Add(interval(d.settings)).Add(-time.Microsecond)
}

// close gives back what no capture has taken over.
func (d *desk) close() {
	d.primed.Close()
	if d.display != nil {
		_ = d.display.Close() // it was only looked at
	}
	d.primed, d.display = nil, nil
}

func interval(s spool.Settings) time.Duration {
	return time.Second / time.Duration(max(s.FrameRate, 1))
}

// record records a new session, or goes on with the one that is given, and with those that follow from it.
func (a *Agent) record(ctx context.Context, registrar session.Registrar, resumed *spool.Session) error {
	var d desk
	var err error
	if resumed != nil {
		d, err = a.goOn(ctx, registrar, resumed)
	} else {
		d, err = a.begin(ctx, registrar)
	}
	for again := true; err == nil && again; {
		again, err = a.sit(ctx, registrar, &d)
	}
	return err
}

// begin makes a session with its first picture. Where none comes, it is made all the same, with a gap. In the strict mode the
// session is registered then.
func (a *Agent) begin(ctx context.Context, registrar session.Registrar) (d desk, err error) {
	if err := a.checkRoom(); err != nil {
		return d, err
	}
	if d.display, err = x11.Open(a.cfg.Display, x11.Options{Authority: a.cfg.Authority}); err != nil {
		return d, err
	}
	g, err := d.display.Geometry()
	if err != nil {
		return d, errors.Join(err, d.display.Close())
	}
	settings := a.spool.Remembered()
	start := a.line.Now()
	if d.primed = a.prime(ctx, settings.FrameRate, geometryOf(g)); d.primed != nil {
		start = d.primed.At()
	}
	reg := a.registration(geometryOf(g), start)
	if a.cfg.Mode.Offline() {
		reg.Settings = settings
		a.log.Warn("recorded in a mode that is not strict", "mode", a.cfg.Mode)
	}
	if d.session, err = a.spool.Create(reg); err != nil {
		d.primed.Close()
		return d, errors.Join(err, d.display.Close())
	}
	d.past = past{until: start}
	d.sink = newSink(d.session, d.past, "", "")
	if a.cfg.Mode.Offline() {
		return d, nil
	}
	grant, err := a.register(ctx, registrar, d.session)
	if err == nil {
		d.grant = &grant
		return d, nil
	}
	d.primed.Close()
	err = errors.Join(err, d.display.Close(), d.session.Close())
	if d.session.Registration().SessionID == "" {
		err = errors.Join(err, d.session.Remove())
	}
	return d, err
}

// prime returns nil where no picture comes.
func (a *Agent) prime(ctx context.Context, frameRate int, g spool.Geometry) *capture.Primed {
	primed, err := capture.Prime(ctx, capture.Config{
		Display: a.cfg.Display, Authority: a.cfg.Authority, FrameRate: frameRate, Now: a.line.Now, Logger: a.log.Named("capture"),
	}, g)
	if err != nil {
		a.log.Warn("capture not primed", "error", err)
		return nil
	}
	return primed
}

// register gives up when the agent is stopped, but for a call that is under way: the coordinator may have made the session, which is to
// get its end.
func (a *Agent) register(ctx context.Context, registrar session.Registrar, s *spool.Session) (bus.Grant, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group sync.WaitGroup
	defer group.Wait()
	answered := make(chan struct{})
	defer close(answered)
	group.Go(func() {
		select {
		case <-a.stopping:
		case <-answered:
			return
		}
		timer := time.NewTimer(lastCall)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-answered:
		}
	})
	return registrar.Register(ctx, s)
}

// sit records one session until that is over, and drains it. It reports whether the recording goes on in another, which is in d
// then.
func (a *Agent) sit(ctx context.Context, registrar session.Registrar, d *desk) (again bool, err error) {
	s := d.session
	defer func() {
		if cerr := s.Close(); cerr != nil {
			a.log.Error("session not closed", "error", cerr)
		}
	}()
	up := a.newUplink(registrar, s, d.grant, a.frames)
	st := a.newSitting(s, up)
	a.mu.Lock()
	a.session, a.up, a.capture, a.before = s, up, nil, d.past
	a.mu.Unlock()
	keepCtx, endKeep := context.WithCancel(ctx)
	defer endKeep()
	linkCtx, endLink := context.WithCancel(ctx)
	defer endLink()
	var keeping, linking sync.WaitGroup
	var keepErr error
	keeping.Go(func() {
		if keepErr = s.Run(keepCtx); keepErr != nil {
			close(st.broken)
		}
	})
	linking.Go(func() { up.run(linkCtx) })
	tellCtx, endTell := context.WithCancel(ctx)
	defer endTell()
	var telling sync.WaitGroup
	telling.Go(func() { a.tell(tellCtx, s, up.registered) })

	t := a.shootAll(ctx, st, d)
	endTell()
	telling.Wait()
	endKeep()
	keeping.Wait()
	if keepErr != nil {
		t = turn{reason: reasonFailed, err: errors.Join(t.err, keepErr)}
	}
	if t.kind == turnGiveUp {
		linking.Wait()
		if err = a.carryOn(d); err == nil {
			return true, nil
		}
		t = turn{reason: givenUp, err: errors.Join(errLost, err)}
	}
	d.close()
	a.log.Info("capture ended", "reason", t.reason)
	if err := s.Update(func(r *spool.Registration) { r.End, r.EndReason = a.line.Now(), t.reason }); err != nil {
		t.err = errors.Join(t.err, err)
	}
	a.mu.Lock()
	drain := a.drain
	a.mu.Unlock()
	if errors.Is(t.err, errNotRegistered) {
		drain = 0
	}
	timer := time.AfterFunc(drain, endLink)
	linking.Wait()
	timer.Stop()
	return false, a.leave(s, up, t)
}

// leave ends what was recorded of a session: it is removed where the server has it, or where there is nothing of it.
func (a *Agent) leave(s *spool.Session, up *uplink, t turn) error {
	err := t.err
	if err == nil {
		err = up.ended()
	}
	r := s.Registration()
	if up.complete() || r.SessionID == "" && len(s.Segments()) == 0 {
		return errors.Join(err, s.Close(), s.Remove())
	}
	a.log.Warn("session stays in the spool", "session_id", r.SessionID, "request_id", r.RequestID, "spooled_bytes", a.spool.Bytes())
	return err
}

// shootAll captures until the session is over.
func (a *Agent) shootAll(ctx context.Context, st *sitting, d *desk) turn {
	if !d.follows && a.cfg.Mode.Offline() && !st.first() {
		return st.judge()
	}
	if !d.follows || d.settings.FrameRate == 0 {
		d.settings = a.settings(st.s)
	}
	for {
		t := a.shoot(ctx, st, d)
		if t.kind != turnAgain {
			return t
		}
		if used := d.sink.interval; used != interval(d.settings) {
			a.noteRate(st.s, d.settings)
		}
		d.follow(st.s, d.past, "settings changed")
	}
}

// shoot captures until that is to end. Where the recording goes on, d has the first picture of the next capture, which was taken
// before this one ended.
func (a *Agent) shoot(ctx context.Context, st *sitting, d *desk) turn {
	d.sink.interval = interval(d.settings)
	grab := capture.New(capture.Config{
		Display: a.cfg.Display, Authority: a.cfg.Authority, FFmpeg: a.cfg.FFmpeg, FrameRate: d.settings.FrameRate, SegmentLength: d.settings.SegmentLength,
		SegmentBytes: d.settings.SegmentBytes, Primed: d.primed, Start: d.from(), Now: a.line.Now, Slept: a.line.Slept, Sink: d.sink, Room: a.spool.Room,
		Logger: a.log.Named("capture"),
	})
	a.mu.Lock()
	a.capture, a.before = grab, d.past
	a.mu.Unlock()
	display := d.display
	d.display, d.primed = nil, nil
	grabCtx, endGrab := context.WithCancel(ctx)
	defer endGrab()
	geometries := make(chan *spool.Geometry, 1)
	var watching, grabbing sync.WaitGroup
	var grabErr error
	watching.Go(func() { a.watch(grabCtx, display, geometries) })
	grabbing.Go(func() {
		defer endGrab()
		grabErr = grab.Run(grabCtx, geometries)
	})
	t := a.until(grabCtx, st, d, grab)
	endGrab()
	watching.Wait()
	grabbing.Wait()
	if errors.Is(grabErr, spool.ErrFull) {
		a.log.Error("last segment cut short", "error", grabErr) // which is said in its gap
		grabErr = nil
	}
	if grabErr != nil {
		return turn{reason: reasonFailed, err: errors.Join(t.err, grabErr)}
	}
	d.past = d.sink.now(grab)
	if t.kind != turnEnd {
		d.display = a.open()
	}
	return t
}

// until blocks until the capture is to end, and takes the first picture of the next. Where none can be had, the same session is
// recorded on as it is.
func (a *Agent) until(grabCtx context.Context, st *sitting, d *desk, grab *capture.Capture) turn {
	used := d.settings
	for {
		t := st.await(grabCtx, used)
		g := grab.Geometry()
		if t.kind == turnEnd {
			return t
		}
		if d.settings = a.settings(st.s); g == nil {
			return t
		}
		d.primed = a.prime(grabCtx, d.settings.FrameRate, *g)
		if d.primed != nil || t.kind == turnGiveUp {
			return t
		}
		d.settings = used
		a.pause(lookEvery)
	}
}

// frames counts the frames of the session that is being recorded and tells when the last one was taken; zero before the first of
// this process.
func (a *Agent) frames() (int64, time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.before.count(a.capture)
}
