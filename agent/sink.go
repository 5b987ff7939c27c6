package agent

import (
	"errors"
	"time"

	"github.com/recfleet/recfleet/agent/capture"
	"github.com/recfleet/recfleet/agent/spool"
)

// The causes of gaps that are told here.
const (
	// causeRestarted is the cause of the gap between the last frame of an agent that was killed and the first of the next.
	causeRestarted = "agent_restarted"
	// causeSwitched is the cause of a gap between two captures of one process.
	causeSwitched = "capture_restarted"
	causeFull     = "spool_full"
)

// sink is where a capture's segments and events go. It continues the numbers of the session for a capture that begins with its own,
// and sees to it that between two segments nothing is unaccounted for: no picture is said to have lasted longer than its interval.
type sink struct {
	s    *spool.Session
	past past
	// interval is that of the frames.
	interval time.Duration
	// epochCause is why the capture's first epoch began where the capture does not know that, gapCause why there is a gap before
	// its first segment. Both are empty for the first capture of a session.
	epochCause, gapCause string

	until  time.Time // everything before is in a segment or in a gap; zero before the first segment of a session
	epochs int       // of the session
	began  bool      // the capture has a segment
}

func newSink(s *spool.Session, past past, epochCause, gapCause string) *sink {
	k := &sink{s: s, past: past, epochCause: epochCause, gapCause: gapCause, epochs: past.epochs}
	if gapCause != "" {
		k.until = past.until
	}
	return k
}

// NewSegment opens a segment of an epoch after those of the past, and declares what lies before it.
func (k *sink) NewSegment(cfg spool.SegmentConfig) (*spool.Writer, error) {
	k.until = laterOf(k.until, k.s.Until())
	if !k.until.IsZero() && cfg.Start.After(k.until) {
		cause := causeFull // within one capture, nothing else ends a segment without beginning the next
		if !k.began {
			cause = k.gapCause
		}
		gap := spool.GapDeclared{Start: k.until, End: cfg.Start, Cause: cause}
		if _, err := k.s.Append(spool.Event{Time: cfg.Start, GapDeclared: &gap}); err != nil {
			return nil, err
		}
		k.until = cfg.Start
	}
	cfg.Epoch += k.past.epochs
	cfg.Interval = k.interval
	w, err := k.s.NewSegment(cfg)
	switch {
	case err == nil:
		k.began = true
	case errors.Is(err, spool.ErrFull) && k.gapCause != "":
		k.gapCause = causeFull
	}
	return w, err
}

// Append appends an event of an epoch after those of the past; the gap before the first segment begins where the past ended.
func (k *sink) Append(e spool.Event) (int64, error) {
	if s := e.EpochStarted; s != nil {
		moved := *s
		moved.Epoch += k.past.epochs
		k.epochs = max(k.epochs, moved.Epoch)
		if s.Epoch == 1 && k.epochCause != "" {
			moved.Cause, e.Time = k.epochCause, laterOf(e.Time, k.past.until)
		}
		e.EpochStarted = &moved
	}
	if g := e.GapDeclared; g != nil {
		moved := *g
		if !k.began && k.gapCause != "" {
			moved.Start, moved.Cause = k.until, k.gapCause
		}
		k.until = laterOf(k.until, moved.End)
		e.GapDeclared = &moved
	}
	return k.s.Append(e)
}

// now is what the session has once the capture is over, also of what is not yet on disk.
func (k *sink) now(grab *capture.Capture) past {
	p := past{epochs: k.epochs, until: laterOf(laterOf(k.until, k.s.Until()), k.past.until)}
	p.frames, p.last = k.past.count(grab)
	return p
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
