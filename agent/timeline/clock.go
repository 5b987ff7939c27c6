package timeline

import (
	"time"

	"golang.org/x/sys/unix"
)

// Clock is what a time line is read from. All three may be called from several goroutines.
type Clock struct {
	// Wall is the time of day, which may be stepped. It is read once, at the start.
	Wall func() time.Time
	// SinceBoot goes on while the machine sleeps, and Awake stands still; nobody can set either.
	SinceBoot, Awake func() time.Duration
}

// SystemClock is the machine's.
func SystemClock() Clock {
	return Clock{Wall: time.Now, SinceBoot: sinceBoot, Awake: awake}
}

func sinceBoot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		// Every kernel since 2.6.39 has it; one that denies it gets the clock that stands still in its sleep.
		return awake()
	}
	return time.Duration(ts.Nano())
}

func awake() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) // there is no kernel without it
	return time.Duration(ts.Nano())
}

// look reads the clock. asleep is how long the machine has slept since its start, or a little less: never more.
func (c Clock) look() (boot, asleep time.Duration) {
	boot = c.SinceBoot()
	return boot, boot - c.Awake() // time may pass between the two
}
