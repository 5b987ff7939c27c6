// Package timeline gives a session's clock: the wall clock at the session's start plus the time that has really passed since.
//
// A step of the wall clock changes no duration on it. Time in which the machine was suspended counts, and is seen as a jump.
package timeline

import (
	"time"

	"golang.org/x/sys/unix"
)

// Timeline is the clock of one session. It may be used from several goroutines.
type Timeline struct {
	start time.Time
	boot  time.Duration
}

// New starts a time line now.
func New() Timeline {
	// Whole microseconds: the screen codec knows no smaller ones.
	return Timeline{start: time.Now().Round(0).Truncate(time.Microsecond), boot: sinceBoot()}
}

// Start returns the wall-clock time at which the time line began.
func (t Timeline) Start() time.Time { return t.start }

// Now returns the present on the time line, in whole microseconds.
func (t Timeline) Now() time.Time {
	return t.start.Add((sinceBoot() - t.boot).Truncate(time.Microsecond))
}

// sinceBoot reads the clock that nobody can set and that goes on while the machine sleeps.
func sinceBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// Every kernel since 2.6.39 has it; one that denies it gets the clock that stands still in its sleep.
		_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	}
	return time.Duration(ts.Nano())
}
