package capture

import (
	"errors"
	"fmt"
	"time"

	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/internal/screencodec"
)

// took handles what a stream delivered.
func (c *Capture) took(s *stream, a arrival) error {
	now := time.Now()
	if a.err != nil {
		c.log.Warn("capture ended", "error", a.err)
		c.noteGap("capture_ended", a.err.Error())
		c.lose(s, now)
		return nil //nolint:nilerr // FFmpeg is started again
	}
	if !a.whole {
		return c.begins(s, a.at, now)
	}
	s.lent = false
	s.deadline = now.Add(c.steadyPatience())
	c.epoch.followed = false
	return c.keep(frame{pix: c.epoch.pix, at: a.at})
}

func (c *Capture) steadyPatience() time.Duration { return max(gapIntervals*c.interval, minPatience) }

// begins gives a frame that has begun to come its place, or drops it.
func (c *Capture) begins(s *stream, at, now time.Time) error {
	if s.pace.flooded(now, floodFactor*c.cfg.FrameRate) {
		c.log.Warn("capture flooded", "pid", s.proc.PID())
		c.noteGap("capture_flooded", "")
		c.lose(s, now)
		return nil
	}
	if now.Sub(s.started) > steadyAfter {
		c.backoff = 0
	}
	fresh, apart := s.fresh, min(at.Sub(c.last), at.Sub(s.head))
	s.head, s.fresh, s.deadline = at, true, now.Add(c.steadyPatience())
	if c.frames.Load() > 0 && !c.adds(apart, fresh) {
		s.place(nil)
		return nil
	}
	if s == c.next {
		if err := c.takeOver(s, at); err != nil {
			return err
		}
	}
	if c.epoch.pix == nil {
		c.epoch.pix = make([]byte, s.geometry.Width*s.geometry.Height*pixelBytes)
	}
	s.lent = true
	s.place(c.epoch.pix)
	return nil
}

// adds reports whether a frame that began to come so long after the last one adds to it. One that FFmpeg may have held back,
// as it does with its first, may be older; where there is no other, it is better than none. Of those that come at once, as
// when FFmpeg makes up for what it missed, one is enough.
func (c *Capture) adds(apart time.Duration, fresh bool) bool {
	if !fresh {
		return apart >= 2*c.interval
	}
	return apart >= c.interval/4
}

// takeOver makes the stream that delivers the wanted geometry the present one, in an epoch of its own unless the camera has
// begun it.
func (c *Capture) takeOver(s *stream, at time.Time) error {
	c.drop(&c.cur)
	c.cur, c.next = s, nil
	if c.epoch.enc != nil && sameSize(c.epoch.geometry, s.geometry) {
		return nil
	}
	enc, err := screencodec.NewEncoder(screencodec.Config{Width: s.geometry.Width, Height: s.geometry.Height})
	if err != nil {
		return fmt.Errorf("begin epoch: %w", err)
	}
	return c.beginEpoch(*c.want, enc, at)
}

// beginEpoch begins the next epoch with an encoder of its own.
func (c *Capture) beginEpoch(g spool.Geometry, enc *screencodec.Encoder, at time.Time) error {
	cause := "capture restarted"
	switch {
	case c.epoch.number == 0:
		cause = "start"
	case !sameSize(c.epoch.geometry, g):
		cause = "geometry changed"
	}
	c.epoch = epoch{number: c.epoch.number + 1, geometry: g, enc: enc}
	c.geometry.Store(&g)
	c.log.Info("epoch started", "epoch", c.epoch.number, "width", g.Width, "height", g.Height, "cause", cause)
	_, err := c.cfg.Sink.Append(spool.Event{Time: at, EpochStarted: &spool.EpochStarted{
		Epoch: c.epoch.number, Geometry: g, Cause: cause,
	}})
	return err
}

// keep records a frame. Where the spool is full, capture pauses.
func (c *Capture) keep(f frame) error {
	err := c.record(f)
	if errors.Is(err, spool.ErrFull) {
		c.log.Error("spool is full", "error", err)
		c.halt()
		c.full = true
		c.noteGap("spool_full", "")
		return nil
	}
	if err != nil {
		return fmt.Errorf("record frame: %w", err)
	}
	return nil
}
