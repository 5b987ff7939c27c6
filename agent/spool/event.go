package spool

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// Geometry is the size of the whole desktop in pixels and the monitors on it.
type Geometry struct {
	Width    int       `json:"width"`
	Height   int       `json:"height"`
	Monitors []Monitor `json:"monitors,omitempty"`
}

// Monitor is one output's rectangle on the desktop, in pixels.
type Monitor struct {
	Name    string `json:"name"`
	X       int    `json:"x"`
	Y       int    `json:"y"`
	Width   int    `json:"width"`
	Height  int    `json:"height"`
	Primary bool   `json:"primary,omitempty"`
}

// Event is something that happened on the instance or in the agent. Exactly one of its bodies is set.
type Event struct {
	// Number runs from 1 in the session without holes; Append gives it.
	Number int64 `json:"number"`
	// Time is on the session's time line.
	Time            time.Time         `json:"time"`
	EpochStarted    *EpochStarted     `json:"epoch_started,omitempty"`
	SegmentSealed   *SegmentSealed    `json:"segment_sealed,omitempty"`
	GapDeclared     *GapDeclared      `json:"gap_declared,omitempty"`
	MetadataChanged map[string]string `json:"metadata_changed,omitempty"`
	// MonitorsChanged is the desktop of the present epoch with other monitors than before.
	MonitorsChanged *Geometry `json:"monitors_changed,omitempty"`
}

// EpochStarted says that a new capture began.
type EpochStarted struct {
	Epoch    int      `json:"epoch"`
	Geometry Geometry `json:"geometry"`
	Cause    string   `json:"cause"`
}

// SegmentSealed says what a segment is made of. Its place in the hash chain is Session.Chain.
type SegmentSealed struct {
	Segment int       `json:"segment"`
	Epoch   int       `json:"epoch"`
	Chunks  int       `json:"chunks"`
	Bytes   int64     `json:"bytes"`
	Frames  int64     `json:"frames"`
	Start   time.Time `json:"start"`
	End     time.Time `json:"end"` // exclusive
	Width   int       `json:"width"`
	Height  int       `json:"height"`
}

// GapDeclared says that a stretch was not recorded. Cause is a constant word, Detail is for a person.
type GapDeclared struct {
	Start  time.Time `json:"start"`
	End    time.Time `json:"end"`
	Cause  string    `json:"cause"`
	Detail string    `json:"detail,omitempty"`
}

// maxEventLine bounds a line of the event log: metadata may have 64 entries of 4 KiB, escaped at worst sixfold.
const maxEventLine = 2 << 20

// eventLine returns an event as its line of the log: eight hexadecimal digits of CRC-32C, a blank, JSON.
func eventLine(e Event) ([]byte, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	if len(body) > maxEventLine {
		return nil, fmt.Errorf("encode event: %d bytes are more than %d", len(body), maxEventLine)
	}
	line := fmt.Appendf(make([]byte, 0, len(body)+10), "%08x ", checksum(body))
	return append(append(line, body...), '\n'), nil
}

// parseEventLine reads a line without its line feed.
func parseEventLine(line []byte) (Event, bool) {
	var e Event
	if len(line) < 10 || len(line) > maxEventLine+9 || line[8] != ' ' {
		return e, false
	}
	body := line[9:]
	if !bytes.Equal(line[:8], fmt.Appendf(nil, "%08x", checksum(body))) {
		return e, false
	}
	if json.Unmarshal(body, &e) != nil {
		return Event{}, false
	}
	return e, true
}

// parseEvents calls yield for every event of a log up to the first line that is torn or out of order, and returns how many
// bytes those take.
func parseEvents(b []byte, yield func(e Event, offset int64)) int64 {
	var at int64
	for n := int64(1); ; n++ {
		end := bytes.IndexByte(b[at:], '\n')
		if end < 0 {
			return at
		}
		e, ok := parseEventLine(b[at : at+int64(end)])
		if !ok || e.Number != n {
			return at
		}
		yield(e, at)
		at += int64(end) + 1
	}
}
