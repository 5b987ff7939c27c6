package metrics

import (
	"slices"
	"sync"
	"time"
)

// Histogram counts by size, for every combination of its labels' values.
type Histogram struct {
	family Family
	bounds []float64
	mu     sync.Mutex
	sizes  map[string]*distrib
}

// distrib is how what was observed under some labels is distributed.
type distrib struct {
	labels []string
	bounds []float64
	counts []uint64 // by bound, not cumulated; one more for what is above all
	sum    float64
}

// Latencies are bounds in seconds that suit calls.
func Latencies() []float64 {
	return []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
}

// Histogram adds a histogram with upper bounds, which ascend. It panics as Func does.
func (r *Registry) Histogram(name, help string, bounds []float64, labels ...string) *Histogram {
	h := &Histogram{family: Family{name, help, KindHistogram, labels}, bounds: bounds, sizes: map[string]*distrib{}}
	r.add(registered{Family: h.family, sizes: h.read})
	return h
}

// Took observes a duration in seconds. It panics where the labels' values are too few or too many: a defect.
func (h *Histogram) Took(d time.Duration, labels ...string) {
	key, v := h.family.key(labels), d.Seconds()
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.sizes[key]
	if s == nil {
		s = &distrib{labels: slices.Clone(labels), bounds: h.bounds, counts: make([]uint64, len(h.bounds)+1)}
		h.sizes[key] = s
	}
	i, _ := slices.BinarySearch(h.bounds, v) // the first bound that is not below it
	s.counts[i]++
	s.sum += v
}

func (h *Histogram) read() []distrib {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]distrib, 0, len(h.sizes))
	for _, s := range h.sizes {
		one := *s
		one.counts = slices.Clone(s.counts)
		out = append(out, one)
	}
	return out
}
