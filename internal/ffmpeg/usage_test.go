package ffmpeg

import (
	"testing"
	"time"
)

func TestWhatRunningProcessesTake(t *testing.T) {
	none, err := Running()
	if err != nil || none.Processes != 0 || none.CPU != 0 || none.Memory <= 0 {
		t.Fatalf("%+v, %v", none, err)
	}
	shim(t, `(while :; do :; done) & sleep 1000`)
	p := start(t, Config{Limits: someLimits(), Offline: true})
	waitFor(t, func() bool {
		u, err := Running()
		return err == nil && u.Processes == 3 && u.CPU >= 50*time.Millisecond && u.Memory > none.Memory
	})
	p.Kill()
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { u, err := Running(); return err == nil && u.Processes == 0 && u.CPU == 0 })
}
