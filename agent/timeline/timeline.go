// Package timeline gives a session's clock: the wall clock at the session's start plus the time that has really passed since.
//
// A step of the wall clock changes no duration on it. Time in which the machine was suspended counts, and is seen as a jump of
// which Slept tells that it was one.
package timeline

import (
	"sync"
	"time"
)

const (
	// minSleep is the shortest sleep that counts; no machine is back sooner.
	minSleep = 50 * time.Millisecond
	// maxSleeps bounds what is remembered.
	maxSleeps = 64
)

// Timeline is the clock of one session. It may be used from several goroutines; copies of it are the same one.
type Timeline struct {
	clock Clock
	start time.Time
	boot  time.Duration
	past  *past
}

// past is when the machine slept.
type past struct {
	mu     sync.Mutex
	last   time.Time // that was told
	asleep time.Duration
	sleeps []sleep
}

// sleep is one that lay somewhere between two looks at the clock.
type sleep struct {
	after, before time.Time
	length        time.Duration
}

// New starts a time line now, on the machine's clock.
func New() Timeline { return SystemClock().New() }

// New starts a time line now.
func (c Clock) New() Timeline {
	boot, asleep := c.look()
	// Whole microseconds: the screen codec knows no smaller ones.
	start := c.Wall().Round(0).Truncate(time.Microsecond)
	return Timeline{clock: c, start: start, boot: boot, past: &past{last: start, asleep: asleep}}
}

// Start returns the wall-clock time at which the time line began.
func (t Timeline) Start() time.Time { return t.start }

// Now returns the present on the time line, in whole microseconds.
func (t Timeline) Now() time.Time {
	boot, asleep := t.clock.look()
	now := t.start.Add((boot - t.boot).Truncate(time.Microsecond))
	t.past.note(now, asleep)
	return now
}

// note remembers a sleep since the last look.
func (p *past) note(now time.Time, asleep time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if d := asleep - p.asleep; d >= minSleep {
		if len(p.sleeps) == maxSleeps {
			p.sleeps = append(p.sleeps[:0], p.sleeps[1:]...)
		}
		p.sleeps = append(p.sleeps, sleep{after: p.last, before: now, length: d})
	}
	p.asleep = max(p.asleep, asleep)
	if now.After(p.last) {
		p.last = now
	}
}

// Slept returns how long the machine was suspended between two times on the time line, as far as Now has been called since; 0 where it
// was not. One that lies across a bound counts whole.
func (t Timeline) Slept(from, until time.Time) time.Duration {
	t.past.mu.Lock()
	defer t.past.mu.Unlock()
	var slept time.Duration
	for _, s := range t.past.sleeps {
		if s.before.After(from) && s.after.Before(until) {
			slept += s.length
		}
	}
	return slept
}
