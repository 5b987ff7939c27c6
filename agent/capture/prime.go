package capture

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/recfleet/recfleet/agent/spool"
)

// Primed is a capture that has its first frame: a session that is registered only then begins with a picture instead of the
// time that FFmpeg takes to start. It is handed to New, or closed.
type Primed struct {
	stream    *stream
	frameRate int
	at        time.Time
	done      chan struct{}
}

// Prime starts FFmpeg and blocks until it delivers a frame. Of the configuration it needs the display, the frame rate and
// the clock.
func Prime(ctx context.Context, cfg Config, g spool.Geometry) (*Primed, error) {
	s, err := startStream(cfg, g)
	if err != nil {
		return nil, err
	}
	p := &Primed{stream: s, frameRate: cfg.FrameRate, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		s.read(cfg.Now, cfg.Logger)
	}()
	timer := time.NewTimer(startPatience)
	defer timer.Stop()
	select {
	case a := <-s.arrivals:
		if err = a.err; err == nil {
			p.at = a.at
			return p, nil
		}
	case <-timer.C:
		err = errors.New("no frame came")
	case <-ctx.Done():
		err = ctx.Err()
	}
	p.Close()
	return nil, fmt.Errorf("prime capture: %w", err)
}

// At returns when the first frame was taken.
func (p *Primed) At() time.Time { return p.at }

// Close ends a capture that nobody took over, and waits for it. It may be called on nil.
func (p *Primed) Close() {
	if p == nil {
		return
	}
	p.stream.stop()
	<-p.done
}

// adopt goes on with a primed stream, unless another frame rate was ordered meanwhile.
func (c *Capture) adopt(p *Primed) error {
	if p == nil {
		return nil
	}
	c.readers.Go(func() { <-p.done })
	if p.frameRate != c.cfg.FrameRate {
		p.stream.stop()
		return nil
	}
	c.want, c.next = &p.stream.geometry, p.stream
	return c.begins(p.stream, p.at, time.Now())
}
