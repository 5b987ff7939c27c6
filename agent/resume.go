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
	"github.com/recfleet/recfleet/agent/timeline"
)

// causeRestarted is the cause of the gap between the last frame of an agent that was killed and the first of the next.
const causeRestarted = "agent_restarted"

// causeSwitched is the cause of a gap between two captures of one process.
const causeSwitched = "capture_restarted"

// resume picks the session that an agent of the same sitting was recording when it was killed, and goes on with its time line. It
// returns nil where there is none: where the last one was ended or was to end, or the machine was started anew since.
func (a *Agent) resume(left []*spool.Session) *spool.Session {
	for i := len(left) - 1; i >= 0; i-- {
		r := left[i].Registration()
		if !r.End.IsZero() || r.Refused != "" || r.Sitting != a.cfg.Sitting ||
			r.Sitting == "" && (r.Display != a.cfg.Display || r.User != a.cfg.User) {
			continue
		}
		line, err := timeline.Resume(r.Clock)
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
	d.sink = &resumedSink{Sink: s, past: d.past, epochCause: "agent restarted", gapCause: causeRestarted}
	return d, nil
}

// follow has the next capture go on where the last one of this process ended. Everything of that one is in the session.
func (d *desk) follow(s *spool.Session, cause string) error {
	if err := s.Flush(); err != nil {
		return err
	}
	past, err := pastOf(s)
	if err != nil {
		return err
	}
	d.session, d.past, d.follows = s, past, true
	d.sink = &resumedSink{Sink: s, past: past, epochCause: cause, gapCause: causeSwitched}
	return nil
}

// resumedSink continues the numbers of a session for a capture that begins with its own.
type resumedSink struct {
	capture.Sink
	past past
	// epochCause is why its first epoch began, gapCause why there is a gap before.
	epochCause, gapCause string
	told                 bool // of the gap before the first frame
}

// NewSegment opens a segment of an epoch after those of the past. The last segment of the past ends one interval after its last
// frame: what lies between it and the first of the present is a gap however short it is, since no picture is said to have lasted.
func (r *resumedSink) NewSegment(cfg spool.SegmentConfig) (*spool.Writer, error) {
	if !r.told && cfg.Start.After(r.past.until) {
		gap := spool.GapDeclared{Start: r.past.until, End: cfg.Start, Cause: r.gapCause}
		if _, err := r.Sink.Append(spool.Event{Time: cfg.Start, GapDeclared: &gap}); err != nil {
			return nil, err
		}
	}
	cfg.Epoch += r.past.epochs
	r.told = true
	return r.Sink.NewSegment(cfg)
}

// Append appends an event of an epoch after those of the past; the gap before the first segment is the restart's.
func (r *resumedSink) Append(e spool.Event) (int64, error) {
	if s := e.EpochStarted; s != nil {
		moved := *s
		moved.Epoch += r.past.epochs
		if s.Epoch == 1 {
			moved.Cause, e.Time = r.epochCause, laterOf(e.Time, r.past.until)
		}
		e.EpochStarted = &moved
	}
	if g := e.GapDeclared; g != nil && !r.told {
		moved := *g
		moved.Cause = r.gapCause
		e.GapDeclared, r.told = &moved, true
	}
	return r.Sink.Append(e)
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
