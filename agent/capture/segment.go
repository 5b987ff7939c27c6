package capture

import (
	"errors"
	"fmt"
	"image"
	"time"

	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/internal/screencodec"
)

// segment is the one that is open, if any.
type segment struct {
	w     *spool.Writer
	enc   *screencodec.Encoder
	start time.Time
}

// frame is one that is to be recorded.
type frame struct {
	pix     []byte
	changed []image.Rectangle // what is different from the frame before, where that is told
	told    bool
	at      time.Time
}

// record adds a frame to the open segment, or to a new one.
func (c *Capture) record(f frame) error {
	at := f.at
	if !at.After(c.last) {
		at = c.last.Add(time.Microsecond)
	}
	gap := at.Sub(c.last) > gapIntervals*c.interval
	g, enc := &c.segment, c.epoch.enc
	if g.w != nil && (gap || g.enc != enc || at.Sub(g.start) >= c.cfg.SegmentLength || c.large(g.w)) {
		end := at
		if gap {
			end = c.last.Add(c.interval)
		}
		if err := c.seal(end); err != nil {
			return err
		}
	}
	if gap {
		if err := c.declareGap(at); err != nil {
			return err
		}
	}
	c.gapCause, c.gapDetail = "", ""
	if g.w == nil {
		if err := c.open(at); err != nil {
			return err
		}
	}
	if err := f.encode(enc, at.Sub(g.start)); err != nil {
		return errors.Join(fmt.Errorf("encode frame: %w", err), c.seal(at))
	}
	c.last = at
	c.frames.Add(1)
	c.lastFrame.Store(at.UnixNano())
	if err := g.w.FrameEnd(at); err != nil {
		return errors.Join(err, c.seal(at.Add(c.interval)))
	}
	return nil
}

func (f frame) encode(enc *screencodec.Encoder, at time.Duration) (err error) {
	if f.told {
		_, err = enc.EncodeChanged(f.pix, f.changed, at)
	} else {
		_, err = enc.Encode(f.pix, at)
	}
	return err
}

// large says that a segment is to be ended for its size.
func (c *Capture) large(w *spool.Writer) bool {
	return c.cfg.SegmentBytes > 0 && w.Bytes() >= c.cfg.SegmentBytes
}

func (c *Capture) open(at time.Time) error {
	e := c.epoch
	w, err := c.cfg.Sink.NewSegment(spool.SegmentConfig{
		Epoch: e.number, Width: e.geometry.Width, Height: e.geometry.Height, Start: at,
	})
	if err != nil {
		return err
	}
	c.segment = segment{w: w, enc: e.enc, start: at}
	if err := e.enc.Begin(w, at); err != nil {
		return fmt.Errorf("begin segment: %w", err)
	}
	return nil
}

// seal ends the open segment; end is exclusive.
func (c *Capture) seal(end time.Time) error {
	g := c.segment
	if g.w == nil {
		return nil
	}
	c.segment = segment{}
	if err := g.enc.End(end.Sub(g.start)); err != nil {
		return errors.Join(fmt.Errorf("end segment: %w", err), g.w.Seal(end))
	}
	return g.w.Seal(end)
}

// declareGap says that nothing was recorded from the end of the last frame until then.
func (c *Capture) declareGap(until time.Time) error {
	from := c.last.Add(c.interval)
	cause, detail := c.whyGap(from, until)
	c.log.Error("gap declared", "cause", cause, "duration", until.Sub(from), "detail", detail)
	_, err := c.cfg.Sink.Append(spool.Event{Time: until, GapDeclared: &spool.GapDeclared{
		Start: from, End: until, Cause: cause, Detail: detail,
	}})
	return err
}

// whyGap returns a gap's cause: that the machine slept, where it did for most of it, whatever was noted besides.
func (c *Capture) whyGap(from, until time.Time) (cause, detail string) {
	if c.cfg.Slept != nil {
		if slept := c.cfg.Slept(c.last, until); slept > until.Sub(from)/2 {
			return "suspended", "for " + slept.Round(time.Millisecond).String()
		}
	}
	if c.gapCause == "" {
		return "frames_late", ""
	}
	return c.gapCause, c.gapDetail
}

// finish seals the last segment and declares what is missing until now.
func (c *Capture) finish() error {
	now := c.cfg.Now()
	if now.Sub(c.last) > gapIntervals*c.interval {
		return errors.Join(c.seal(c.last.Add(c.interval)), c.declareGap(now))
	}
	// The last frame was on the screen until now, as far as that was looked at.
	return c.seal(laterOf(now, c.last.Add(time.Microsecond)))
}

func laterOf(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
