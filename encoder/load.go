package encoder

import (
	"os"
	"time"

	"github.com/recfleet/recfleet/encoder/capacity"
)

// load tells how many cores of the machine are in use.
type load struct {
	at   time.Time
	busy float64 // seconds of all cores since the machine started
	last float64
}

// cores returns how many cores were in use since the last time it was asked, at most every second.
func (l *load) cores(now time.Time) float64 {
	if now.Sub(l.at) < time.Second {
		return l.last
	}
	busy, ok := busySeconds()
	if !ok {
		return 0
	}
	if !l.at.IsZero() {
		l.last = max(0, (busy-l.busy)/now.Sub(l.at).Seconds())
	}
	l.at, l.busy = now, busy
	return l.last
}

// busySeconds sums up what all cores did but idle and wait.
func busySeconds() (float64, bool) {
	raw, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, false
	}
	return capacity.Busy(string(raw))
}
