package encoder

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// ticks are the units of /proc/stat in a second; the kernel has the same for all programs.
const ticks = 100

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
	line, _, _ := strings.Cut(string(raw), "\n")
	fields := strings.Fields(line)
	const idle, wait, guests = 4, 5, 9 // guests are in user time already
	if len(fields) < guests || fields[0] != "cpu" {
		return 0, false
	}
	var sum float64
	for i, field := range fields[1:guests] {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return 0, false
		}
		if i+1 != idle && i+1 != wait {
			sum += n
		}
	}
	return sum / ticks, true
}
