package encoder

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"github.com/recfleet/recfleet/encoder/worker"
)

// counts is what an encoder tells Prometheus.
type counts struct {
	jobs          *prometheus.CounterVec // by result
	frames, media prometheus.Counter
	slots, busy   prometheus.Gauge
}

func newCounts(r prometheus.Registerer) *counts {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Name: "recfleet_encoder_" + name, Help: help}
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "recfleet_encoder_" + name, Help: help})
	}
	c := &counts{
		jobs: prometheus.NewCounterVec(counter("jobs_total",
			"Jobs that ended: completed, lost, or failed by content, destination or encoder."), []string{"result"}),
		frames: prometheus.NewCounter(counter("frames_total", "Pictures in mp4s that were archived.")),
		media:  prometheus.NewCounter(counter("media_seconds_total", "Seconds of media that were encoded and archived.")),
		slots:  gauge("slots", "Jobs that are done at the same time at most."),
		busy:   gauge("slots_busy", "Jobs in work."),
	}
	r.MustRegister(c.jobs, c.frames, c.media, c.slots, c.busy, prometheus.NewCounterFunc(
		counter("cpu_seconds_total", "Seconds of CPU that the process and the FFmpegs took that have ended."), cpuSeconds))
	for _, result := range []string{resultCompleted, resultLost, worker.Content.String(), worker.Destination.String(), worker.Encoder.String()} {
		c.ended(result, 0)
	}
	return c
}

// Results of a job beside the causes of failures.
const (
	resultCompleted = "completed"
	resultLost      = "lost"
)

// ended counts n jobs.
func (c *counts) ended(result string, n float64) { c.jobs.WithLabelValues(result).Add(n) }

func (c *counts) completed(r worker.Result) {
	c.ended(resultCompleted, 1)
	c.frames.Add(float64(r.Frames))
	c.media.Add(r.Duration.Seconds())
}

// Families returns what an encoder that has done nothing tells Prometheus, beside what every process does.
func Families() prometheus.Gatherer {
	r := prometheus.NewRegistry()
	newCounts(r)
	return r
}

func cpuSeconds() float64 {
	var total time.Duration
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		_ = unix.Getrusage(who, &u) // fails for others than these two alone
		total += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return total.Seconds()
}
