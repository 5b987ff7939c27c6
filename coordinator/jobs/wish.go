package jobs

import (
	"context"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

// wishEvery is how often one wish changes priorities at most.
const wishEvery = 10 * time.Second

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
