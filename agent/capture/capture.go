// Package capture records an X display: it takes pictures, stamps them with the session's time, and has them compressed
// without loss into the segments of the spool.
//
// In come geometries of the display; out go segments, and events for epochs and gaps. What always holds: frames follow one
// another in time across epochs and segments; a stretch of more than three frame intervals without a frame lies between two
// segments and is declared as a gap with its cause.
//
// There are two ways to take pictures. The capture's own camera reads what has changed from memory that it shares with the X
// server. Where that does not work, or where it is ordered, FFmpeg grabs, and the camera takes the pictures that are due
// while FFmpeg starts for a new geometry or after a crash, or is late.
package capture

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/internal/screencodec"
)

const (
	// startPatience is how long an FFmpeg may take until its first frame.
	startPatience = 5 * time.Second
	// minPatience bounds the wait for a later frame from below: at a high frame rate three intervals are less than a busy
	// machine may take.
	minPatience = 600 * time.Millisecond
	// gapIntervals is how many frame intervals may lie between two frames without a gap, and how many FFmpeg may need for one.
	gapIntervals = 3
	minBackoff   = 100 * time.Millisecond
	maxBackoff   = 5 * time.Second
	// settled is how long a geometry must have lasted for FFmpeg to be started at once for the next.
	settled = 500 * time.Millisecond
	// floodFactor is how many times more frames than ordered FFmpeg may deliver in a second: it makes up for what it missed
	// while the machine stood still.
	floodFactor = 4
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
	Authority string
	FrameRate int
	// FFmpeg has FFmpeg take the pictures wherever it can, rather than only where the camera cannot.
	FFmpeg        bool
	SegmentLength time.Duration
	// SegmentBytes ends a segment early when its stream is that large; 0 for no bound.
	SegmentBytes int64
	// Primed, where it is set, has the first picture already; Run takes it over.
	Primed *Primed
	// Start is when the session began, Now its present.
	Start time.Time
	Now   func() time.Time
	// Slept, where it is set, tells how long the machine was suspended between two times.
	Slept func(from, until time.Time) time.Duration
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
	shown     atomic.Int64 // of the frames, by the camera
	lastFrame atomic.Int64 // nanoseconds since 1970, 0 before the first
	geometry  atomic.Pointer[spool.Geometry]

	// Below is Run's alone.
	readers   sync.WaitGroup
	want      *spool.Geometry
	wanted    time.Time // since when
	cur, next *stream
	camera    camera
	unable    bool      // the camera
	due       time.Time // when the camera is to take the next picture
	retryAt   time.Time // when FFmpeg is to be started again
	backoff   time.Duration
	full      bool
	gapCause  string
	gapDetail string
	epoch     epoch
	segment   segment
	last      time.Time // of the last frame, or one interval before the session's start
}

// epoch is the present one.
type epoch struct {
	number   int
	geometry spool.Geometry
	enc      *screencodec.Encoder // nil where the next picture begins another epoch
	pix      []byte               // where FFmpeg's frames are put, nil before the first
	followed bool                 // its last frame was the camera's last picture
}

// New makes a capture; it starts nothing.
func New(cfg Config) *Capture {
	interval := time.Second / time.Duration(cfg.FrameRate)
	return &Capture{
		cfg: cfg, interval: interval, log: cfg.Logger, last: cfg.Start.Add(-interval), due: cfg.Start, gapCause: starting,
	}
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
	defer c.camera.close()
	defer c.halt()
	if err := c.adopt(c.cfg.Primed); err != nil {
		return errors.Join(err, c.finish())
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		c.tend(time.Now())
		timer.Reset(c.patience(time.Now()))
		var err error
		select {
		case <-ctx.Done():
			return c.finish()
		case g := <-geometries:
			err = c.setGeometry(g, time.Now())
		case a := <-arrivals(c.cur):
			err = c.took(c.cur, a)
		case a := <-arrivals(c.next):
			err = c.took(c.next, a)
		case <-timer.C:
			// What has come meanwhile is not late.
			if len(arrivals(c.cur))+len(arrivals(c.next)) == 0 {
				err = c.lapse(time.Now())
			}
		}
		if err != nil {
			return errors.Join(err, c.finish())
		}
	}
}

func arrivals(s *stream) <-chan arrival {
	if s == nil {
		return nil
	}
	return s.arrivals
}

func (c *Capture) setGeometry(g *spool.Geometry, now time.Time) error {
	before := c.want
	c.want = g
	if g == nil {
		c.noteGap("display_lost", "")
		return nil
	}
	if before == nil || !sameSize(*before, *g) {
		c.log.Info("geometry seen", "width", g.Width, "height", g.Height, "monitors", len(g.Monitors))
		c.backoff, c.retryAt, c.camera.retryAt = 0, now, now
		if now.Sub(c.wanted) < settled {
			c.retryAt = now.Add(settled)
		}
		c.wanted = now
	}
	if c.epoch.number == 0 || !sameSize(c.epoch.geometry, *g) || slices.Equal(c.epoch.geometry.Monitors, g.Monitors) {
		return nil // or the next epoch's event tells of them
	}
	c.epoch.geometry = *g
	c.geometry.Store(g)
	c.log.Info("monitors changed", "monitors", len(g.Monitors))
	_, err := c.cfg.Sink.Append(spool.Event{Time: c.cfg.Now(), MonitorsChanged: g})
	return err
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
	if c.want == nil || c.next != nil || !c.byFFmpeg() || now.Before(c.retryAt) {
		return
	}
	s, err := startStream(c.cfg, *c.want)
	if err != nil {
		c.log.Warn("capture not started", "error", err)
		c.noteGap("capture_failed", err.Error())
		c.delay(now)
		return
	}
	c.readers.Go(func() { s.read(c.cfg.Now, c.log) })
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
	if c.want != nil && c.next == nil && c.byFFmpeg() && now.Before(c.retryAt) {
		d = min(d, c.retryAt.Sub(now))
	}
	if wait, ok := c.cameraIn(now); ok {
		d = min(d, wait)
	}
	return max(d, 0)
}

// lapse gives up on streams that have not delivered in time, and has the camera take what is due.
func (c *Capture) lapse(now time.Time) error {
	for _, s := range []*stream{c.cur, c.next} {
		if s != nil && !now.Before(s.deadline) {
			c.log.Warn("capture stalled", "pid", s.proc.PID())
			c.noteGap("capture_stalled", "")
			c.lose(s, now)
		}
	}
	return c.take(now)
}

// starting is a gap's cause for want of another.
const starting = "capture_starting"

// noteGap remembers why the next gap, if there is one, came to be: the first cause counts.
func (c *Capture) noteGap(cause, detail string) {
	if c.gapCause == "" || c.gapCause == starting {
		c.gapCause, c.gapDetail = cause, detail
	}
}

// lose gives up a stream. What comes after one that was recorded belongs to another epoch.
func (c *Capture) lose(s *stream, now time.Time) {
	if s == c.cur {
		c.drop(&c.cur)
		c.epoch.enc = nil
	} else {
		c.drop(&c.next)
	}
	// Perhaps the camera can do it again.
	c.unable, c.camera.failing = false, time.Time{}
	c.delay(now)
}

// delay puts off the next start ever longer. At first it is just long enough for a geometry to be reported that made FFmpeg
// end.
func (c *Capture) delay(now time.Time) {
	c.backoff = min(max(2*c.backoff, minBackoff), maxBackoff)
	c.retryAt = now.Add(c.backoff)
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
	c.epoch.enc = nil
}
