package program

import (
	"runtime"
	"testing"
)

func TestRoomForSyncsLeavesTheLastWordToTheEnvironment(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	RoomForSyncs(func(name string) string { return map[string]string{"GOMAXPROCS": "3"}[name] })
	if got := runtime.GOMAXPROCS(0); got != before {
		t.Errorf("%d threads where the environment says how many, want %d", got, before)
	}
	RoomForSyncs(func(string) string { return "" })
	if got := runtime.GOMAXPROCS(0); got != 2*before {
		t.Errorf("%d threads, want %d", got, 2*before)
	}
}
