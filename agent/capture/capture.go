// Package capture records an X display: it runs FFmpeg as the grabber, stamps frames with the session's time, and has them
// compressed without loss into the segments of the spool.
//
// In come geometries of the display and raw frames; out go segments, and events for epochs and gaps. What always holds:
// frames follow one another in time across epochs and segments; a stretch of more than three frame intervals without a frame
// lies between two segments and is declared as a gap with its cause; the FFmpeg for a new geometry is started before the old one
// is stopped, and takes over with its first frame.
package capture

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/agent/spool"
)

const (
	// startPatience is how long an FFmpeg may take until its first frame.
	startPatience = 5 * time.Second
	// minPatience bounds the wait for a later frame from below: at a high frame rate three intervals are less than a busy
	// machine may take, and a restart costs more than the wait.
	minPatience = time.Second
	// gapIntervals is how many frame intervals may lie between two frames without a gap.
	gapIntervals = 3
	maxBackoff   = 5 * time.Second
	// steadyAfter is how long a stream must have delivered for the back-off to begin anew.
	steadyAfter = 10 * time.Second
)

// Sink is where segments and events go: a session of the spool.
type Sink interface {
	NewSegment(spool.SegmentConfig) (*spool.Writer, error)
	Append(spool.Event) (int64, error)
}

// Config says what to capture.
type Config struct {
	Display string
	// Authority is the path of the display's authority file; empty for the environment's.
	Authority     string
	FrameRate     int
	SegmentLength time.Duration
	// SegmentBytes ends a segment early when its stream is that large; 0 for no bound.
	SegmentBytes int64
	// Primed, where it is set, has the first frame already; Run takes it over.
	Primed *Primed
	// Start is when the session began, Now its present.
	Start time.Time
	Now   func() time.Time
	Sink  Sink
	// Room reports whether a full spool has room again.
	Room   func() bool
	Logger hclog.Logger
}

// Capture records one display into one session.
type Capture struct {
	cfg      Config
	interval time.Duration
	log      hclog.Logger

	frames    atomic.Int64
	lastFrame atomic.Int64 // nanoseconds since 1970, 0 before the first
	geometry  atomic.Pointer[spool.Geometry]

	// Below is Run's alone.
	readers   sync.WaitGroup
	want      *spool.Geometry
	cur, next *stream
	retryAt   time.Time
	backoff   time.Duration
	full      bool
	gapCause  string
	gapDetail string
	segment   segment
	epoch     int
	last      time.Time // of the last frame, or one interval before the session's start
}

// New makes a capture; it starts nothing.
func New(cfg Config) *Capture {
	interval := time.Second / time.Duration(cfg.FrameRate)
	return &Capture{cfg: cfg, interval: interval, log: cfg.Logger, last: cfg.Start.Add(-interval), gapCause: "capture_starting"}
}

// Frames returns how many frames were recorded and when the last one was taken, zero before the first.
func (c *Capture) Frames() (int64, time.Time) {
	n := c.lastFrame.Load()
	if n == 0 {
		return 0, time.Time{}
	}
	return c.frames.Load(), time.Unix(0, n)
}

// Geometry returns what the present epoch captures, nil before the first. It is not to be written to.
func (c *Capture) Geometry() *spool.Geometry { return c.geometry.Load() }

// Run captures until ctx is done, then seals the last segment. It follows the geometries that come in; nil means that the
// display is away. FFmpeg that ends or hangs is started again. An error means that nothing more can be recorded.
func (c *Capture) Run(ctx context.Context, geometries <-chan *spool.Geometry) error {
	defer c.readers.Wait()
	defer c.halt()
	c.adopt(c.cfg.Primed)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		c.tend(time.Now())
		timer.Reset(c.patience(time.Now()))
		select {
		case <-ctx.Done():
			return c.finish()
		case g := <-geometries:
			c.setGeometry(g)
		case <-timer.C:
			c.lapse(time.Now())
		case a := <-frames(c.cur):
			if err := c.took(c.cur, a); err != nil {
				return errors.Join(err, c.finish())
			}
		case a := <-frames(c.next):
			if err := c.took(c.next, a); err != nil {
				return errors.Join(err, c.finish())
			}
		}
	}
}

func frames(s *stream) <-chan arrival {
	if s == nil {
		return nil
	}
	return s.frames
}

func (c *Capture) setGeometry(g *spool.Geometry) {
	c.want = g
	c.backoff, c.retryAt = 0, time.Time{}
	if g == nil {
		c.noteGap("display_lost", "")
		return
	}
	c.log.Info("geometry seen", "width", g.Width, "height", g.Height, "monitors", len(g.Monitors))
}

