// Package transcode makes the mp4 of one segment: the desktop's pictures come in with their times, FFmpeg with libx264
// makes H.264 of them, and a fragmented mp4 file goes out.
//
// FFmpeg gets planar pictures over a pipe, in a Matroska stream of our own making: nothing that came from a desktop reaches
// a demuxer, a decoder, a path or a command line. Every picture becomes one frame at its own time. No more than two
// pictures are in memory here, however long the segment. FFmpeg's exit code is not believed alone: any message of an error
// is a failure too.
package transcode

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/internal/ffmpeg"
)

// Failures that are not the pictures' fault. Every other error of Run that did not come from next is FFmpeg's verdict on
// the pictures or the settings.
var (
	// ErrMissing means that FFmpeg cannot be started.
	ErrMissing = errors.New("ffmpeg cannot be started")
	// ErrNoSpace means that the disk of the work directory is full.
	ErrNoSpace = errors.New("no space left in the work directory")
	// ErrKilled means that somebody else killed FFmpeg, as the kernel does where memory runs out.
	ErrKilled = errors.New("ffmpeg was killed")
	// ErrNoMemory means that the machine had no memory for FFmpeg. One that asks for more than a segment can need is not
	// meant: that is its verdict on the pictures.
	ErrNoMemory = errors.New("no memory left for ffmpeg")
)

// MaxSide is the largest width and height of a picture.
const MaxSide = 8192

// Config says what to make.
type Config struct {
	// Width and Height of the desktop in pixels, 1 to MaxSide; the video has the next even numbers.
	Width, Height int
	// Frames is how many pictures will come and Duration the time from the first to the end of the last.
	Frames   int64
	Duration time.Duration
	// FrameRate is the normal number of pictures a second, 1 to 60; the real times may differ.
	FrameRate int
	// Preset is x264's name and CRF its constant rate factor, 0 to 51. 0 is taken as 1: 0 would be lossless, in a profile that
	// no browser plays.
	Preset string
	CRF    int
	// KeyframeInterval is the largest time between keyframes, as far as there are pictures.
	KeyframeInterval time.Duration
	// Stall is how long FFmpeg may take for one picture, and for the end.
	Stall time.Duration
	// Path is the file to write.
	Path   string
	Logger hclog.Logger
}

// Validate reports the first field that is out of bounds.
func (c Config) Validate() error {
	switch {
	case c.Width < 1 || c.Width > MaxSide || c.Height < 1 || c.Height > MaxSide:
		return fmt.Errorf("size %dx%d is out of bounds", c.Width, c.Height)
	case c.Frames < 1:
		return fmt.Errorf("%d frames are none", c.Frames)
	case c.Duration <= 0 || c.Duration > 24*time.Hour:
		return fmt.Errorf("duration %v is out of bounds", c.Duration)
	case c.FrameRate < 1 || c.FrameRate > 60:
		return fmt.Errorf("frame rate %d is out of bounds", c.FrameRate)
	case !knownPreset(c.Preset):
		return fmt.Errorf("preset %q is unknown", c.Preset)
	case c.CRF < 0 || c.CRF > 51:
		return fmt.Errorf("constant rate factor %d is out of bounds", c.CRF)
	case c.KeyframeInterval < time.Second || c.KeyframeInterval > time.Hour:
		return fmt.Errorf("keyframe interval %v is out of bounds", c.KeyframeInterval)
	case c.Stall <= 0:
		return fmt.Errorf("stall limit %v is out of bounds", c.Stall)
	}
	return nil
}

func knownPreset(name string) bool {
	switch name {
	case "ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow":
		return true
	}
	return false
}

// Picture is what was on screen from At on, counted from the start of the segment.
type Picture struct {
	// Pix is the whole desktop in BGR0, only read until the next picture is asked for.
	Pix []byte
	At  time.Duration
	// Same says that nothing changed since the last picture; otherwise Changed holds every pixel that did, nil meaning that
	// any may have.
	Same    bool
	Changed []image.Rectangle
}

// niceness lets everything else on the host go first: encoding can wait, capture and the broker cannot.
const niceness = 10

