package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/internal/ffmpeg"
	"github.com/recfleet/recfleet/internal/screencodec"
	"github.com/recfleet/recfleet/test/content"
	"github.com/recfleet/recfleet/test/desktop"
	"github.com/recfleet/recfleet/test/desktop/office"
)

// film is a stretch of a desktop, as the agent's lossless stream. Its frames are interval apart.
type film struct {
	scene  string
	frames int
	stream []byte
}

func (f *film) duration() time.Duration { return time.Duration(f.frames) * interval }

// openFilm returns a scene's film from dir, where one is made that is not there yet.
func openFilm(ctx context.Context, dir, scene string, frames int) (*film, error) {
	path := filepath.Join(dir, fmt.Sprintf("%s-%d.film", scene, frames))
	stream, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		if stream, err = makeFilm(ctx, dir, scene, frames); err == nil {
			err = os.WriteFile(path, stream, 0o600)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("film of %s: %w", scene, err)
	}
	return &film{scene, frames, stream}, nil
}

func makeFilm(ctx context.Context, dir, scene string, frames int) ([]byte, error) {
	if scene == realScene {
		return grab(ctx, dir, frames)
	}
	source, err := content.Open(scene, width, height)
	if err != nil {
		return nil, err
	}
	return encodeFilm(frames, func(pix []byte) error {
		source.Next(pix)
		return ctx.Err()
	})
}

// encodeFilm makes the agent's stream of what next draws.
func encodeFilm(frames int, next func(pix []byte) error) ([]byte, error) {
	encoder, err := screencodec.NewEncoder(screencodec.Config{Width: width, Height: height})
	if err != nil {
		return nil, err
	}
	var stream bytes.Buffer
	if err := encoder.Begin(&stream, start); err != nil {
		return nil, err
	}
	pix := make([]byte, width*height*4)
	for i := range frames {
		if err := next(pix); err != nil {
			return nil, err
		}
		if _, err := encoder.Encode(pix, time.Duration(i)*interval); err != nil {
			return nil, err
		}
	}
	if err := encoder.End(time.Duration(frames) * interval); err != nil {
		return nil, err
	}
	return stream.Bytes(), nil
}

// grab films real programs on an X server, by FFmpeg.
func grab(ctx context.Context, dir string, frames int) (_ []byte, err error) {
	x, err := desktop.Launch(ctx, desktop.Config{Width: width, Height: height})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, x.Stop()) }()
	programs, err := office.Open(x, dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, programs.Stop()) }()
	p, err := ffmpeg.Start(ffmpeg.Config{
		Args: []string{"-nostdin", "-v", "error", "-f", "x11grab", "-framerate", fmt.Sprint(rate), "-i", x.Display(),
			"-f", "rawvideo", "-pix_fmt", "bgr0", "-frames:v", fmt.Sprint(frames), "pipe:1"},
		Stdout: true, Logger: hclog.NewNullLogger(),
	})
	if err != nil {
		return nil, err
	}
	stream, err := encodeFilm(frames, func(pix []byte) error {
		_, err := io.ReadFull(p.Stdout(), pix)
		return err
	})
	p.Stop(time.Second)
	exit, waitErr := p.Wait()
	if err = errors.Join(err, waitErr, programs.Begin()); err != nil {
		return nil, fmt.Errorf("grab: %v: %w", exit, err)
	}
	return stream, nil
}

// play decodes the film and hands each picture to yield, whose pixels are only lent.
func (f *film) play(yield func(screencodec.Frame) error) error {
	decoder, err := screencodec.NewDecoder(bytes.NewReader(f.stream), screencodec.Limits{})
	if err != nil {
		return err
	}
	for {
		frame, err := decoder.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = yield(frame)
		}
		if err != nil {
			return err
		}
	}
}