func sameSize(a, b spool.Geometry) bool { return a.Width == b.Width && a.Height == b.Height }

// tend starts and stops processes so that the wanted geometry is captured.
func (c *Capture) tend(now time.Time) {
	if c.full {
		if !c.cfg.Room() {
			return
		}
		c.full = false
		c.log.Info("capture resumed", "reason", "the spool has room")
	}
	if c.next != nil && (c.want == nil || !sameSize(c.next.geometry, *c.want)) {
		c.drop(&c.next)
	}
	if c.cur != nil && c.want != nil && sameSize(c.cur.geometry, *c.want) {
		c.drop(&c.next)
		return
	}
	if c.want == nil || c.next != nil || now.Before(c.retryAt) {
		return
	}
	cause := "capture restarted"
	switch {
	case c.epoch == 0:
		cause = "start"
	case c.geometry.Load() != nil && !sameSize(*c.geometry.Load(), *c.want):
		cause = "geometry changed"
	}
	s, err := startStream(c.cfg, *c.want, cause)
	if err != nil {
		c.log.Warn("capture not started", "error", err)
		c.noteGap("capture_failed", err.Error())
		c.delay(now)
		return
	}
	c.readers.Go(func() { s.read(c.cfg.Now, c.log) })
	s.ask()
	c.next = s
}

// patience returns how long to wait before something must have happened.
func (c *Capture) patience(now time.Time) time.Duration {
	d := time.Hour
	for _, s := range []*stream{c.cur, c.next} {
		if s != nil {
			d = min(d, s.deadline.Sub(now))
		}
	}
	if c.full {
		d = min(d, time.Second)
	}
	if c.want != nil && c.next == nil && now.Before(c.retryAt) {
		d = min(d, c.retryAt.Sub(now))
	}
	return max(d, 0)
}

// lapse gives up on streams that have not delivered in time.
func (c *Capture) lapse(now time.Time) {
	for _, s := range []**stream{&c.cur, &c.next} {
		if *s != nil && !now.Before((*s).deadline) {
			c.log.Warn("capture stalled", "pid", (*s).proc.PID())
			c.noteGap("capture_stalled", "")
			c.lose(s, now)
		}
	}
}

// took handles what a stream delivered.
func (c *Capture) took(s *stream, a arrival) error {
	now := time.Now()
	if a.err != nil {
		c.log.Warn("capture ended", "error", a.err)
		c.noteGap("capture_ended", a.err.Error())
		if s == c.cur {
			c.lose(&c.cur, now)
		} else {
			c.lose(&c.next, now)
		}
		return nil
	}
	if s == c.next {
		if err := c.beginEpoch(s, a.at); err != nil {
			return err
		}
	}
	err := c.record(s, a.at)
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
	if s.count++; now.Sub(s.started) > steadyAfter {
		c.backoff = 0
	}
	s.deadline = now.Add(max(gapIntervals*c.interval, minPatience))
	s.ask()
	return nil
}

// beginEpoch lets the stream that has delivered its first frame take over.
func (c *Capture) beginEpoch(s *stream, at time.Time) error {
	c.drop(&c.cur)
	c.cur, c.next = s, nil
	c.geometry.Store(&s.geometry)
	c.epoch++
	c.log.Info("epoch started", "epoch", c.epoch, "width", s.geometry.Width, "height", s.geometry.Height, "cause", s.cause)
	_, err := c.cfg.Sink.Append(spool.Event{Time: at, EpochStarted: &spool.EpochStarted{
		Epoch: c.epoch, Geometry: s.geometry, Cause: s.cause,
	}})
	return err
}

// noteGap remembers why the next gap, if there is one, came to be: the first cause counts.
func (c *Capture) noteGap(cause, detail string) {
	if c.gapCause == "" {
		c.gapCause, c.gapDetail = cause, detail
	}
}

func (c *Capture) lose(s **stream, now time.Time) {
	c.drop(s)
	c.delay(now)
}

// delay puts off the next start: not at all at first, then ever longer.
func (c *Capture) delay(now time.Time) {
	c.retryAt = now.Add(c.backoff)
	c.backoff = min(max(2*c.backoff, 100*time.Millisecond), maxBackoff)
}

func (c *Capture) drop(s **stream) {
	if *s != nil {
		(*s).stop()
		*s = nil
	}
}

func (c *Capture) halt() {
	c.drop(&c.cur)
	c.drop(&c.next)
}
