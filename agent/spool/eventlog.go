package spool

import (
	"fmt"
	"os"
)

// eventLog is the append-only file of a session's events. Its user locks.
type eventLog struct {
	file    *os.File
	offsets []int64 // of event i+1
	size    int64
	durable int // events that are on disk
	sealed  map[int]bool
}

// openEventLog opens or makes the log and cuts off a torn end.
func openEventLog(path string) (*eventLog, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open event log: %w", err)
	}
	l := &eventLog{file: f, sealed: make(map[int]bool)}
	b, err := os.ReadFile(path)
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("read event log: %w", err)
	}
	l.size = parseEvents(b, func(e Event, offset int64) {
		l.offsets = append(l.offsets, offset)
		if e.SegmentSealed != nil {
			l.sealed[e.SegmentSealed.Segment] = true
		}
	})
	if err := f.Truncate(l.size); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("cut event log: %w", err)
	}
	// What is here may never have reached the disk: nothing of it is handed out before it has.
	if err := f.Sync(); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("sync event log: %w", err)
	}
	l.durable = len(l.offsets)
	return l, nil
}

// append numbers and writes an event; a line that could only be written in part is overwritten by the next.
func (l *eventLog) append(e Event) (int64, error) {
	e.Number = int64(len(l.offsets)) + 1
	line, err := eventLine(e)
	if err != nil {
		return 0, err
	}
	if _, err := l.file.WriteAt(line, l.size); err != nil {
		return 0, fmt.Errorf("write event: %w", err)
	}
	l.offsets = append(l.offsets, l.size)
	l.size += int64(len(line))
	if e.SegmentSealed != nil {
		l.sealed[e.SegmentSealed.Segment] = true
	}
	return e.Number, nil
}

// read returns at most n events on disk with numbers above after.
func (l *eventLog) read(after int64, n int) ([]Event, error) {
	var events []Event
	for i := max(after, 0); i < int64(l.durable) && len(events) < n; i++ {
		end := l.size
		if i+1 < int64(len(l.offsets)) {
			end = l.offsets[i+1]
		}
		line := make([]byte, end-l.offsets[i]-1)
		if _, err := l.file.ReadAt(line, l.offsets[i]); err != nil {
			return nil, fmt.Errorf("read event %d: %w", i+1, err)
		}
		e, ok := parseEventLine(line)
		if !ok {
			return nil, fmt.Errorf("read event %d: %w", i+1, ErrDamaged)
		}
		events = append(events, e)
	}
	return events, nil
}
