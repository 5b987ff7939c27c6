package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/recfleet/recfleet/agent/session"
	"github.com/recfleet/recfleet/agent/spool"
)

const (
	// firstTry is how long a session that may be recorded before it is registered waits for that all the same: no longer than the
	// first picture lasts.
	firstTry = 400 * time.Millisecond
	// lookEvery is how often the spool's pressure is looked at.
	lookEvery = 250 * time.Millisecond
	// pressedRate is how many frames a second are recorded while the spool is filling up.
	pressedRate = 1
	// keyFrameRate names the metadata of the present frame rate, and why it is another than at first.
	keyFrameRate = "capture_frame_rate"
	// keyRegisteredAfter names the metadata of how long a session had been recorded when it was registered.
	keyRegisteredAfter = "registered_after"

	reasonFailed  = "capture failed"
	reasonRefused = "refused by the coordinator"
)

var (
	errNotRegistered = errors.New("the session was not registered within the grace time")
	// errLost says that a session that is being recorded can be handed over no more, and why it could not be gone on with.
	errLost = errors.New("session lost while it was recorded")
)

// turn is why a capture ends, and what comes then.
type turn struct {
	kind   turnKind
	reason string
	err    error
}

type turnKind int

const (
	turnEnd    turnKind = iota // the recording is over
	turnAgain                  // the same session is recorded in another way
	turnGiveUp                 // the coordinator has closed the books of the session: another one goes on
)

// sitting watches over the recording of one session and says when a capture is to end.
type sitting struct {
	a  *Agent
	s  *spool.Session
	up *uplink
	// before is how many segments the session had when the sitting began.
	before int
	late   bool          // it is recorded before it is registered
	broken chan struct{} // closed when nothing can be kept any more

	// What is still waited for; nil once it has come.
	registered <-chan struct{}
	durable    <-chan struct{} // the bus has the first chunk
	orders     <-chan string
	grace      <-chan time.Time
}

func (a *Agent) newSitting(s *spool.Session, up *uplink) *sitting {
	st := &sitting{a: a, s: s, up: up, before: len(s.Segments()), broken: make(chan struct{}), registered: up.registered}
	r := s.Registration()
	st.late = r.SessionID == "" && r.Metadata[keyContinues] == ""
	if a.cfg.Mode == session.Grace && st.late {
		st.grace = time.After(r.Start.Add(a.cfg.Grace).Sub(a.line.Now()))
	}
	return st
}

// first gives the registration the time that costs nothing, and reports whether the session may be recorded.
func (st *sitting) first() bool {
	timer := time.NewTimer(firstTry)
	defer timer.Stop()
	select {
	case <-st.registered:
		st.late = false
		st.isRegistered()
	case <-st.up.over:
		return false
	case <-st.a.stopping:
	case <-timer.C:
		st.a.log.Warn("recorded before it is registered", "mode", st.a.cfg.Mode)
	}
	return true
}

// isRegistered is called once.
func (st *sitting) isRegistered() {
	link := st.up.link.Load()
	st.registered, st.grace, st.orders = nil, nil, link.Stop()
	st.durable = link.Durable()
	if st.late {
		st.a.note(st.s, keyRegisteredAfter, st.a.line.Now().Sub(st.s.Registration().Start).Round(time.Second).String())
	}
}

// await blocks until the capture with these settings is to end.
func (st *sitting) await(grabCtx context.Context, used spool.Settings) turn {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		changed := st.s.Changed()
		if st.a.cfg.Mode.Offline() && st.kept() {
			st.a.isRecording()
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-st.registered:
			st.isRegistered()
		case <-st.durable:
			st.durable = nil
			st.a.isRecording()
		case <-st.a.stopping:
			return turn{reason: st.a.stopReason()}
		case reason := <-st.orders:
			st.a.Stop(reason, 0)
			return turn{reason: reason}
		case <-st.grace:
			st.a.Stop(errNotRegistered.Error(), 0)
			return turn{reason: errNotRegistered.Error(), err: errNotRegistered}
		case <-st.up.over:
			return st.judge()
		case <-st.broken:
			return turn{reason: reasonFailed}
		case <-grabCtx.Done():
			return turn{reason: reasonFailed}
		}
		if st.a.settings(st.s) != used && st.a.takes(used) {
			return turn{kind: turnAgain}
		}
	}
}

// kept reports whether anything of this sitting is on disk.
func (st *sitting) kept() bool {
	select {
	case <-st.a.durable:
		return false // that is known
	default:
	}
	all := st.s.Segments()
	return len(all) > st.before && all[st.before].Chunks > 0
}

// judge says what comes after the end of the uplink.
func (st *sitting) judge() turn {
	err := st.up.ended()
	switch {
	case errors.Is(err, session.ErrGivenUp):
		// Where that is said of every session, there is to be one in a while only.
		if !st.a.pause(restartAfter) {
			return turn{reason: st.a.stopReason()}
		}
		return turn{kind: turnGiveUp}
	case st.registered != nil:
		st.a.Stop(reasonRefused, 0)
		if uerr := st.s.Update(func(r *spool.Registration) { r.Refused = fmt.Sprint(err) }); uerr != nil {
			err = errors.Join(err, uerr)
		}
		return turn{reason: reasonRefused, err: err}
	}
	return turn{reason: givenUp, err: fmt.Errorf("%w: %w", errLost, err)}
}

// isRecording is called whenever that is seen.
func (a *Agent) isRecording() {
	a.first.Do(func() {
		a.log.Info("session recording")
		close(a.durable)
	})
}

func (a *Agent) stopReason() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.reason
}

// settings are what the session is to be recorded with at present. What capture does not need is left out.
func (a *Agent) settings(s *spool.Session) spool.Settings {
	settings := s.Registration().Settings
	settings.ChunkBytes, settings.Mode, settings.Grace = 0, "", 0
	if a.spool.Pressure() {
		settings.FrameRate = min(settings.FrameRate, pressedRate)
	}
	return settings
}

// takes reports whether the capture takes pictures at present: one that pauses, or whose display is away, has its gap to declare.
func (a *Agent) takes(used spool.Settings) bool {
	_, last := a.frames()
	return !a.spool.Paused() && a.line.Now().Sub(last) < interval(used)+lookEvery
}

// noteRate tells of another frame rate.
func (a *Agent) noteRate(s *spool.Session, settings spool.Settings) {
	why := "ordered"
	switch ordered := s.Registration().Settings.FrameRate; {
	case settings.FrameRate < ordered:
		why = "spool_high_water"
	case a.lowered:
		why = "spool_low_water"
	}
	a.lowered = why == "spool_high_water"
	a.log.Warn("frame rate changed", "frame_rate", settings.FrameRate, "reason", why, "spooled_bytes", a.spool.Bytes())
	a.note(s, keyFrameRate, fmt.Sprintf("%d (%s)", settings.FrameRate, why))
}

// note adds an entry to the session's metadata, unless it has as many as it may.
func (a *Agent) note(s *spool.Session, key, value string) {
	if len(s.Registration().Metadata) > maxNoted {
		a.log.Warn("metadata not noted", "key", key, "value", value)
		return
	}
	if _, err := s.Append(spool.Event{Time: a.line.Now(), MetadataChanged: map[string]string{key: value}}); err != nil {
		a.log.Warn("metadata not noted", "key", key, "value", value, "error", err)
	}
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
