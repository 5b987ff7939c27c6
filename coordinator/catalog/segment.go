package catalog

import (
	"fmt"
	"time"

	"github.com/recfleet/recfleet/internal/chunk"
)

// Seal is what is known of a segment that does not grow any more.
type Seal struct {
	Segment       int // from 1
	Epoch         int
	Start, End    time.Time // of the first frame; exclusive
	Width, Height int
	Frames        int64
	Chunks        int
	Bytes         int64
	ChainStart    chunk.Hash // zero where it is not known; see ChainBroken
	ChainEnd      chunk.Hash
}

// ChainBroken reports whether the chain before the segment is not known, since the end of the segment before never came:
// its first chunk cannot be proved to follow, every later one follows the one before.
func (s Seal) ChainBroken() bool { return s.ChainStart == chunk.Hash{} }

// Segment is a stretch of a session whose chunks the bus is seen to hold and that becomes one mp4.
type Segment struct {
	Session string
	Seal
	State     SegmentState
	SealedBy  Party
	Purged    bool      // its chunks are off the bus
	Recording Recording // zero until it is archived

	QuarantineCause QuarantineCause // empty where it is not quarantined
}

// QuarantineCause is why a segment was quarantined.
type QuarantineCause string

// The causes.
const (
	CauseContent     QuarantineCause = "content"      // its encoders said that it cannot be encoded
	CauseEncoderLost QuarantineCause = "encoder_lost" // its encoders disappeared over it
)

// Recording is the mp4 of a segment.
type Recording struct {
	ObjectKey      string // below the archive's root
	ObjectVersion  string // where the archive keeps versions
	Bytes          int64
	SHA256         chunk.Hash
	Width, Height  int
	Frames         int64 // fewer than were captured: those that are as the one before are left out
	Duration       time.Duration
	Codec          string
	FFmpegVersion  string
	EncoderVersion string
	EncoderID      string
	Thumbnails     Thumbnails
}

// Thumbnails are a recording's small pictures; the zero value is none.
type Thumbnails struct {
	Sprite Object `json:"sprite"` // one JPEG of all
	Index  Object `json:"index"`  // WebVTT
}

// Object is one object of the archive.
type Object struct {
	Key     string     `json:"key"` // below the archive's root
	Version string     `json:"version,omitempty"`
	Bytes   int64      `json:"bytes"`
	SHA256  chunk.Hash `json:"sha256"`
}

// SegmentState is where a segment stands.
type SegmentState string

// The states of a segment; the comments say who moves it on.
const (
	SegmentSealed      SegmentState = "sealed"      // jobs, when its job is leased
	SegmentEncoding    SegmentState = "encoding"    // jobs, when its job ends one way or another
	SegmentArchived    SegmentState = "archived"    // final: its mp4 is in the archive
	SegmentQuarantined SegmentState = "quarantined" // an administrator's retry; it cannot be encoded, its chunks are kept
)

// Become returns nil where a segment may go from s to next, and ErrTransition otherwise. It is the whole machine.
func (s SegmentState) Become(next SegmentState) error {
	ok := false
	switch s {
	case SegmentSealed:
		ok = next == SegmentEncoding
	case SegmentEncoding:
		ok = next == SegmentSealed || next == SegmentArchived || next == SegmentQuarantined
	case SegmentQuarantined:
		ok = next == SegmentSealed
	case SegmentArchived:
	}
	if !ok {
		return fmt.Errorf("segment from %q to %q: %w", s, next, ErrTransition)
	}
	return nil
}

// Final reports whether a segment stays in this state unless somebody orders otherwise.
func (s SegmentState) Final() bool { return s == SegmentArchived || s == SegmentQuarantined }
