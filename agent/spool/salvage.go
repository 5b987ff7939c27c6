package spool

import (
	"errors"
	"fmt"
	"time"
)

// The causes of gaps where frames could not be written.
const (
	causeFull   = "spool_full"
	causeFailed = "spool_failed"
)

// salvage seals a segment whose writing went wrong with what of it can be read back. What its writer was told is recorded and is
// not, is a gap.
func (s *Session) salvage(w *Writer) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := w.seg
	s.log.Error("segment cut short", "segment", g.number, "error", w.err)
	_ = w.closeFiles() // their content is judged below
	g.writer = nil
	held := g.bytes
	interval := w.interval
	if interval <= 0 {
		interval = s.interval()
	}
	keep, err := s.recoverSegment(g, interval)
	end := time.Unix(0, g.header.start)
	switch {
	case err != nil:
		return s.breaks(w, err)
	case keep:
		s.spool.bytes.Add(g.bytes - held)
		if end, err = s.sealRecovered(g); err != nil {
			return s.breaks(w, err)
		}
	case g.chunks > 0 || g.number != len(s.segments): // of what was handed out nothing may be missing
		return s.breaks(w, fmt.Errorf("segment %d: %w", g.number, ErrDamaged))
	default:
		if err := s.removeFiles(g); err != nil {
			return s.breaks(w, err)
		}
		s.segments = s.segments[:len(s.segments)-1]
		s.spool.bytes.Add(-held)
	}
	s.notify()
	until := time.Unix(0, w.last).Add(interval)
	if w.frames == 0 || !until.After(end) {
		return nil
	}
	cause := causeFailed
	if errors.Is(w.err, ErrFull) {
		cause = causeFull
	}
	if _, err := s.append(Event{Time: until, GapDeclared: &GapDeclared{Start: end, End: until, Cause: cause, Detail: "cut short"}}); err != nil {
		return s.breaks(w, err)
	}
	return nil
}

// breaks is called with mu held. The session takes no more segments.
func (s *Session) breaks(w *Writer, err error) error {
	if s.broken == nil {
		s.broken = errors.Join(w.err, err)
	}
	return s.broken
}
