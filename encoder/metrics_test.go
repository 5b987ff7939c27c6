package encoder

import (
	"bytes"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// What an encoder tells after two jobs that were done, one whose content is wrong, and one whose lease was lost.
func TestWhatIsCounted(t *testing.T) {
	f := newFixture(t)
	r := prometheus.NewPedanticRegistry()
	f.cfg.Registry = r
	stop := f.run(t)
	value := func(name, want string) {
		t.Helper()
		if err := testutil.GatherAndCompare(r, strings.NewReader(want), "recfleet_encoder_"+name); err != nil {
			t.Error(err)
		}
	}
	c := f.coordinator
	f.offer("lost")
	<-f.bus.reading
	value("slots_busy", "# HELP recfleet_encoder_slots_busy Jobs in work.\n# TYPE recfleet_encoder_slots_busy gauge\nrecfleet_encoder_slots_busy 1\n")
	c.change(func() { c.lost = []string{"lost.1"} })
	c.wait(t, "a sync with both slots free again", func() bool {
		return c.leased["lost.1"] != 0 && len(c.lost) == 0 && c.syncs[len(c.syncs)-1].GetFreeSlots() == 2
	})
	close(f.bus.hold)
	f.offer("a")
	f.offer("b")
	chain := f.lease.Source.ChainEnd
	f.lease.Source.ChainEnd = bytes.Repeat([]byte{1}, len(chain))
	f.offer("wrong")
	c.wait(t, "all jobs' ends", func() bool { return len(c.completed) == 2 && len(c.failed) == 1 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	value("jobs_total", `# HELP recfleet_encoder_jobs_total Jobs that ended: completed, lost, or failed by content, destination or encoder.
# TYPE recfleet_encoder_jobs_total counter
recfleet_encoder_jobs_total{result="completed"} 2
recfleet_encoder_jobs_total{result="content"} 1
recfleet_encoder_jobs_total{result="destination"} 0
recfleet_encoder_jobs_total{result="encoder"} 0
recfleet_encoder_jobs_total{result="lost"} 1
`)
	value("frames_total", "# HELP recfleet_encoder_frames_total Pictures in mp4s that were archived.\n# TYPE recfleet_encoder_frames_total counter\nrecfleet_encoder_frames_total 6\n")
	value("media_seconds_total", `# HELP recfleet_encoder_media_seconds_total Seconds of media that were encoded and archived.
# TYPE recfleet_encoder_media_seconds_total counter
recfleet_encoder_media_seconds_total 1.2
`)
	value("slots", "# HELP recfleet_encoder_slots Jobs that are done at the same time at most.\n# TYPE recfleet_encoder_slots gauge\nrecfleet_encoder_slots 2\n")
	value("slots_busy", "# HELP recfleet_encoder_slots_busy Jobs in work.\n# TYPE recfleet_encoder_slots_busy gauge\nrecfleet_encoder_slots_busy 0\n")
	if got := cpuSeconds(); got <= 0 {
		t.Errorf("%v seconds of CPU", got)
	}
}
