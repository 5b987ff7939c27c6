package transcode

import (
	"errors"
	"fmt"
	"image"
	"io"
	"time"
)

// feeder hands pictures to FFmpeg.
type feeder struct {
	cfg      Config
	planes   *planes
	muxer    *muxer
	pace     pace
	watchdog *time.Timer

	pictures int64
	at       time.Duration // of the picture that planes hold
	changed  bool          // since the last frame
	frames   []Frame
}

// writeError is a failure of the pipe to FFmpeg, behind which is mostly a failure of FFmpeg.
type writeError struct{ error }

func (e *writeError) Unwrap() error { return e.error }

// feed sends pictures until io.EOF. The watchdog runs only while FFmpeg is waited for.
func (f *feeder) feed(next func() (Picture, error)) error {
	f.watchdog.Stop()
	for {
		pic, err := next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch {
		case f.pictures == f.cfg.Frames:
			return fmt.Errorf("more than the %d frames that were to come", f.cfg.Frames)
		case len(pic.Pix) != f.cfg.Width*f.cfg.Height*4:
			return fmt.Errorf("frame %d has %d bytes of pixels", f.pictures, len(pic.Pix))
		case f.pictures == 0 && pic.At != 0, f.pictures > 0 && pic.At <= f.at, pic.At > f.cfg.Duration:
			return fmt.Errorf("frame %d at %v is out of order", f.pictures, pic.At)
		}
		if f.pictures > 0 {
			if err := f.hand(pic.At); err != nil {
				return err
			}
		}
		f.update(pic)
	}
	if f.pictures != f.cfg.Frames {
		return fmt.Errorf("%d frames came instead of %d", f.pictures, f.cfg.Frames)
	}
	return f.hand(forever)
}

// update brings the planes to a picture.
func (f *feeder) update(pic Picture) {
	switch {
	case f.pictures == 0, !pic.Same && pic.Changed == nil:
		f.changed = f.planes.convert(pic.Pix, image.Rect(0, 0, f.cfg.Width, f.cfg.Height)) || f.changed
	case !pic.Same:
		for _, r := range pic.Changed {
			f.changed = f.planes.convert(pic.Pix, r) || f.changed
		}
	}
	f.at = pic.At
	f.pictures++
}

// hand makes a frame of the picture that planes hold, unless it can be left out. next is the time of the one after it.
func (f *feeder) hand(next time.Duration) error {
	frame, key := f.pace.decide(f.at, next, f.changed)
	if !frame {
		return nil
	}
	f.watchdog.Reset(f.cfg.Stall)
	at, err := f.muxer.write(f.planes.pix, f.at, key)
	f.watchdog.Stop()
	if err != nil {
		return &writeError{err}
	}
	f.changed = false
	f.frames = append(f.frames, Frame{At: at, Key: key})
	return nil
}
