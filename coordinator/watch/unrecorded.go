package watch

import (
	"context"
	"errors"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

const (
	// pictureless is how long no picture may be taken; with the Syncs' interval it is well within a minute.
	pictureless = 30 * time.Second
	// afterglow is how long after the last picture input may come and still be on it.
	afterglow = 2 * time.Second
)

// pictures is what a session's agent says of what it takes.
type pictures struct {
	count int64
	grew  time.Time // when the count was last seen to change or, where it never did, when it was first heard
	moved bool      // it was seen to change
	input time.Time // the user's last one
}

// Frames notes how many pictures a session's agent has taken by now, and how long its user is idle.
func (w *Watch) Frames(session string, count int64, idle time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	p, known := w.frames[session]
	if !known || p.count != count {
		p = pictures{count: count, grew: now, moved: known}
	}
	p.input = now.Add(-idle)
	w.frames[session] = p
}

// taken returns what is known of a session's pictures; none where its agent was not heard of lately.
func (w *Watch) taken(session string) (p pictures, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, known = w.frames[session]
	return p, known && time.Since(w.signs[session].at) < w.cfg.Patience
}

// record marks the sessions of which nothing is recorded though their users are active, and takes that back.
func (w *Watch) record(ctx context.Context, unfinished []catalog.Standing) error {
	marked, err := w.cfg.Catalog.Unrecorded(ctx)
	if err != nil {
		return err
	}
	var failed error
	for _, s := range unfinished {
		since, alarmed := marked[s.ID]
		delete(marked, s.ID)
		failed = errors.Join(failed, w.compare(ctx, s, alarmed, since))
	}
	for id := range marked { // they are over
		failed = errors.Join(failed, w.cfg.Catalog.MarkUnrecorded(ctx, id, time.Time{}))
	}
	return failed
}

// compare sets or takes back one session's alarm.
func (w *Watch) compare(ctx context.Context, s catalog.Standing, alarmed bool, since time.Time) error {
	p, known := w.taken(s.ID)
	records := s.State.Capturing() && s.StopReason == ""
	still := time.Since(p.grew) >= pictureless
	switch {
	case alarmed && (!records || known && p.moved && !still):
		if err := w.cfg.Catalog.MarkUnrecorded(ctx, s.ID, time.Time{}); err != nil {
			return err
		}
		w.cfg.Logger.Info("alarm ended", "session_id", s.ID, "instance", s.Instance, "state", s.State,
			"unrecorded_for", time.Since(since).Round(time.Second))
	case !alarmed && records && known && still && p.input.Sub(p.grew) > afterglow:
		if err := w.cfg.Catalog.MarkUnrecorded(ctx, s.ID, p.grew); err != nil {
			return err
		}
		w.cfg.Logger.Error("user was active and nothing was recorded", "session_id", s.ID, "instance", s.Instance, "state", s.State,
			"since", p.grew.UTC().Format(time.RFC3339), "frames", p.count)
	}
	return nil
}
