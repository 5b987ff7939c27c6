package main

import (
	"slices"
	"sync"
	"time"
)

// samples are durations that many goroutines add to.
type samples struct {
	mu  sync.Mutex
	all []time.Duration
}

func (s *samples) add(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, d)
}

// take returns what was added since it was last called.
func (s *samples) take() spread {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.all
	s.all = nil
	slices.Sort(all)
	return spread(all)
}

// spread is a sorted set of durations.
type spread []time.Duration

func (s spread) percentile(p int) time.Duration {
	if len(s) == 0 {
		return 0
	}
	return s[min(len(s)-1, len(s)*p/100)]
}
