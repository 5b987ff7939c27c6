package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"time"
)

// makingSuffix marks the folder of a session that is being put together.
const makingSuffix = ".making"

// causeElsewhere is the cause of a gap that stands for segments which the server has in the session before.
const causeElsewhere = "recorded_in_continued_session"

// Continue makes another session of what is left of one in which nothing is being written any more: the segments without a receipt and what was told of their time,
// numbered anew. The new session is not registered and begins with the first of these segments or, where there are none, where the old
// one was recorded to. change may add to its registration. The old one is removed. A crash leaves one of the two.
func (p *Spool) Continue(s *Session, requestID string, change func(*Registration)) (*Session, error) {
	if !requestIDForm.MatchString(requestID) {
		return nil, fmt.Errorf("continue session: request id %q does not match %s", requestID, requestIDForm)
	}
	if err := s.Flush(); err != nil {
		return nil, fmt.Errorf("continue session: %w", err)
	}
	m, err := s.remainder()
	if err != nil {
		return nil, fmt.Errorf("continue session: %w", err)
	}
	reg := m.registration(s.Registration(), requestID)
	change(&reg)
	if err := s.Update(func(r *Registration) { r.ContinuedAs = requestID }); err != nil {
		return nil, fmt.Errorf("continue session: %w", err)
	}
	if err := s.Close(); err != nil {
		return nil, fmt.Errorf("continue session: %w", err)
	}
	dir := filepath.Join(p.dir, "sessions", requestID)
	err = p.closing(func() error { return errors.Join(os.RemoveAll(dir+makingSuffix), m.write(s, dir+makingSuffix, reg)) })
	if err != nil {
		return nil, errors.Join(fmt.Errorf("continue session: %w", err), os.RemoveAll(dir+makingSuffix))
	}
	if err := renameFile(dir+makingSuffix, dir); err != nil {
		return nil, fmt.Errorf("continue session: %w", err)
	}
	for _, g := range m.segments {
		p.bytes.Add(-g.bytes) // recovering the new one counts them
	}
	next, err := p.recoverSession(dir)
	if err != nil {
		return nil, fmt.Errorf("continue session: %w", err)
	}
	return next, s.discard()
}

// remainder is what another session is made of.
type remainder struct {
	segments []*segment // of the old session
	start    time.Time
	metadata map[string]string // told before the start
	geometry Geometry          // at the start
	epoch    int               // of the first segment, in the old session
	events   []Event           // of the new session
}

// remainder collects what is left of a session. Its segments must be sealed.
func (s *Session) remainder() (*remainder, error) {
	events, err := s.Events(0, int(s.LastEvent()))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := &remainder{start: s.reg.Start, metadata: make(map[string]string), geometry: s.reg.Geometry}
	numbers := make(map[int]int) // of the segments, by the old ones
	for _, g := range s.segments {
		switch g.state {
		case StateFreed:
		case StateOpen:
			return nil, fmt.Errorf("segment %d is open", g.number)
		default:
			m.segments = append(m.segments, g)
			numbers[g.number] = len(m.segments)
		}
	}
	if len(m.segments) > 0 {
		m.start, m.epoch = time.Unix(0, m.segments[0].header.start), m.segments[0].header.epoch
	} else {
		m.start, m.epoch = lastTime(m.start, events)
	}
	m.collect(events, numbers)
	return m, nil
}

// lastTime returns up to when a session was recorded, and a number above that of every epoch of which there is a segment.
func lastTime(start time.Time, events []Event) (time.Time, int) {
	epoch := 1
	for _, e := range events {
		until := start
		switch {
		case e.SegmentSealed != nil:
			until, epoch = e.SegmentSealed.End, max(epoch, e.SegmentSealed.Epoch+1)
		case e.GapDeclared != nil:
			until = e.GapDeclared.End
		}
		if until.After(start) {
			start = until
		}
	}
	return start, epoch
}

