package capacity

import (
	"math"
	"testing"
	"testing/fstest"
)

// Whatever the kernel says of cores and memory is refused or is an amount.
func FuzzMachine(f *testing.F) {
	f.Add("cpu  10 0 5 100 3 0 1 0 0 0\ncpu0 1\n", "MemTotal: 100 kB\nMemAvailable: 50 kB\n")
	f.Add("cpu  -10 NaN Inf 1 1 1 1 1", "MemTotal: -1 kB\nMemAvailable: 9223372036854775807 kB\n")
	f.Add("cpu", "")
	f.Fuzz(func(t *testing.T, stat, meminfo string) {
		if seconds, ok := Busy(stat); ok && (seconds < 0 || math.IsNaN(seconds) || math.IsInf(seconds, 0)) {
			t.Errorf("%q: busy for %v s", stat, seconds)
		}
		total, available, err := machineMemory(fstest.MapFS{"proc/meminfo": {Data: []byte(meminfo)}})
		if err == nil && (total <= 0 || available <= 0) {
			t.Errorf("%q: %d of %d bytes", meminfo, available, total)
		}
	})
}
