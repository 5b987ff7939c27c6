package agent

import (
	"context"
	"fmt"
	"time"

	"github.com/recfleet/recfleet/agent/capture"
	"github.com/recfleet/recfleet/agent/control"
	"github.com/recfleet/recfleet/agent/session"
	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/agent/timeline"
	"github.com/recfleet/recfleet/agent/x11"
	"github.com/recfleet/recfleet/internal/bus"
)

// causeRestarted is the cause of the gap between the last frame of an agent that was killed and the first of the next.
const causeRestarted = "agent_restarted"

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

// count adds the frames of the past to those of the present.
func (p past) count(frames func() (int64, time.Time)) func() (int64, time.Time) {
	return func() (int64, time.Time) {
		n, last := frames()
		return n + p.frames, last
	}
}

// goOn records more of a session. The display and the coordinator may be away.
func (a *Agent) goOn(ctx context.Context, registrar session.Registrar, s *spool.Session) error {
	defer func() {
		if err := s.Close(); err != nil {
			a.log.Error("session not closed", "error", err)
		}
	}()
	before, err := pastOf(s)
	if err != nil {
		return err
	}
	// One that was cut off before it was registered is so now; another's rights on the bus come with the first Sync.
	var grant *bus.Grant
	if s.Registration().SessionID == "" {
		g, err := a.register(ctx, registrar, s)
		if err != nil {
			return err
		}
		grant = &g
	}
	display, err := x11.Open(a.cfg.Display, x11.Options{Authority: a.cfg.Authority})
	if err != nil {
		a.log.Warn("display not opened", "display", a.cfg.Display, "error", err)
		display = nil
	}
	return a.run(ctx, registrar, s, grant, desk{display: display, past: before, sink: &resumedSink{Sink: s, past: before}})
}

// resumedSink continues the numbers of a session for a capture that begins with its own.
type resumedSink struct {
	capture.Sink
	past past
	told bool // of the gap before the first frame
}

// NewSegment opens a segment of an epoch after those of the past. The last segment of the past ends one interval after its last
// frame: what lies between it and the first of the present is a gap however short it is, since no picture is said to have lasted.
func (r *resumedSink) NewSegment(cfg spool.SegmentConfig) (*spool.Writer, error) {
	if !r.told && cfg.Start.After(r.past.until) {
		gap := spool.GapDeclared{Start: r.past.until, End: cfg.Start, Cause: causeRestarted}
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
			moved.Cause = "agent restarted"
		}
		e.EpochStarted = &moved
	}
	if g := e.GapDeclared; g != nil && !r.told {
		moved := *g
		moved.Cause = causeRestarted
		e.GapDeclared, r.told = &moved, true
	}
	return r.Sink.Append(e)
}
