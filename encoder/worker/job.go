package worker

import (
	"errors"
	"fmt"
	"time"

	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/videosize"
)

// Job is one segment to encode.
type Job struct {
	// Generation numbers the lease; two leases on one segment never share a work directory.
	Generation int64
	Source     Source
	Settings   Settings
	// ObjectKey is where the mp4 goes, below the archive's root; SpriteKey and ThumbnailIndexKey are for the thumbnails, both
	// empty where none are wanted.
	ObjectKey, SpriteKey, ThumbnailIndexKey string
}

// Source says where the lossless stream of a segment is and what must be true of it.
type Source struct {
	Session       string
	Segment       int
	Chunks        int
	Bytes         int64
	Frames        int64
	Width, Height int
	Start         time.Time
	Duration      time.Duration
	// Chain hash before the first chunk and after the last.
	// ChainStart is zero where the chunks before the segment are lost and nobody can prove the chain up to it; then it is
	// taken up at the first chunk.
	ChainStart, ChainEnd chunk.Hash
}

// Settings is how to make the mp4; see transcode.Config.
type Settings struct {
	FrameRate        int
	Preset           string
	CRF              int
	KeyframeInterval time.Duration
	// Bitrate in bits a second takes the place of CRF, MaxFrameRate leaves out frames that come faster, MaxWidth and MaxHeight
	// scale larger desktops down. 0 where none is set.
	Bitrate                           int64
	MaxFrameRate, MaxWidth, MaxHeight int
	// ThumbnailInterval is the time between two thumbnails, at least a second.
	ThumbnailInterval time.Duration
}

// size returns the size of the mp4.
func (j Job) size() (width, height int) {
	width, height, _ = videosize.Fit(j.Source.Width, j.Source.Height, j.Settings.MaxWidth, j.Settings.MaxHeight)
	return width, height
}

// Validate reports the first field that cannot be right. What it accepts is safe in a subject and in a file's name.
func (j Job) Validate() error {
	s := j.Source
	switch {
	case !chunk.ValidSession(s.Session):
		return errors.New("session id is malformed")
	case s.Segment < 1:
		return fmt.Errorf("segment %d is out of bounds", s.Segment)
	case s.Chunks < 1:
		return fmt.Errorf("%d chunks are none", s.Chunks)
	case s.Bytes < 1 || s.Bytes > int64(s.Chunks)*chunk.MaxPayload:
		return fmt.Errorf("%d bytes do not fit %d chunks", s.Bytes, s.Chunks)
	case s.Frames < 1:
		return fmt.Errorf("%d frames are none", s.Frames)
	case s.Duration <= 0:
		return fmt.Errorf("duration %v is out of bounds", s.Duration)
	case j.Generation < 0:
		return fmt.Errorf("generation %d is out of bounds", j.Generation)
	case s.Width < 1 || s.Height < 1:
		return fmt.Errorf("size %dx%d is out of bounds", s.Width, s.Height)
	case j.Settings.MaxWidth < 0 || j.Settings.MaxHeight < 0:
		return fmt.Errorf("largest size %dx%d is out of bounds", j.Settings.MaxWidth, j.Settings.MaxHeight)
	case (j.SpriteKey == "") != (j.ThumbnailIndexKey == ""):
		return errors.New("one of the thumbnails' keys is missing")
	case j.SpriteKey != "" && j.Settings.ThumbnailInterval < time.Second:
		return fmt.Errorf("thumbnail interval %v is out of bounds", j.Settings.ThumbnailInterval)
	case j.ObjectKey == "":
		return errors.New("object key is missing")
	}
	return nil
}

// Result describes an archived mp4.
type Result struct {
	Bytes         int64
	SHA256        [32]byte
	Captured      int64 // frames that were decoded
	Frames        int64 // in the mp4
	Duration      time.Duration
	Width, Height int
	// ObjectVersion is the archive's id of the object, where it keeps versions.
	ObjectVersion string
	// Sprite and ThumbnailIndex are what else was archived; without a key where it was not.
	Sprite, ThumbnailIndex File
}

// File is an archived object.
type File struct {
	Key, Version string
	Bytes        int64
	SHA256       [32]byte
}

// Cause says whose fault a failure is. It decides whether the attempt counts.
type Cause int

// The causes. A failure of the content may be FFmpeg's inability to encode it: what fails everywhere counts.
const (
	Content     Cause = iota + 1 // the chunks are damaged, missing, not what was announced, or cannot be encoded
	Destination                  // the archive or the bus did not do its part
	Encoder                      // this machine: disk, memory, FFmpeg missing, shutdown
)

// String returns the cause's name in logs.
func (c Cause) String() string {
	switch c {
	case Content:
		return "content"
	case Destination:
		return "destination"
	case Encoder:
		return "encoder"
	}
	return "unknown"
}

// Failure is an attempt that failed, with its cause.
type Failure struct {
	Cause Cause
	Err   error
}

// Error is the underlying error's text.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns the underlying error.
func (f *Failure) Unwrap() error { return f.Err }

func failure(cause Cause, format string, args ...any) *Failure {
	return &Failure{Cause: cause, Err: fmt.Errorf(format, args...)}
}
