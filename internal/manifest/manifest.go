// Package manifest holds the form of manifest.json, the list of what there is of a session that is over.
//
// The coordinator writes and signs it, recctl reads it. What always holds: the same manifest gives the same bytes; fields may
// be added to it, none changes its meaning.
package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Format and Version are what a manifest says of itself.
const (
	Format  = "recfleet manifest"
	Version = 1
)

// frames is how many frame intervals may lie between a frame and the next without a gap. Agents count the same way.
const frames = 3

// Tolerance is the longest stretch between two frames of a session that is no gap.
func Tolerance(frameRate int) time.Duration {
	return frames * time.Second / time.Duration(max(frameRate, 1))
}

// Manifest is the content of manifest.json.
type Manifest struct {
	Format  string  `json:"format"`
	Version int     `json:"version"`
	Session Session `json:"session"`
	// Addendum is set in every manifest but the first of its session.
	Addendum *Addendum `json:"addendum,omitempty"`

	RecordedSeconds float64 `json:"recorded_seconds"` // of the archived segments
	MissingSeconds  float64 `json:"missing_seconds"`  // of the gaps

	Epochs   []Epoch   `json:"epochs"`
	Segments []Segment `json:"segments"`
	Gaps     []Gap     `json:"gaps"`
	// Documents are what lies beside the mp4s and was there before the manifest.
	Documents []Document `json:"documents,omitempty"`
}

// Document is a file in the session's folder.
type Document struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Session is what the manifest says of the session as a whole.
type Session struct {
	ID           string     `json:"id"`
	State        string     `json:"state"`
	StateReason  string     `json:"state_reason,omitempty"`
	User         string     `json:"user,omitempty"`
	Stack        string     `json:"stack,omitempty"`
	Fleet        string     `json:"fleet,omitempty"`
	Instance     string     `json:"instance,omitempty"`
	Start        time.Time  `json:"start_time"`
	End          time.Time  `json:"end_time"`
	Registered   time.Time  `json:"registered_time"` // by the coordinator's clock
	Lost         *time.Time `json:"lost_time,omitempty"`
	EndedBy      string     `json:"ended_by"`
	EndReason    string     `json:"end_reason,omitempty"`
	StopReason   string     `json:"stop_reason,omitempty"`
	AgentVersion string     `json:"agent_version,omitempty"`
	FrameRate    int        `json:"frame_rate"`
	ChainStart   string     `json:"chain_start"`
	Events       int64      `json:"events"`
}

// Epoch is a stretch with one geometry.
type Epoch struct {
	Number   int       `json:"number"`
	Start    time.Time `json:"start_time"`
	Geometry Geometry  `json:"geometry"`
	Cause    string    `json:"cause,omitempty"`
}

// Geometry is the desktop's size in pixels and the monitors on it.
type Geometry struct {
	Width    int       `json:"width"`
	Height   int       `json:"height"`
	Monitors []Monitor `json:"monitors,omitempty"`
}

// Monitor is one output's rectangle on the desktop.
type Monitor struct {
	Name    string `json:"name"`
	X       int    `json:"x"`
	Y       int    `json:"y"`
	Width   int    `json:"width"`
	Height  int    `json:"height"`
	Primary bool   `json:"primary,omitempty"`
}

// What Segment.State and the parties in Segment.SealedBy and Session.EndedBy are.
const (
	Archived    = "archived"
	Quarantined = "quarantined"
	Agent       = "agent"
	Coordinator = "coordinator"
)

// Causes of gaps that tell more than that something is missing.
const (
	// CauseUnexplained is the cause of a stretch for which nobody had one.
	CauseUnexplained = "unexplained"
	// CauseQuarantined is the cause of a stretch whose segment could not be encoded.
	CauseQuarantined = "segment_quarantined"
)

// Segment is a stretch that became one mp4, unless its State says otherwise.
type Segment struct {
	Number        int       `json:"number"`
	Epoch         int       `json:"epoch"`
	State         string    `json:"state"`
	Quarantine    string    `json:"quarantine_cause,omitempty"`
	SealedBy      string    `json:"sealed_by"`
	Start         time.Time `json:"start_time"`
	End           time.Time `json:"end_time"`
	Width         int       `json:"width"`
	Height        int       `json:"height"`
	Frames        int64     `json:"frames"` // captured, identical ones included
	Chunks        int       `json:"chunks"`
	CapturedBytes int64     `json:"captured_bytes"`
	ChainStart    string    `json:"chain_start,omitempty"`
	ChainBroken   bool      `json:"chain_broken_before,omitempty"` // the chain's start is not known
	ChainEnd      string    `json:"chain_end"`
	Object        *Object   `json:"object,omitempty"` // of an archived segment
}

// Object is an mp4 in the archive.
type Object struct {
	Key             string  `json:"key"`
	Version         string  `json:"version,omitempty"`
	Bytes           int64   `json:"bytes"`
	SHA256          string  `json:"sha256"`
	Width           int     `json:"width"`
	Height          int     `json:"height"`
	Scaled          string  `json:"scaled,omitempty"` // why the video is smaller than the desktop; see videosize.Cause
	Frames          int64   `json:"frames"`           // less than the segment's: those that are as the one before are left out
	DurationSeconds float64 `json:"duration_seconds"`
	Codec           string  `json:"codec"`
	FFmpegVersion   string  `json:"ffmpeg_version"`
	EncoderVersion  string  `json:"encoder_version"`
	EncoderID       string  `json:"encoder_id"`

	Thumbnails *Thumbnails `json:"thumbnails,omitempty"`
}

// Thumbnails are small pictures of an mp4, all in one JPEG, and a WebVTT file that says which is of which time.
type Thumbnails struct {
	Sprite File `json:"sprite"`
	Index  File `json:"index"`
}

// File is an object that goes with an mp4.
type File struct {
	Key     string `json:"key"`
	Version string `json:"version,omitempty"`
	Bytes   int64  `json:"bytes"`
	SHA256  string `json:"sha256"`
}

// Gap is a stretch that was not recorded.
type Gap struct {
	Start  time.Time `json:"start_time"`
	End    time.Time `json:"end_time"`
	Cause  string    `json:"cause"`
	Detail string    `json:"detail,omitempty"`
}

// Encode returns the manifest as it is archived and signed.
func (m Manifest) Encode() ([]byte, error) {
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("write manifest: %w", err)
	}
	return append(raw, '\n'), nil
}

// Parse reads a manifest. It fails for anything else, and for a version that is not known here; fields that are not known
// are passed over.
func Parse(raw []byte) (Manifest, error) {
	var m Manifest
	if err := json.NewDecoder(bytes.NewReader(raw)).Decode(&m); err != nil {
		return Manifest{}, errors.New("parse manifest: not the JSON of one")
	}
	switch {
	case m.Format != Format:
		return Manifest{}, fmt.Errorf("parse manifest: format %q is not %q", m.Format, Format)
	case m.Version != Version:
		return Manifest{}, fmt.Errorf("parse manifest: version %d is not known", m.Version)
	case m.Addendum != nil && m.Addendum.Number < 2:
		return Manifest{}, fmt.Errorf("parse manifest: an addendum cannot be number %d", m.Addendum.Number)
	}
	return m, nil
}
