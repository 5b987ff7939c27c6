// Package capacity says how many jobs an encoder can do at the same time: what the machine and its cgroups have, and what the
// jobs in work were measured to take, go in, and a number of slots comes out. The rule is apart from the measuring.
package capacity

import "math"

// Max is the largest number of slots.
const Max = 256

const (
	// What a job is taken for before the first measurement.
	firstNeed   = 1.0
	firstMemory = 256 << 20

	leastNeed   = 0.05
	leastMemory = 16 << 20
	// scarce is the share of the cores below which jobs are taken to get less than they could use.
	scarce = 0.1
	// learn is the weight of one measurement of a job's CPU, forget how much of what memory was seen once is forgotten.
	learn, forget = 0.3, 0.05
	// spare is what a new job may take beyond those before it, reserve the share of memory that stays free.
	spare, reserve = 1.25, 0.05
	// patience is how many measurements in a row must say that there are too many slots for the CPU.
	patience = 3
)

// Sample is how a machine stands after an interval. "Machine" is whatever is tightest: itself, or a cgroup around this
// process.
type Sample struct {
	// Cores is how many there are, FreeCores how many nobody used, OurCores how many this process and its children used.
	Cores, FreeCores, OurCores float64
	// Memory in bytes: all, what can still be had, and what the jobs of this process have.
	Memory, FreeMemory, OurMemory int64
}

// Jobs is what was in work in the interval.
type Jobs struct {
	// Running is how many are now, Average how many were over the interval.
	Running int
	Average float64
}

// Rule keeps what it has learned of jobs. Its zero value is not usable; see NewRule.
type Rule struct {
	slots  int
	need   float64 // cores of a job that gets all it can use
	memory float64 // bytes of a job
	short  int     // measurements in a row that said so
}

// NewRule returns a rule that begins with one slot.
func NewRule() *Rule { return &Rule{slots: 1, need: firstNeed, memory: firstMemory} }

// Slots is the number of jobs that may be in work.
func (r *Rule) Slots() int { return r.slots }

// Need returns what a job is believed to take: cores, and bytes of memory.
func (r *Rule) Need() (cores float64, memory int64) { return r.need, int64(r.memory) }

// Next takes in a measurement and returns the number of slots from then on, 1 to Max.
//
// Slots become more only while all are taken, and at most twice as many at a time, so that what has started is measured
// before more is started. They become fewer at once where memory runs short, and where the CPU does after some measurements
// that agree. Jobs in work are never ended for it.
func (r *Rule) Next(s Sample, j Jobs) int {
	r.measure(s, j)
	byMemory := clamp((float64(s.FreeMemory+s.OurMemory) - reserve*float64(s.Memory)) / (r.memory * spare))
	byCPU := clamp((s.FreeCores+s.OurCores)/r.need + 0.5) // to the nearest: jobs wait for the bus and the archive at times
	fits := min(byMemory, byCPU)
	switch {
	case fits >= r.slots:
		r.short = 0
		if j.Running >= r.slots {
			r.slots = min(fits, 2*r.slots)
		}
	case byMemory < r.slots:
		r.slots, r.short = fits, 0
	default:
		if r.short++; r.short >= patience {
			r.slots, r.short = fits, 0
		}
	}
	return r.slots
}

// measure learns what jobs take.
func (r *Rule) measure(s Sample, j Jobs) {
	if j.Average >= 0.5 {
		need := max(s.OurCores/j.Average, leastNeed)
		if s.FreeCores >= scarce*s.Cores {
			r.need += learn * (need - r.need)
		} else if need > r.need { // they may want even more, never less
			r.need = need
		}
	}
	if j.Running > 0 {
		memory := max(float64(s.OurMemory)/float64(j.Running), leastMemory)
		r.memory = max(memory, r.memory-forget*(r.memory-memory))
	}
}

func clamp(n float64) int { return int(min(max(math.Floor(n), 1), Max)) }
