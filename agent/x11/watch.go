package x11

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// settleLimit is how many times the settle time a change may be held back.
const settleLimit = 10

// Watch reports the present geometry at once and then every other one, and
// blocks until ctx is done (nil) or the display is lost (ErrLost). Whatever
// changes while report runs is reported after it, so report may take its time;
// of several changes in a row the last is always among those reported. A second
// Watch on the same Display waits for the first to end.
func (d *Display) Watch(ctx context.Context, report func(Geometry)) error {
	d.watching.Lock()
	defer d.watching.Unlock()
	stop := context.AfterFunc(ctx, d.events.interrupt)
	defer stop()
	err := d.watch(ctx, report)
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("watch display %q: %w", d.name, err)
}

func (d *Display) watch(ctx context.Context, report func(Geometry)) error {
	var last Geometry
	for first := true; ; first = false {
		// Cleared before asking: an event that comes while the answer is under
		// way leads to one more question, never to a change unseen.
		d.events.changed = false
		g, err := d.askWatched(ctx)
		if err != nil {
			return err
		}
		if first || !g.Equal(last) {
			report(g)
			last = g
		}
		for !d.events.changed {
			if err := d.await(ctx, time.Time{}); err != nil {
				return err
			}
		}
		if err := d.awaitQuiet(ctx); err != nil {
			return err
		}
	}
}

// askWatched reads the geometry in the order of the events. It waits as long as
// it takes: a client may hold the server grabbed.
func (d *Display) askWatched(ctx context.Context) (Geometry, error) {
	for {
		d.events.until(time.Time{})
		if err := ctx.Err(); err != nil {
			return Geometry{}, err
		}
		g, err := d.events.geometry()
		// A late interrupt of an earlier Watch is not ours.
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return g, err
		}
	}
}

// awaitQuiet returns when no event came for the settle time, or when that was
// not to be had.
func (d *Display) awaitQuiet(ctx context.Context) error {
	for limit := time.Now().Add(settleLimit * d.settle); ; {
		deadline := time.Now().Add(d.settle)
		if deadline.After(limit) {
			return nil
		}
		d.events.changed = false
		if err := d.await(ctx, deadline); err != nil {
			return err
		}
		if !d.events.changed {
			return nil
		}
	}
}

// await takes in what the server sends until an event or the deadline.
func (d *Display) await(ctx context.Context, deadline time.Time) error {
	d.events.until(deadline)
	// Looked at after the deadline is set: an interrupt from before it would be
	// lost otherwise.
	if err := ctx.Err(); err != nil {
		return err
	}
	for !d.events.changed {
		_, err := d.events.next()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}
