package jobs

import (
	"context"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

const (
	// staleAfter is when what an encoder said of its work is forgotten.
	staleAfter = 2 * time.Minute
	// maxNotes bounds what is kept in memory; what is beyond it is only not told.
	maxNotes = 100_000
	// wishEvery is how often one wish changes priorities at most.
	wishEvery = 10 * time.Second
)

// progress is how far the work of a lease is, as its encoder says.
type progress struct {
	generation, frames int64
	at                 time.Time
}

// note keeps what an encoder says of its work. It is in memory only: another coordinator may know nothing of it.
func (b *Board) note(e Encoder, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.progress)+len(e.Held) > maxNotes {
		clear(b.progress)
	}
	for _, h := range e.Held {
		b.progress[h.Job] = progress{h.Generation, h.Frames, now}
	}
}

// Progress returns how many frames of a running job are done, as far as this coordinator knows.
func (b *Board) Progress(j catalog.Job) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	p, ok := b.progress[j.ID]
	if !ok || p.generation != j.Generation || time.Since(p.at) > staleAfter {
		return 0
	}
	return p.frames
}

// forget drops what was kept of a job.
func (b *Board) forget(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.progress, id)
}

// Want says that somebody waits to see segments of a session, all of them where none is named: their jobs go first. It is a wish:
// what is in its way is logged.
func (b *Board) Want(ctx context.Context, session string, segment int) {
	if !b.wish(catalog.JobID(session, segment), time.Now()) {
		return
	}
	var only []int
	if segment > 0 {
		only = []int{segment}
	}
	n, err := b.cfg.Catalog.Prioritize(ctx, session, catalog.PriorityViewer, only...)
	if err != nil {
		b.cfg.Logger.Warn("jobs not put first", "session_id", session, "segment", segment, "error", err)
		return
	}
	if n > 0 {
		b.cfg.Logger.Info("jobs put first", "session_id", session, "segment", segment, "jobs", n)
	}
}

// wish reports whether the same was not wished for just now.
func (b *Board) wish(id string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.wishes[id]) < wishEvery {
		return false
	}
	for known, at := range b.wishes {
		if now.Sub(at) >= wishEvery {
			delete(b.wishes, known)
		}
	}
	b.wishes[id] = now
	return true
}
