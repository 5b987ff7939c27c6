package capture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"

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
	// unableAfter is how long grabs must have failed for FFmpeg to take over.
	unableAfter = 3 * time.Second
)

// camera takes pictures of the display.
type camera struct {
	grabber *x11.Grabber // nil while there is no connection
	partial bool         // as it was last told of
	retryAt time.Time
	failing time.Time // since when, zero where the last picture could be had
}

// grab blocks until there is a picture of the whole screen, or it cannot be had.
func (c *camera) grab(cfg Config, g spool.Geometry) (x11.Picture, error) {
	now := time.Now()
	p, err := c.try(cfg, g)
	switch {
	case err == nil:
		c.failing = time.Time{}
		c.tell(cfg.Logger)
	case errors.Is(err, x11.ErrSize):
		c.retryAt = now.Add(sizeRetry)
	default:
		c.close()
		c.retryAt = now.Add(openRetry)
		if c.failing.IsZero() {
			c.failing = now
		}
	}
	return p, err
}

func (c *camera) try(cfg Config, g spool.Geometry) (x11.Picture, error) {
	if err := (screencodec.Config{Width: g.Width, Height: g.Height}).Validate(); err != nil {
		return x11.Picture{}, err
	}
	if c.grabber == nil {
		var err error
		if c.grabber, err = x11.OpenGrabber(cfg.Display, x11.Options{Authority: cfg.Authority, Timeout: grabPatience}); err != nil {
			return x11.Picture{}, err
		}
		c.partial = false
	}
	return c.grabber.Grab(g.Width, g.Height)
}

// tell logs how pictures are taken, when that becomes another.
func (c *camera) tell(log hclog.Logger) {
	switch partial := c.grabber.Partial(); {
	case partial && !c.partial:
		log.Info("display grabbed", "shared_memory", true, "damage", true)
	case !partial && c.partial:
		log.Warn("damage reports distrusted")
	}
	c.partial = c.grabber.Partial()
}

// unable says that pictures have not been had for so long that something else is to be tried. A display that stands still
// does so for everybody.
func (c *camera) unable(now time.Time, err error) bool {
	return !c.failing.IsZero() && now.Sub(c.failing) >= unableAfter && !errors.Is(err, os.ErrDeadlineExceeded)
}

func (c *camera) close() {
	if c.grabber != nil {
		_ = c.grabber.Close() // it was only read from
		c.grabber = nil
	}
}

// Primed is a capture that has its first picture: a session that is registered only then begins with it. It is handed to New,
// or closed.
type Primed struct {
	camera   camera
	geometry spool.Geometry
	picture  x11.Picture
	at       time.Time
}

// Prime blocks until it has a picture of the display, a second at most. Of the configuration it needs the display, the clock
// and the logger.
func Prime(_ context.Context, cfg Config, g spool.Geometry) (*Primed, error) {
	p := &Primed{geometry: g}
	var err error
	if p.picture, err = p.camera.grab(cfg, g); err != nil {
		p.camera.close()
		return nil, fmt.Errorf("prime capture: %w", err)
	}
	p.at = cfg.Now()
	return p, nil
}

// At returns when the first picture was taken.
func (p *Primed) At() time.Time { return p.at }

// Close ends a capture that nobody took over. It may be called on nil.
func (p *Primed) Close() {
	if p != nil {
		p.camera.close()
	}
}

// adopt goes on with what has its first picture.
func (c *Capture) adopt(p *Primed) error {
	if p == nil {
		return nil
	}
	c.camera, c.want = p.camera, &p.geometry
	return c.show(p.picture, p.at)
}

// byFFmpeg says that FFmpeg is to take the pictures.
func (c *Capture) byFFmpeg() bool { return c.cfg.FFmpeg || c.unable }

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

// cameraIn returns how long it is until the camera has to take a picture; false where that is not foreseen.
func (c *Capture) cameraIn(now time.Time) (time.Duration, bool) {
	if c.want == nil || c.full {
		return 0, false
	}
	due := c.due
	if s := c.source(); s != nil && s.fresh {
		if s.lent {
			return 0, false
		}
		due = c.last.Add(c.interval)
		// Where FFmpeg's next frame comes about when one is due, that is waited for.
		if !s.head.Add(c.interval).After(due.Add(c.interval / 4)) {
			due = s.overdue(c.interval)
		}
	}
	return max(due.Sub(c.cfg.Now()), c.camera.retryAt.Sub(now), 0), true
}

// take takes a picture where one is due. Where FFmpeg is to take them, that is while it starts, and when it is late.
func (c *Capture) take(now time.Time) error {
	if wait, ok := c.cameraIn(now); !ok || wait > 0 {
		return nil
	}
	p, err := c.camera.grab(c.cfg, *c.want)
	if err != nil {
		c.missed(now, err)
		return nil
	}
	at := c.cfg.Now()
	// A frame that FFmpeg held back until now may be older than this one.
	if s := c.source(); s != nil && !at.Before(s.overdue(c.interval)) {
		s.fresh = false
	}
	return c.show(p, at)
}

// missed remembers why no picture could be had.
func (c *Capture) missed(now time.Time, err error) {
	switch {
	case errors.Is(err, x11.ErrSize):
		return // another geometry is about to be reported
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.noteGap("capture_stalled", "")
	default:
		c.noteGap("capture_failed", err.Error())
	}
	c.log.Debug("picture missed", "error", err)
	if !c.byFFmpeg() && c.camera.unable(now, err) {
		c.log.Warn("capture left to ffmpeg", "error", err)
		c.unable = true
	}
}

// show records a picture that the camera took. In a geometry that has no epoch yet, or after FFmpeg was lost, it begins the
// epoch, which FFmpeg's frames go on with.
func (c *Capture) show(p x11.Picture, at time.Time) error {
	g := *c.want
	if c.epoch.enc == nil || !sameSize(c.epoch.geometry, g) {
		enc, err := screencodec.NewEncoder(screencodec.Config{Width: g.Width, Height: g.Height})
		if err != nil {
			return fmt.Errorf("begin epoch: %w", err)
		}
		c.drop(&c.cur)
		if err := c.beginEpoch(g, enc, at); err != nil {
			return err
		}
	}
	c.schedule(at)
	c.shown.Add(1)
	f := frame{pix: p.Pix, at: at}
	if c.epoch.followed {
		f.changed, f.told = p.Changed, true
	}
	err := c.keep(f)
	c.epoch.followed = err == nil && c.last.Equal(f.at)
	return err
}

// schedule says when the next picture is due: one interval after this one was, so that they do not come later and later.
func (c *Capture) schedule(at time.Time) {
	c.due = c.due.Add(c.interval)
	if c.due.Before(at.Add(c.interval / 4)) {
		c.due = at.Add(c.interval)
	}
}
