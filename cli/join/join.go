// Package join makes one mp4 of a session's mp4s.
//
// Pieces come in: the mp4s of segments, and cards for what was not recorded, in the order in which they are to be seen; one mp4
// goes out. Where all pieces have one size and one set of codec parameters their pictures are copied as they are; otherwise
// all are encoded anew at the largest width and height, each within black bars.
//
// What always holds: FFmpeg's exit code is not believed alone, but what it wrote is probed: every frame of every piece is in
// the result, and it lasts as long as they do together. The result is whole or an error comes back.
package join

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/internal/ffmpeg"
)

// Piece is a part of the video: an mp4, or a card.
type Piece struct {
	// Path is the mp4; empty for a card.
	Path string
	// Lines are a card's text and Lasts how long it is seen, which is rounded to the card's frames.
	Lines []string
	Lasts time.Duration
}

// Config says what to make.
type Config struct {
	Pieces []Piece
	// Work is a directory for intermediate files, which stay there.
	Work string
	// Path is the file to write; one that is there is overwritten.
	Path string
	// Progress is told how much of the video's total length is done; it may be nil.
	Progress func(done, total time.Duration)
	Logger   hclog.Logger
}

// Result describes the video.
type Result struct {
	Width, Height int
	Frames        int64
	Duration      time.Duration
	// Copied says that no picture was encoded anew.
	Copied bool
}

// part is a piece that is a file by now.
type part struct {
	path  string
	media ffmpeg.Media
}

// roundingPerPiece is how much a piece's length may change where its times are rounded to milliseconds.
const roundingPerPiece = 2 * time.Millisecond

// Run makes the video and blocks until it is there or ctx ends, which kills FFmpeg.
func Run(ctx context.Context, cfg Config) (Result, error) {
	j := &joiner{Config: cfg}
	result, err := j.run(ctx)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return Result{}, fmt.Errorf("join: %w", err)
	}
	return result, nil
}

type joiner struct {
	Config
	width, height int
	total, done   time.Duration
}

func (j *joiner) run(ctx context.Context) (Result, error) {
	parts, err := j.probe(ctx)
	if err != nil {
		return Result{}, err
	}
	copied := true
	if parts, err = j.cards(ctx, parts); err != nil {
		return Result{}, err
	}
	if same, err := j.uniform(parts); err != nil {
		return Result{}, err
	} else if !same {
		copied, j.done = false, 0
		if parts, err = j.fit(ctx, parts); err != nil {
			return Result{}, err
		}
	}
	if err := j.concat(ctx, parts); err != nil {
		return Result{}, err
	}
	return j.check(ctx, parts, copied)
}

// probe looks at the mp4s, and so knows the size and the length of the whole. Parts of cards are empty as yet.
func (j *joiner) probe(ctx context.Context) ([]part, error) {
	parts := make([]part, len(j.Pieces))
	for i, p := range j.Pieces {
		if p.Path == "" {
			j.total += cardLength(p.Lasts)
			continue
		}
		m, err := ffmpeg.Probe(ctx, p.Path)
		if err != nil {
			return nil, err
		}
		if m.Codec != "h264" || m.Frames < 1 {
			return nil, fmt.Errorf("%s is no H.264 video", p.Path)
		}
		parts[i] = part{p.Path, m}
		j.width, j.height = max(j.width, m.Width+m.Width%2), max(j.height, m.Height+m.Height%2)
		j.total += m.Duration
	}
	if j.width == 0 {
		return nil, errors.New("there is no video among the pieces")
	}
	return parts, nil
}

// uniform reports whether the parts can be put together without encoding them.
func (j *joiner) uniform(parts []part) (bool, error) {
	var first []byte
	for i, p := range parts {
		c, err := codecParameters(p.path)
		if err != nil {
			return false, err
		}
		if i == 0 {
			first = c
		}
		if p.media.Width != j.width || p.media.Height != j.height || p.media.PixelFormat != parts[0].media.PixelFormat || string(c) != string(first) {
			return false, nil
		}
	}
	return true, nil
}

// fit encodes every part at the size of the whole.
func (j *joiner) fit(ctx context.Context, parts []part) ([]part, error) {
	fitted := make([]part, len(parts))
	for i, p := range parts {
		out := filepath.Join(j.Work, fmt.Sprintf("fitted-%06d.mp4", i+1))
		filter := fmt.Sprintf("scale=%d:%d:force_original_aspect_ratio=decrease:force_divisible_by=2,pad=%d:%d:(ow-iw)/4*2:(oh-ih)/4*2:black,setsar=1", j.width, j.height, j.width, j.height)
		input := []string{"-protocol_whitelist", "file", "-f", "mov", "-i", "file:" + p.path, "-vf", filter}
		m, err := j.encode(ctx, input, nil, p.media.Frames, p.media.Duration, out)
		if err != nil {
			return nil, fmt.Errorf("fit %s: %w", filepath.Base(p.path), err)
		}
		fitted[i] = part{out, m}
	}
	same, err := j.uniform(fitted)
	if err == nil && !same {
		err = errors.New("the parts came out differently")
	}
	return fitted, err
}

// concat puts the parts together as they are.
func (j *joiner) concat(ctx context.Context, parts []part) error {
	var list strings.Builder
	list.WriteString("ffconcat version 1.0\n")
	for i, p := range parts {
		name := fmt.Sprintf("part-%06d.mp4", i+1) // ours, so that no name has to be quoted
		link := filepath.Join(j.Work, name)
		if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		target, err := filepath.Abs(p.path)
		if err != nil {
			return err
		}
		if err := os.Symlink(target, link); err != nil {
			return err
		}
		fmt.Fprintf(&list, "file %s\nduration %.6f\n", name, p.media.Duration.Seconds())
	}
	path := filepath.Join(j.Work, "list.ffconcat")
	if err := os.WriteFile(path, []byte(list.String()), 0o600); err != nil {
		return err
	}
	return j.ffmpeg(ctx, []string{
		"-protocol_whitelist", "file", "-f", "concat", "-i", "file:" + path,
		"-map", "0:v:0", "-map_metadata", "-1", "-c", "copy", "-video_track_timescale", "1000", "-movflags", "+faststart",
		"-f", "mp4", "-fflags", "+bitexact", "file:" + j.Path,
	}, nil, func(time.Duration) {})
}

// check probes the result.
func (j *joiner) check(ctx context.Context, parts []part, copied bool) (Result, error) {
	m, err := ffmpeg.Probe(ctx, j.Path)
	if err != nil {
		return Result{}, err
	}
	var frames int64
	for _, p := range parts {
		frames += p.media.Frames
	}
	switch off := (m.Duration - j.total).Abs(); {
	case m.Frames != frames:
		return Result{}, fmt.Errorf("the result has %d frames, its parts %d", m.Frames, frames)
	case off > roundingPerPiece*time.Duration(len(parts)+1):
		return Result{}, fmt.Errorf("the result lasts %v, its parts %v", m.Duration, j.total)
	case m.Width != j.width || m.Height != j.height || m.Start != 0:
		return Result{}, fmt.Errorf("the result has %dx%d pixels and starts at %v", m.Width, m.Height, m.Start)
	}
	j.report(j.total)
	return Result{Width: m.Width, Height: m.Height, Frames: m.Frames, Duration: m.Duration, Copied: copied}, nil
}

func (j *joiner) report(done time.Duration) {
	if j.Progress != nil {
		j.Progress(min(done, j.total), j.total)
	}
}
