package appstream

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/policy"
)

// connection is a user at a session of the platform, and what is known of its recording.
type connection struct {
	Connection
	since    time.Time // when it was first seen unrecorded; zero where it is recorded
	judged   bool      // it was held against what is recorded before
	excluded string    // the hash of the policy that wants no recording
	alarmed  bool
}

// Look asks the platform once a minute who is connected, and raises an alarm for everybody of whom nothing has been recorded for
// too long. It is one step.
func (w *Watch) Look(ctx context.Context) error {
	p := w.cfg.Policy()
	a := p.AppStream()
	w.drop(a)
	if len(a.Watch) == 0 {
		return nil
	}
	now := w.now()
	w.mu.Lock()
	due := w.looked.IsZero() || now.Sub(w.looked) >= lookEvery
	if due {
		w.looked = now
	}
	w.mu.Unlock()
	var failed error
	if due {
		failed = w.ask(ctx, a)
	}
	return errors.Join(failed, w.compare(ctx, p, a))
}

// drop forgets the users of fleets that the policy names no more.
func (w *Watch) drop(a policy.AppStream) {
	named := map[[2]string]bool{}
	for _, f := range a.Watch {
		named[[2]string{f.Stack, f.Fleet}] = true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(named) == 0 {
		w.answered = time.Time{}
	}
	for id, v := range w.visitors {
		if !named[[2]string{v.Stack, v.Fleet}] {
			delete(w.visitors, id)
		}
	}
}

// ask brings up to date who is connected. What is known of a fleet that cannot be asked stays.
func (w *Watch) ask(ctx context.Context, a policy.AppStream) error {
	p, err := w.platform(ctx, a)
	if w.called(err) != nil {
		return fmt.Errorf("reach the platform: %w", err)
	}
	var failed error
	for _, f := range a.Watch {
		connected, err := within(ctx, func(ctx context.Context) ([]Connection, error) { return p.Connected(ctx, f) })
		if w.called(err) != nil {
			failed = errors.Join(failed, fmt.Errorf("ask for the sessions of stack %s, fleet %s: %w", f.Stack, f.Fleet, err))
			continue
		}
		w.note(f, connected)
	}
	if failed == nil {
		w.mu.Lock()
		w.answered = w.now()
		w.mu.Unlock()
	}
	return failed
}

func within[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return call(ctx)
}

// note takes in who is connected to a fleet's sessions.
func (w *Watch) note(f policy.Fleet, connected []Connection) {
	w.mu.Lock()
	defer w.mu.Unlock()
	here := map[string]bool{}
	for _, c := range connected {
		here[c.Session] = true
		if v, ok := w.visitors[c.Session]; ok {
			v.Connection = c
		} else {
			w.visitors[c.Session] = &connection{Connection: c}
		}
	}
	for id, v := range w.visitors {
		if v.Stack == f.Stack && v.Fleet == f.Fleet && !here[id] {
			delete(w.visitors, id)
			if v.alarmed {
				w.cfg.Logger.Info("unrecorded user left", "platform_session", id, "user", v.User, "stack", v.Stack, "fleet", v.Fleet)
			}
		}
	}
}

// compare holds who is connected against what is recorded.
func (w *Watch) compare(ctx context.Context, p *policy.Policy, a policy.AppStream) error {
	now := w.now()
	sessions, err := w.cfg.Catalog.Unfinished(ctx)
	if err != nil {
		return err
	}
	unrecorded, err := w.cfg.Catalog.Unrecorded(ctx)
	if err != nil {
		return err
	}
	var failed error
	for _, v := range w.unseen(w.recorded(sessions, unrecorded, now), p.Hash(), a.AlarmAfter) {
		excluded, err := w.excluded(ctx, p, v)
		switch {
		case err != nil:
			failed = errors.Join(failed, err)
		case excluded:
			w.exclude(v.Session, p.Hash())
		default:
			w.alarm(v.Session)
		}
	}
	return failed
}

// unseen brings up to date since when nothing is recorded of those who are connected, and returns those of whom that is too long
// and no alarm was raised yet.
func (w *Watch) unseen(recorded map[string]bool, hash string, after time.Duration) (found []Connection) {
	now := w.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, v := range w.visitors {
		first := !v.judged
		v.judged = true
		if recorded[id] {
			if v.alarmed {
				w.cfg.Logger.Info("unrecorded user is recorded", "platform_session", id, "user", v.User, "stack", v.Stack, "fleet", v.Fleet)
			}
			v.since, v.alarmed = time.Time{}, false
			continue
		}
		if v.since.IsZero() {
			v.since = now
			if first && !v.Start.IsZero() { // it was so before it was first seen
				v.since = now.Add(-min(max(now.Sub(v.Start), 0), after))
			}
		}
		if !v.alarmed && v.excluded != hash && now.Sub(v.since) >= after {
			found = append(found, v.Connection)
		}
	}
	return found
}

// excluded reports whether policy wants no recording of a platform's session: by what the platform says of it, or because its
// agent was told so.
func (w *Watch) excluded(ctx context.Context, p *policy.Policy, c Connection) (bool, error) {
	metadata := map[string]string{sessionKey: c.Session, "AppStream_Stack_Name": c.Stack, "AppStream_Resource_Name": c.Fleet, "AppStream_UserName": c.User}
	if !p.Decide(policy.Subject{User: c.User, Stack: c.Stack, Fleet: c.Fleet, Metadata: metadata}).Record {
		return true, nil
	}
	refused, _, err := w.cfg.Catalog.ListSessions(ctx, catalog.Filter{States: []catalog.SessionState{catalog.SessionRefused}, Stack: c.Stack, Text: c.Session}, 50, "")
	var unsearchable *catalog.FilterError
	if errors.As(err, &unsearchable) {
		return false, nil // no agent can have said it
	}
	if err != nil {
		return false, err
	}
	for _, s := range refused {
		if s.Metadata[sessionKey] == c.Session {
			return true, nil
		}
	}
	return false, nil
}

// exclude notes that a policy wants no recording of a session.
func (w *Watch) exclude(session, hash string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if v := w.visitors[session]; v != nil {
		v.excluded = hash
	}
}

func (w *Watch) alarm(session string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.visitors[session]
	if v == nil {
		return
	}
	v.alarmed = true
	w.cfg.Logger.Error("user active, nothing recorded", "platform_session", v.Session, "user", v.User, "stack", v.Stack, "fleet", v.Fleet,
		"since", v.since.UTC().Format(time.RFC3339))
}
