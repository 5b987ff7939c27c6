package appstream

import (
	"sync"
	"time"
)

// pictures knows when each agent's count of pictures last grew.
type pictures struct {
	mu    sync.Mutex
	known map[string]progress
}

type progress struct {
	frames        int64
	grown, spoken time.Time
}

func newPictures() *pictures { return &pictures{known: map[string]progress{}} }

func (p *pictures) note(session string, frames int64, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was, ok := p.known[session]
	if !ok || frames != was.frames {
		was.frames, was.grown = frames, now
	}
	was.spoken = now
	p.known[session] = was
}

// stalled reports whether a session's agent speaks to this process, and has taken no picture for a while.
func (p *pictures) stalled(session string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	one, ok := p.known[session]
	return ok && one.spoken.Sub(one.grown) >= stall && now.Sub(one.spoken) < deaf
}

// forget drops the sessions that are over.
func (p *pictures) forget(open map[string]bool, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, one := range p.known {
		if !open[id] && now.Sub(one.spoken) > deaf {
			delete(p.known, id)
		}
	}
}
