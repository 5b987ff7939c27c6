package capture

import (
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/test/desktop"
)

// kills is how many faults a test makes: a few every day, many where there is time.
func kills(few, many int) int {
	if os.Getenv("RECFLEET_LONG") == "1" {
		return many
	}
	return few
}

// FFmpeg is killed and stopped at any instant; the pictures due are taken without it.
func TestKilledAndHangingFFmpegIsStartedAgain(t *testing.T) {
	x := desktop.Start(t, 640, 480)
	k, counter := watched(t, x, func(c *Config, _ *spool.Config) { c.FFmpeg = true })
	k.awaitFrames(3)
	random := rand.New(rand.NewPCG(1, 2))
	n := kills(6, 60)
	for i := range n {
		sig := syscall.SIGKILL
		if i%3 == 2 {
			sig = syscall.SIGSTOP
		}
		pid := ffmpegOf(t, x.Display())
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Duration(random.IntN(900)) * time.Millisecond)
	}
	k.awaitSteady()
	pictures := k.finish(counter)
	missing := lost(pictures, k.capture.interval)
	t.Logf("%d faults, %d pictures, %d instants lost, gaps %+v", n, len(pictures), missing, gaps(k.events()))
	if missing > n {
		t.Errorf("%d instants lost after %d faults", missing, n)
	}
}