// Run makes the mp4 from the pictures that next returns until it returns io.EOF, and blocks until FFmpeg is gone. An error
// of next comes back wrapped. When ctx ends, FFmpeg is killed and the error is ctx's cause.
func Run(ctx context.Context, cfg Config, next func() (Picture, error)) error {
	if err := cfg.Validate(); err != nil {
		return fmt.Errorf("transcode: %w", err)
	}
	p, err := ffmpeg.Start(ffmpeg.Config{Args: arguments(cfg), Stdin: true, Nice: niceness, Limits: limits(cfg), Offline: true, Logger: cfg.Logger})
	if err != nil {
		return fmt.Errorf("transcode: %w: %w", ErrMissing, err)
	}
	var stalled atomic.Bool
	watchdog := time.AfterFunc(cfg.Stall, func() {
		stalled.Store(true)
		p.Kill()
	})
	defer watchdog.Stop()
	defer context.AfterFunc(ctx, p.Kill)()

	f := feeder{cfg: cfg, planes: newPlanes(cfg.Width, cfg.Height), watchdog: watchdog}
	f.muxer = newMuxer(p.Stdin(), f.planes.evenW, f.planes.evenH, time.Second/time.Duration(cfg.FrameRate))
	feedErr := f.feed(next)
	var writeErr *writeError
	if feedErr != nil && !errors.As(feedErr, &writeErr) {
		p.Kill()
	}
	watchdog.Reset(cfg.Stall)
	closeErr := p.Stdin().Close()
	exit, waitErr := p.Wait()

	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("transcode: %w", context.Cause(ctx))
	case feedErr != nil && writeErr == nil:
		return fmt.Errorf("transcode: %w", feedErr)
	case stalled.Load():
		return fmt.Errorf("transcode: ffmpeg made no progress for %v after frame %d", cfg.Stall, f.muxer.frames)
	case exit.Limit != "":
		return fmt.Errorf("transcode: ffmpeg ended after frame %d with %v", f.muxer.frames, exit)
	case errors.Is(feedErr, syscall.ENOSPC), strings.Contains(exit.Stderr, noSpaceMessage):
		return fmt.Errorf("transcode: %w", ErrNoSpace)
	case ffmpeg.RefusedMemory(exit):
		return fmt.Errorf("transcode: %w: %v", ErrNoMemory, exit)
	case exit.Signal == syscall.SIGKILL.String(), exit.Signal == syscall.SIGTERM.String():
		return fmt.Errorf("transcode: %w: signal %s after frame %d", ErrKilled, exit.Signal, f.muxer.frames)
	case exit.Code != 0, exit.Stderr != "":
		return fmt.Errorf("transcode: ffmpeg ended after frame %d with %v", f.muxer.frames, exit)
	}
	if err := errors.Join(feedErr, closeErr, waitErr); err != nil {
		return fmt.Errorf("transcode: %w", err)
	}
	return nil
}

// noSpaceMessage is how the C library words ENOSPC.
const noSpaceMessage = "No space left on device"

// feeder hands pictures to FFmpeg.
type feeder struct {
	cfg      Config
	planes   *planes
	muxer    *muxer
	watchdog *time.Timer
}

// writeError is a failure of the pipe to FFmpeg, behind which is mostly a failure of FFmpeg.
type writeError struct{ error }

func (e *writeError) Unwrap() error { return e.error }

// feed sends pictures until io.EOF. The watchdog runs only while FFmpeg is waited for.
func (f *feeder) feed(next func() (Picture, error)) error {
	last := time.Duration(-1)
	for {
		f.watchdog.Stop()
		pic, err := next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch {
		case f.muxer.frames == f.cfg.Frames:
			return fmt.Errorf("more than the %d frames that were to come", f.cfg.Frames)
		case len(pic.Pix) != f.cfg.Width*f.cfg.Height*4:
			return fmt.Errorf("frame %d has %d bytes of pixels", f.muxer.frames, len(pic.Pix))
		case pic.At <= last, f.muxer.frames == 0 && pic.At != 0, pic.At > f.cfg.Duration:
			return fmt.Errorf("frame %d at %v is out of order", f.muxer.frames, pic.At)
		}
		last = pic.At
		f.update(pic)
		f.watchdog.Reset(f.cfg.Stall)
		if err := f.muxer.write(f.planes.pix, pic.At); err != nil {
			return &writeError{err}
		}
	}
	if f.muxer.frames != f.cfg.Frames {
		return fmt.Errorf("%d frames came instead of %d", f.muxer.frames, f.cfg.Frames)
	}
	return nil
}

func (f *feeder) update(pic Picture) {
	switch {
	case f.muxer.frames == 0, !pic.Same && pic.Changed == nil:
		f.planes.convert(pic.Pix, image.Rect(0, 0, f.cfg.Width, f.cfg.Height))
	case !pic.Same:
		for _, r := range pic.Changed {
			f.planes.convert(pic.Pix, r)
		}
	}
}
