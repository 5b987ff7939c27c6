package encoder

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/recfleet/recfleet/encoder/worker"
	"github.com/recfleet/recfleet/internal/metrics"
)

// counts is what an encoder tells Prometheus.
type counts struct {
	jobs, frames, media, slots, busy *metrics.Value
}

func newCounts(r *metrics.Registry) *counts {
	c := &counts{
		jobs:   r.Counter("recfleet_encoder_jobs_total", "Jobs that ended: completed, lost, or failed by content, destination or encoder.", "result"),
		frames: r.Counter("recfleet_encoder_frames_total", "Pictures in mp4s that were archived."),
		media:  r.Counter("recfleet_encoder_media_seconds_total", "Seconds of media that were encoded and archived."),
		slots:  r.Gauge("recfleet_encoder_slots", "Jobs that are done at the same time at most."),
		busy:   r.Gauge("recfleet_encoder_slots_busy", "Jobs in work."),
	}
	r.Func(metrics.Family{
		Name: "recfleet_encoder_cpu_seconds_total", Help: "Seconds of CPU that the process and the FFmpegs took that have ended.", Kind: metrics.KindCounter,
	}, func(emit metrics.Emit) {
		if seconds, ok := cpuSeconds(); ok {
			emit(seconds)
		}
	})
	for _, result := range []string{resultCompleted, resultLost, worker.Content.String(), worker.Destination.String(), worker.Encoder.String()} {
		c.jobs.Add(0, result)
	}
	return c
}

// Results of a job beside the causes of failures.
const (
	resultCompleted = "completed"
	resultLost      = "lost"
)

func (c *counts) completed(r worker.Result) {
	c.jobs.Add(1, resultCompleted)
	c.frames.Add(float64(r.Frames))
	c.media.Add(r.Duration.Seconds())
}

// Families returns what an encoder tells Prometheus beside what every process does.
func Families() []metrics.Family {
	r := metrics.New()
	newCounts(r)
	return r.Families()
}

func cpuSeconds() (float64, bool) {
	var total time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			return 0, false
		}
		total += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return total.Seconds(), true
}
