package shield

import (
	"net/http"
	"strings"
	"sync"
)

const (
	// maxStreams is how many recordings a visitor may read at once: more than a player, a download and a second tab do.
	maxStreams = 16
	// A browser asks for one stretch of a recording at a time.
	maxRange = 64
)

// Streams bounds what visitors read of recordings at once. It is safe for concurrent use.
type Streams struct {
	visitor func(*http.Request) string
	mu      sync.Mutex
	open    map[string]int
}

// NewStreams returns one with nothing open; visitor tells visitors apart.
func NewStreams(visitor func(*http.Request) string) *Streams {
	return &Streams{visitor: visitor, open: map[string]int{}}
}

// Limit returns a handler that refuses more than one range in a request, and more requests at once than a visitor needs.
func (s *Streams) Limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ranges := r.Header.Values("Range"); len(ranges) > 1 || len(ranges) == 1 && (len(ranges[0]) > maxRange || strings.Contains(ranges[0], ",")) {
			Refuse(w, http.StatusRequestedRangeNotSatisfiable)
			return
		}
		who := s.visitor(r)
		if !s.begin(who) {
			Later(w, 1)
			return
		}
		defer s.end(who)
		next.ServeHTTP(w, r)
	})
}

func (s *Streams) begin(who string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[who] >= maxStreams {
		return false
	}
	s.open[who]++
	return true
}

func (s *Streams) end(who string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[who]--; s.open[who] == 0 {
		delete(s.open, who)
	}
}
