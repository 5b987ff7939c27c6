package appstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/policy"
)

// lapse is a strict session of which nothing is recorded.
type lapse struct {
	since    time.Time // when this process first saw it so
	why      string
	platform string // the platform's session
	over     bool   // it was ended, or the platform does not know it
	tries    int
	next     time.Time // when to try again
}

// governed returns the platform's session where it may be ended, and whether it may.
func governed(s catalog.Session) (string, bool) {
	platform := s.Metadata[sessionKey]
	return platform, platform != "" && s.Policy.Mode == string(policy.ModeStrict) && s.Policy.Enforce == string(policy.EnforceExpireSession)
}

// Enforce ends strict sessions that have gone unrecorded for too long. It is one step, and does no harm when repeated.
func (w *Watch) Enforce(ctx context.Context) error {
	now := w.now()
	sessions, err := w.cfg.Catalog.Unfinished(ctx)
	if err != nil {
		return err
	}
	unrecorded, err := w.cfg.Catalog.Unrecorded(ctx)
	if err != nil {
		return err
	}
	w.forgive(now)
	open := make(map[string]bool, len(sessions))
	for _, s := range sessions {
		open[s.ID] = true
		if platform, ok := governed(s); ok {
			w.judge(s, platform, w.why(s, unrecorded, now), now)
		}
	}
	w.absolve(w.recorded(sessions, unrecorded, now))
	w.pictures.forget(open, now)
	failed := w.follow(ctx, open)
	a := w.cfg.Policy().AppStream()
	for _, due := range w.due(now, a.ExpireAfter) {
		failed = errors.Join(failed, w.expire(ctx, a, due))
	}
	return failed
}

// judge notes whether a session is recorded.
func (w *Watch) judge(s catalog.Session, platform, why string, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := w.lapses[s.ID]
	switch {
	case why == "" && known != nil:
		delete(w.lapses, s.ID)
		w.cfg.Logger.Info("strict session is no longer unrecorded", "session_id", s.ID, "state", s.State, "for", now.Sub(known.since).Round(time.Second))
	case why != "" && known == nil:
		w.lapses[s.ID] = &lapse{since: now, why: why, platform: platform}
		w.cfg.Logger.Warn("strict session is unrecorded", "session_id", s.ID, "instance", s.Instance, "reason", why, "platform_session", platform)
	case known != nil:
		known.why = why
	}
}

// absolve forgets the sessions in whose place another one records the same session of the platform, as it is where an agent
// begins anew after it was given up.
func (w *Watch) absolve(recorded map[string]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, o := range w.lapses {
		if recorded[o.platform] {
			delete(w.lapses, id)
		}
	}
}

// forgive gives every session a fresh while where this process itself stood still: no agent could be heard then.
func (w *Watch) forgive(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stepped.IsZero() && now.Sub(w.stepped) > standstill {
		for _, o := range w.lapses {
			o.since = now
		}
	}
	w.stepped = now
}

// follow looks at what became of sessions that are not open any more: those whose agents were lost stay what they are until they
// are ended, the others have ended in order.
func (w *Watch) follow(ctx context.Context, open map[string]bool) error {
	w.mu.Lock()
	var gone []string
	for id, o := range w.lapses {
		if !open[id] {
			if o.over {
				delete(w.lapses, id)
				continue
			}
			gone = append(gone, id)
		}
	}
	w.mu.Unlock()
	var failed error
	for _, id := range gone {
		s, err := w.cfg.Catalog.Session(ctx, id)
		if err != nil && !errors.Is(err, catalog.ErrNotFound) {
			failed = errors.Join(failed, err)
			continue
		}
		if err != nil || s.EndedBy != catalog.PartyCoordinator {
			w.mu.Lock()
			delete(w.lapses, id)
			w.mu.Unlock()
		}
	}
	return failed
}

// due returns the sessions that are to be ended now.
func (w *Watch) due(now time.Time, after time.Duration) (due []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, o := range w.lapses {
		if !o.over && now.Sub(o.since) >= after && !now.Before(o.next) {
			due = append(due, id)
		}
	}
	return due
}

func (w *Watch) expire(ctx context.Context, a policy.AppStream, id string) error {
	w.mu.Lock()
	o := *w.lapses[id]
	w.mu.Unlock()
	p, err := w.platform(ctx, a)
	if err == nil {
		_, err = within(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, p.Expire(ctx, o.platform) })
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err == nil {
		if _, err := w.cfg.Catalog.AppendAudit(ctx, catalog.AuditRecord{
			Time: w.now(), Who: "coordinator", Action: "session.expire_on_platform", Object: id, Reason: o.why, Result: "ok",
		}); err != nil {
			w.cfg.Logger.Error("end of a session was not audited", "session_id", id, "error", err)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	known := w.lapses[id] // only Enforce, which called this, takes it away
	switch {
	case err == nil:
		known.over = true
		w.expired++
		w.cfg.Logger.Warn("strict session was ended on the platform", "session_id", id, "platform_session", o.platform, "reason", o.why,
			"unrecorded_for", w.now().Sub(o.since).Round(time.Second))
		return nil
	case errors.Is(err, ErrGone):
		known.over = true
		w.cfg.Logger.Info("strict session is over on the platform", "session_id", id, "platform_session", o.platform)
		return nil
	}
	w.failed++
	known.next = w.now().Add(min(firstBackoff<<min(known.tries, 10), maxBackoff))
	known.tries++
	if known.tries == 1 {
		w.cfg.Logger.Error("strict session goes on unrecorded, it could not be ended", "session_id", id, "platform_session", o.platform,
			"reason", o.why, "error", err)
		return nil
	}
	return fmt.Errorf("end session %s on the platform: %w", id, err)
}
