package catalog

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/recfleet/recfleet/internal/chunk"
)

// Event is something that happened on the instance or in the agent. Exactly one of the pointers and Metadata is set.
type Event struct {
	Number   int64 // from 1 in its session, without holes
	Time     time.Time
	Epoch    *Epoch
	Seal     *Seal
	Gap      *Gap
	Monitors *Geometry         // the desktop's size, which did not change, and its monitors, which did
	Metadata map[string]string // added to the session's, or replacing entries of it
}

// EventKind names what an event is about.
type EventKind string

// The kinds of events.
const (
	EventEpochStarted    EventKind = "epoch_started"
	EventSegmentSealed   EventKind = "segment_sealed"
	EventGapDeclared     EventKind = "gap_declared"
	EventMetadataChanged EventKind = "metadata_changed"
	EventMonitorsChanged EventKind = "monitors_changed"
)

// Kind returns what the event is about; empty where nothing of it is set.
func (e Event) Kind() EventKind {
	switch {
	case e.Epoch != nil:
		return EventEpochStarted
	case e.Seal != nil:
		return EventSegmentSealed
	case e.Gap != nil:
		return EventGapDeclared
	case e.Metadata != nil:
		return EventMetadataChanged
	case e.Monitors != nil:
		return EventMonitorsChanged
	}
	return ""
}

// eventBody is the stored form of an event's content.
type eventBody struct {
	Number   int               `json:"number,omitempty"`
	Epoch    int               `json:"epoch,omitempty"`
	Start    *time.Time        `json:"start,omitempty"`
	End      *time.Time        `json:"end,omitempty"`
	Geometry *Geometry         `json:"geometry,omitempty"`
	Frames   int64             `json:"frames,omitempty"`
	Chunks   int               `json:"chunks,omitempty"`
	Bytes    int64             `json:"bytes,omitempty"`
	Chain    []string          `json:"chain,omitempty"`
	Cause    string            `json:"cause,omitempty"`
	Detail   string            `json:"detail,omitempty"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// body returns the event's content as it is stored.
func (e Event) body() (string, error) {
	var b eventBody
	switch e.Kind() {
	case EventEpochStarted:
		b = eventBody{Number: e.Epoch.Number, Start: &e.Epoch.Start, Geometry: &e.Epoch.Geometry, Cause: e.Epoch.Cause}
	case EventSegmentSealed:
		s := e.Seal
		b = eventBody{
			Number: s.Segment, Epoch: s.Epoch, Start: &s.Start, End: &s.End, Geometry: &Geometry{Width: s.Width, Height: s.Height},
			Frames: s.Frames, Chunks: s.Chunks, Bytes: s.Bytes, Chain: []string{s.ChainStart.String(), s.ChainEnd.String()},
		}
	case EventGapDeclared:
		b = eventBody{Start: &e.Gap.Start, End: &e.Gap.End, Cause: e.Gap.Cause, Detail: e.Gap.Detail}
	case EventMetadataChanged:
		b = eventBody{Metadata: e.Metadata}
	case EventMonitorsChanged:
		b = eventBody{Geometry: e.Monitors}
	default:
		return "", fmt.Errorf("store event %d: it has no content", e.Number)
	}
	return marshal(b)
}

func marshal(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}

func parseHex(s string) (chunk.Hash, error) {
	if s == "" {
		return chunk.Hash{}, nil
	}
	b, err := hex.DecodeString(s)
	if err != nil {
		return chunk.Hash{}, fmt.Errorf("read hash: %w", err)
	}
	return chunk.ParseHash(b)
}
