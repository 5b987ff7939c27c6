package capture

import (
	"errors"
	"time"

	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/agent/x11"
	"github.com/recfleet/recfleet/internal/screencodec"
)

const (
	// grabPatience bounds how long a display may keep the capture waiting for a picture.
	grabPatience = time.Second
	// lateness is how late FFmpeg's frame must at least be: at a high frame rate half an interval is too soon to tell.
	lateness = 100 * time.Millisecond
	// sizeRetry is when to grab again where the screen is not, or not yet, of the size that was reported.
	sizeRetry = 20 * time.Millisecond
	openRetry = 200 * time.Millisecond
)

// bridge takes pictures itself where FFmpeg delivers none: while it starts, and when it is late.
type bridge struct {
	grabber *x11.Grabber // nil while there is no connection
	retryAt time.Time
	// spare is for pictures of a geometry that has no epoch yet.
	spare    *screencodec.Encoder
	sparePix []byte
	size     spool.Geometry
}

// encoder returns an encoder, and memory, for a geometry's first picture. Until taken is called they are the same ones.
func (b *bridge) encoder(g spool.Geometry) (*screencodec.Encoder, []byte, error) {
	if b.spare == nil || !sameSize(b.size, g) {
		enc, err := screencodec.NewEncoder(screencodec.Config{Width: g.Width, Height: g.Height})
		if err != nil {
			return nil, nil, err
		}
		b.spare, b.sparePix, b.size = enc, newPicture(g), g
	}
	return b.spare, b.sparePix, nil
}

func (b *bridge) taken() { b.spare, b.sparePix = nil, nil }

// newPicture returns memory for a picture.
func newPicture(g spool.Geometry) []byte { return make([]byte, g.Width*g.Height*pixelBytes) }

// grab blocks until pix holds a picture of the whole screen, or it cannot be had.
func (b *bridge) grab(cfg Config, g spool.Geometry, pix []byte) error {
	if b.grabber == nil {
		var err error
		b.grabber, err = x11.OpenGrabber(cfg.Display, x11.Options{Authority: cfg.Authority, Timeout: grabPatience})
		if err != nil {
			b.retryAt = time.Now().Add(openRetry)
			return err
		}
	}
	err := b.grabber.Grab(g.Width, g.Height, pix)
	switch {
	case errors.Is(err, x11.ErrSize):
		b.retryAt = time.Now().Add(sizeRetry)
	case err != nil:
		b.close()
		b.retryAt = time.Now().Add(openRetry)
	}
	return err
}

func (b *bridge) close() {
	if b.grabber != nil {
		_ = b.grabber.Close() // it was only read from
		b.grabber = nil
	}
}

// source returns the stream that delivers the wanted geometry or is to do so, nil where there is none.
func (c *Capture) source() *stream {
	if c.cur != nil && sameSize(c.cur.geometry, *c.want) {
		return c.cur
	}
	return c.next
}

// overdue returns when a frame that was due is late, on the session's time line.
func (s *stream) overdue(interval time.Duration) time.Time {
	return s.head.Add(interval + max(interval/2, lateness))
}

// bridgeIn returns how long it is until the bridge has to take a picture; false where that is not foreseen.
func (c *Capture) bridgeIn(now time.Time) (time.Duration, bool) {
	if c.want == nil || c.full {
		return 0, false
	}
	due := c.last.Add(c.interval)
	if s := c.source(); s != nil && s.fresh {
		if s.lent {
			return 0, false
		}
		// Where FFmpeg's next frame comes about when one is due, that is waited for.
		if !s.head.Add(c.interval).After(due.Add(c.interval / 4)) {
			due = s.overdue(c.interval)
		}
	}
	return max(due.Sub(c.cfg.Now()), c.bridge.retryAt.Sub(now), 0), true
}

// span takes a picture where one is due and FFmpeg has delivered none. In a geometry that has no epoch yet, or after FFmpeg
// was lost, it begins the epoch, which FFmpeg's frames go on with.
func (c *Capture) span(now time.Time) error {
	if wait, ok := c.bridgeIn(now); !ok || wait > 0 {
		return nil
	}
	g, enc, pix := *c.want, c.epoch.enc, c.epoch.pix
	begins := enc == nil || !sameSize(c.epoch.geometry, g)
	if begins {
		var err error
		if enc, pix, err = c.bridge.encoder(g); err != nil {
			c.bridge.retryAt = now.Add(openRetry)
			return nil //nolint:nilerr // too large a screen: the same is said where FFmpeg is not started for it
		}
	}
	if err := c.bridge.grab(c.cfg, g, pix); err != nil {
		c.log.Debug("bridge not built", "error", err)
		return nil
	}
	at := c.cfg.Now()
	// A frame that FFmpeg held back until now may be older than this one.
	if s := c.source(); s != nil && !at.Before(s.overdue(c.interval)) {
		s.fresh = false
	}
	if begins {
		c.drop(&c.cur)
		c.bridge.taken()
		if err := c.beginEpoch(g, enc, pix, at); err != nil {
			return err
		}
	}
	c.bridged.Add(1)
	return c.keep(at)
}
