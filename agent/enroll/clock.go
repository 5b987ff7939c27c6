package enroll

import (
	"context"
	"math/rand/v2"
	"time"
)

// lookEvery is how long an agent does not see at most that its machine slept.
const lookEvery = 15 * time.Second

// clock is the time; tests have one of their own.
type clock struct {
	now  func() time.Time                          // by the wall
	wait func(context.Context, time.Duration) bool // false where the context ended it
}

func realClock() clock {
	return clock{now: func() time.Time { return time.Now().Round(0) }, wait: wait}
}

// pause waits, a sixth less or more: agents that were started together do not come back together. It reports whether ctx is still
// not done. What a machine sleeps counts, though timers stand still meanwhile; it is seen within lookEvery. A wall clock that was
// set back makes it no longer.
func (c clock) pause(ctx context.Context, d time.Duration) bool {
	left := d - d/6 + rand.N(max(d/3, 1))
	for end := c.now().Add(left); left > 0; {
		step := min(left, lookEvery)
		if !c.wait(ctx, step) {
			return false
		}
		left = min(left-step, end.Sub(c.now()))
	}
	return ctx.Err() == nil
}

func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
