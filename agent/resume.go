package agent

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/recfleet/recfleet/agent/capture"
	"github.com/recfleet/recfleet/agent/control"
	"github.com/recfleet/recfleet/agent/session"
	"github.com/recfleet/recfleet/agent/spool"
)

// resume picks the session that an agent of the same sitting was recording when it was killed, and goes on with its time line. It
// returns nil where there is none: where the last one was ended or was to end, or the machine was started anew since.
func (a *Agent) resume(left []*spool.Session) *spool.Session {
	for i := len(left) - 1; i >= 0; i-- {
		r := left[i].Registration()
		if !r.End.IsZero() || r.Refused != "" || r.Sitting != a.cfg.Sitting ||
			r.Sitting == "" && (r.Display != a.cfg.Display || r.User != a.cfg.User) {
			continue
		}
		line, err := a.cfg.Clock.Resume(r.Clock)
		if err != nil {
			a.log.Info("session not resumed", "session_id", r.SessionID, "error", err)
			continue
		}
		a.mu.Lock()
		a.line, a.resumed = line, left[i]
		a.mu.Unlock()
		a.log.Warn("session resumed", "session_id", r.SessionID, "request_id", r.RequestID, "segments", len(left[i].Segments()))
		return left[i]
	}
	return nil
}

// stopOrdered returns why the recording that this process is to go on with is to end instead, "" where it is not. Only a process
// that somebody keeps running is told so: one that is started by hand begins anew.
func (a *Agent) stopOrdered() string {
	if a.cfg.Sitting == "" {
		if err := control.WithdrawStop(a.cfg.SpoolDir); err != nil {
			a.log.Warn("stop not withdrawn", "error", err)
		}
		return ""
	}
	why, _ := control.StopOrdered(a.cfg.SpoolDir)
	return why
}

// past is what a session had when it was resumed.
type past struct {
	epochs int
	frames int64
	until  time.Time // everything before is in a segment or in a gap
	last   time.Time // when this process took its last frame; zero where it has not
}

// pastOf reads it from the session's events: its segments are all sealed.
func pastOf(s *spool.Session) (past, error) {
	p := past{until: s.Registration().Start}
	for after := int64(0); ; {
		events, err := s.Events(after, 100)
		if err != nil {
			return p, fmt.Errorf("resume session: %w", err)
		}
		if len(events) == 0 {
			return p, nil
		}
		for _, e := range events {
			after = e.Number
			var until time.Time
			switch {
			case e.EpochStarted != nil:
				p.epochs = max(p.epochs, e.EpochStarted.Epoch)
			case e.SegmentSealed != nil:
				p.epochs, p.frames, until = max(p.epochs, e.SegmentSealed.Epoch), p.frames+e.SegmentSealed.Frames, e.SegmentSealed.End
			case e.GapDeclared != nil:
				until = e.GapDeclared.End
			}
			if until.After(p.until) {
				p.until = until
			}
		}
	}
}

// count adds what a capture has taken since; it may be nil.
func (p past) count(grab *capture.Capture) (int64, time.Time) {
	if grab == nil {
		return p.frames, p.last
	}
	n, last := grab.Frames()
	return p.frames + n, laterOf(last, p.last)
}

// goOn goes on with a session of an earlier process. The display and the coordinator may be away; in the strict mode, one that
// was cut off before it was registered is registered first.
func (a *Agent) goOn(ctx context.Context, registrar session.Registrar, s *spool.Session) (d desk, err error) {
	d = desk{session: s}
	if d.past, err = pastOf(s); err != nil {
		return d, errors.Join(err, s.Close())
	}
	if s.Registration().SessionID == "" && !a.cfg.Mode.Offline() {
		g, err := a.register(ctx, registrar, s)
		if err != nil {
			return d, errors.Join(err, s.Close())
		}
		d.grant = &g
	}
	d.display = a.open()
	d.sink = newSink(s, d.past, "agent restarted", causeRestarted)
	return d, nil
}

// follow has the next capture go on where the last one of this process ended, in a session with that past.
func (d *desk) follow(s *spool.Session, past past, cause string) {
	d.session, d.past, d.follows = s, past, true
	d.sink = newSink(s, past, cause, causeSwitched)
}
