package program

import (
	"runtime/debug"
	"testing"
)

func TestSpareMemoryLeavesTheLastWordToTheEnvironment(t *testing.T) {
	before := debug.SetGCPercent(100)
	defer debug.SetGCPercent(before)
	for name, want := range map[string]int{"GOGC": 100, "GOMEMLIMIT": 100, "OTHER": collectAt} {
		debug.SetGCPercent(100)
		SpareMemory(func(asked string) string {
			if asked == name {
				return "50"
			}
			return ""
		})
		if got := debug.SetGCPercent(100); got != want {
			t.Errorf("with %s set it is %d, want %d", name, got, want)
		}
	}
}
