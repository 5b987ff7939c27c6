// Package transcode makes the mp4 of one segment: the desktop's pictures come in with their times, FFmpeg with libx264
// makes H.264 of them, and a fragmented mp4 file goes out.
//
// FFmpeg gets planar pictures over a pipe, in a Matroska stream of our own making: nothing that came from a desktop reaches
// a demuxer, a decoder, a path or a command line. A picture becomes a frame at its own time where the desktop has changed,
// and every few seconds where it has not. No more than two pictures are in memory here, however long the segment. FFmpeg's
// exit code is not believed alone: any message of an error is a failure too, and Run says which frames the mp4 must hold.
package transcode

import (
	"context"
	"errors"
	"fmt"
	"image"
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
	// Width and Height of the desktop in pixels, 1 to MaxSide.
	Width, Height int
	// VideoWidth and VideoHeight are the size of the video, even; where it is not the desktop's, padded to even numbers, the
	// pictures are scaled.
	VideoWidth, VideoHeight int
	// Frames is how many pictures will come and Duration the time from the first to the end of the last.
	Frames   int64
	Duration time.Duration
	// FrameRate is the normal number of pictures a second, 1 to 60; the real times may differ.
	FrameRate int
	// Preset is x264's name and CRF its constant rate factor, 0 to 51. 0 is taken as 1: 0 would be lossless, in a profile that
	// no browser plays.
	Preset string
	CRF    int
	// Bitrate in bits a second takes the place of CRF where it is not 0.
	Bitrate int64
	// MaxFrameRate leaves out pictures that come faster, but for the last one; 0 for none.
	MaxFrameRate int
	// KeyframeInterval is the largest time between keyframes, and StillInterval between frames, as far as there are pictures.
	KeyframeInterval, StillInterval time.Duration
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
	case c.VideoWidth < 2 || c.VideoWidth > MaxSide || c.VideoWidth%2 != 0 || c.VideoHeight < 2 || c.VideoHeight > MaxSide || c.VideoHeight%2 != 0:
		return fmt.Errorf("video size %dx%d is out of bounds", c.VideoWidth, c.VideoHeight)
	case c.Bitrate != 0 && (c.Bitrate < 1000 || c.Bitrate > 1e9):
		return fmt.Errorf("bit rate %d is out of bounds", c.Bitrate)
	case c.MaxFrameRate < 0 || c.MaxFrameRate > 60:
		return fmt.Errorf("largest frame rate %d is out of bounds", c.MaxFrameRate)
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
	case c.StillInterval < time.Second || c.StillInterval > c.KeyframeInterval:
		return fmt.Errorf("interval of still frames %v is out of bounds", c.StillInterval)
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

// Frame is one of the mp4.
type Frame struct {
	At  time.Duration
	Key bool
}

// Made is what an mp4 must hold, every frame of it in order; where FFmpeg makes more keyframes than were asked for, it may.
type Made struct{ Frames []Frame }

// niceness lets everything else on the host go first: encoding can wait, capture and the broker cannot.
const niceness = 10

// Run makes the mp4 from the pictures that next returns until it returns io.EOF, and blocks until FFmpeg is gone. An error
// of next comes back wrapped. When ctx ends, FFmpeg is killed and the error is ctx's cause.
func Run(ctx context.Context, cfg Config, next func() (Picture, error)) (Made, error) {
	if err := cfg.Validate(); err != nil {
		return Made{}, fmt.Errorf("transcode: %w", err)
	}
	p, err := ffmpeg.Start(ffmpeg.Config{Args: Arguments(cfg), Stdin: true, Nice: niceness, Limits: limits(cfg), Offline: true, Logger: cfg.Logger})
	if err != nil {
		return Made{}, fmt.Errorf("transcode: %w: %w", ErrMissing, err)
	}
	var stalled atomic.Bool
	watchdog := time.AfterFunc(cfg.Stall, func() {
		stalled.Store(true)
		p.Kill()
	})
	defer watchdog.Stop()
	defer context.AfterFunc(ctx, p.Kill)()

	f := feeder{
		cfg: cfg, planes: newPlanes(cfg.Width, cfg.Height), watchdog: watchdog,
		pace: pace{keyframes: cfg.KeyframeInterval, still: cfg.StillInterval},
	}
	if cfg.MaxFrameRate > 0 && cfg.MaxFrameRate < cfg.FrameRate {
		f.pace.step = time.Second / time.Duration(cfg.MaxFrameRate)
	}
	f.muxer = newMuxer(p.Stdin(), f.planes.evenW, f.planes.evenH, time.Second/time.Duration(cfg.FrameRate))
	feedErr := f.feed(next)
	var writeErr *writeError
	if feedErr != nil && !errors.As(feedErr, &writeErr) {
		p.Kill()
	}
	watchdog.Reset(cfg.Stall)
	closeErr := p.Stdin().Close()
	exit, waitErr := p.Wait()
	if feedErr != nil && writeErr == nil && ctx.Err() == nil {
		return Made{}, fmt.Errorf("transcode: %w", feedErr)
	}
	if err := judge(ctx, exit, errors.Join(feedErr, closeErr, waitErr), stalled.Load()); err != nil {
		return Made{}, fmt.Errorf("transcode: after frame %d: %w", len(f.frames), err)
	}
	return Made{Frames: f.frames}, nil
}

// judge says what the end of FFmpeg means; feedErr is what went wrong on this side of its pipes.
func judge(ctx context.Context, exit ffmpeg.Exit, feedErr error, stalled bool) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case stalled:
		return errors.New("ffmpeg made no progress")
	case exit.Limit != "":
		return fmt.Errorf("ffmpeg ended with %v", exit)
	case errors.Is(feedErr, syscall.ENOSPC), strings.Contains(exit.Stderr, noSpaceMessage):
		return ErrNoSpace
	case ffmpeg.RefusedMemory(exit):
		return fmt.Errorf("%w: %v", ErrNoMemory, exit)
	case exit.Signal == syscall.SIGKILL.String(), exit.Signal == syscall.SIGTERM.String():
		return fmt.Errorf("%w: signal %s", ErrKilled, exit.Signal)
	case exit.Code != 0, exit.Stderr != "":
		return fmt.Errorf("ffmpeg ended with %v", exit)
	}
	return feedErr
}

// noSpaceMessage is how the C library words ENOSPC.
const noSpaceMessage = "No space left on device"
