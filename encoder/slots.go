package encoder

import (
	"runtime"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/encoder/capacity"
)

// AutoSlots has the encoder find out how many jobs it can do at the same time: see capacity.Rule.
const AutoSlots = -1

// sizeEvery is how often the number of slots is looked at.
const sizeEvery = 2 * time.Second

// meter measures the machine; see capacity.Meter.
type meter interface {
	Read(now time.Time) (capacity.Sample, error)
}

// slots is how many jobs may be in work. With a fixed number, all but that is empty.
type slots struct {
	number int
	rule   *capacity.Rule
	meter  meter
	logger hclog.Logger

	busy    int
	since   time.Time     // when busy last changed, or was added up
	worked  time.Duration // of all jobs together since the last measurement
	sized   time.Time     // the last measurement
	failing bool
}

func newSlots(cfg Config) (*slots, error) {
	s := &slots{number: cfg.Slots, logger: cfg.Logger}
	if cfg.Slots != AutoSlots {
		return s, nil
	}
	var err error
	if s.meter = cfg.meter; s.meter == nil {
		if s.meter, err = capacity.NewMeter(runtime.NumCPU()); err != nil {
			return nil, err
		}
	}
	s.rule = capacity.NewRule()
	s.number = s.rule.Slots()
	s.since, s.sized = time.Now(), time.Now()
	return s, nil
}

// most is how many jobs can ever be in work.
func (s *slots) most() int {
	if s.rule != nil {
		return capacity.Max
	}
	return s.number
}

// note says how many jobs are in work from now on.
func (s *slots) note(now time.Time, busy int) {
	s.worked += time.Duration(s.busy) * now.Sub(s.since)
	s.busy, s.since = busy, now
}

// size measures, and reports whether there are more slots than before.
func (s *slots) size(now time.Time) (more bool) {
	if s.rule == nil {
		return false
	}
	s.note(now, s.busy)
	sample, err := s.meter.Read(now)
	if err != nil {
		if !s.failing {
			s.logger.Warn("machine not measured", "slots", s.number, "error", err)
		}
		s.failing = true
		return false
	}
	s.failing = false
	average := s.worked.Seconds() / max(now.Sub(s.sized).Seconds(), 0.001)
	s.worked, s.sized = 0, now
	before := s.number
	s.number = s.rule.Next(sample, capacity.Jobs{Running: s.busy, Average: average})
	if s.number != before {
		cores, memory := s.rule.Need()
		s.logger.Info("slots changed", "slots", s.number, "before", before, "jobs", s.busy, "cores_per_job", hclog.Fmt("%.2f", cores),
			"bytes_per_job", memory, "free_cores", hclog.Fmt("%.2f", sample.FreeCores), "free_bytes", sample.FreeMemory)
	}
	return s.number > before
}