// collect goes through the old session's events in their order.
func (m *remainder) collect(events []Event, numbers map[int]int) {
	for _, e := range events {
		m.geometryAtStart(e)
		if e.MetadataChanged != nil && e.Time.Before(m.start) {
			maps.Copy(m.metadata, e.MetadataChanged)
		}
	}
	if len(m.segments) > 0 {
		m.events = append(m.events, Event{Time: m.start, EpochStarted: &EpochStarted{Epoch: 1, Geometry: m.geometry, Cause: "session continued"}})
	}
	for _, e := range events {
		switch {
		case e.EpochStarted != nil && e.EpochStarted.Epoch > m.epoch && len(m.segments) > 0:
			moved := *e.EpochStarted
			moved.Epoch -= m.epoch - 1
			e.EpochStarted = &moved
		case e.SegmentSealed != nil && numbers[e.SegmentSealed.Segment] > 0:
			moved := *e.SegmentSealed
			moved.Segment, moved.Epoch = numbers[moved.Segment], moved.Epoch-(m.epoch-1)
			e.SegmentSealed = &moved
		case e.SegmentSealed != nil && e.SegmentSealed.Start.After(m.start):
			g := e.SegmentSealed
			e = Event{Time: e.Time, GapDeclared: &GapDeclared{Start: g.Start, End: g.End, Cause: causeElsewhere, Detail: fmt.Sprintf("segment %d", g.Segment)}}
		case e.GapDeclared != nil && !e.GapDeclared.Start.Before(m.start):
		case e.MetadataChanged != nil && !e.Time.Before(m.start):
		case e.MonitorsChanged != nil && e.Time.After(m.start) && len(m.segments) > 0:
		default:
			continue
		}
		m.events = append(m.events, e)
	}
}

// geometryAtStart notes what an event says of the desktop at the start.
func (m *remainder) geometryAtStart(e Event) {
	switch {
	case e.EpochStarted != nil && e.EpochStarted.Epoch <= m.epoch:
		m.geometry = e.EpochStarted.Geometry
	case e.MonitorsChanged != nil && !e.Time.After(m.start):
		m.geometry = *e.MonitorsChanged
	}
}

func (m *remainder) registration(old Registration, requestID string) Registration {
	r := old
	r.RequestID, r.SessionID, r.RegisterAs, r.Tried = requestID, "", "", false
	r.Refused, r.Ended, r.ContinuedAs = "", false, ""
	r.Start, r.Geometry = m.start, m.geometry
	r.Metadata = make(map[string]string, len(old.Metadata))
	maps.Copy(r.Metadata, old.Metadata)
	maps.Copy(r.Metadata, m.metadata)
	return r
}

// write makes the folder of the new session, durable but for its name. The streams are the old ones under another name.
func (m *remainder) write(s *Session, dir string, reg Registration) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	for i, g := range m.segments {
		b, err := os.ReadFile(s.path(g.number, "chunks"))
		if err != nil {
			return err
		}
		x, _, ok := parseIndex(b)
		if !ok || x.seal == nil {
			return fmt.Errorf("index of segment %d: %w", g.number, ErrDamaged)
		}
		x.moveEpoch(1 - m.epoch)
		name := filepath.Join(dir, segmentFile(i+1, "chunks"))
		if err := replaceFile(name, x.encode()); err != nil {
			return err
		}
		if err := os.Link(s.path(g.number, g.state.String()), filepath.Join(dir, segmentFile(i+1, StateSealed.String()))); err != nil {
			return err
		}
	}
	if err := writeEvents(filepath.Join(dir, "events.log"), m.events); err != nil {
		return err
	}
	b, err := json.MarshalIndent(reg, "", "  ")
	if err != nil {
		return err
	}
	return replaceFile(filepath.Join(dir, "session.json"), append(b, '\n')) // which syncs the folder, with all that is in it
}

// moveEpoch adds to the epoch of every record.
func (x *index) moveEpoch(by int) {
	x.header.epoch += by
	for i := range x.chunks {
		x.chunks[i].epoch += by
	}
	if x.seal != nil {
		x.seal.epoch += by
	}
}

// writeEvents writes a log of events in their order.
func writeEvents(path string, events []Event) error {
	l, err := openEventLog(path)
	if err != nil {
		return err
	}
	for _, e := range events {
		if _, err := l.append(e); err != nil {
			return errors.Join(err, l.file.Close())
		}
	}
	return errors.Join(l.file.Sync(), l.file.Close())
}

// discard deletes a closed session that goes on as another one.
func (s *Session) discard() error {
	if err := os.Rename(s.dir, s.dir+removedSuffix); err != nil {
		return fmt.Errorf("discard session: %w", err)
	}
	if err := os.RemoveAll(s.dir + removedSuffix); err != nil {
		return fmt.Errorf("discard session: %w", err)
	}
	return nil
}

// discardContinued deletes the sessions that a crash left beside those that they go on as.
func (p *Spool) discardContinued() error {
	known := make(map[string]bool)
	for _, s := range p.sessions {
		known[s.reg.RequestID] = true
	}
	kept := p.sessions[:0]
	for _, s := range p.sessions {
		if s.reg.ContinuedAs == "" || !known[s.reg.ContinuedAs] {
			kept = append(kept, s)
			continue
		}
		for _, g := range s.Segments() {
			if g.State != StateFreed {
				p.bytes.Add(-g.Bytes)
			}
		}
		if err := errors.Join(s.Close(), s.discard()); err != nil {
			return err
		}
	}
	p.sessions = kept
	return nil
}
