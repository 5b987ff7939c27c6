// Package watch finds sessions whose agents have disappeared.
//
// What comes in are the agents' signs of life. A session that should have an agent and has shown none for a while is taken
// over: what the bus holds of it is sealed, the rest until then is declared a gap, and its books are closed. Time is
// measured from what this coordinator has seen itself, so that after its own restart every agent has a fresh while.
package watch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/coverage"
	"github.com/recfleet/recfleet/coordinator/duty"
	"github.com/recfleet/recfleet/coordinator/ingest"
)

const every = time.Second

// causeLost is the cause of the gaps that a lost agent leaves.
const causeLost = "agent_lost"

// Salvager seals what the bus holds of a lost session; see ingest.Ingest.
type Salvager interface {
	Salvage(ctx context.Context, session catalog.Session) error
}

// Config is what a Watch needs.
type Config struct {
	Catalog  *catalog.Catalog
	Salvager Salvager
	// Patience is how long an agent may be silent.
	Patience time.Duration
	// Closed is called after the books of a session were closed.
	Closed func()
	Logger hclog.Logger
}

// Watch knows when each agent was last heard of. It is safe for concurrent use.
type Watch struct {
	cfg Config

	mu   sync.Mutex
	seen map[string]time.Time
}

// New returns a watch that has seen nobody.
func New(cfg Config) *Watch { return &Watch{cfg: cfg, seen: map[string]time.Time{}} }

// Seen notes that the session's agent has been heard of now.
func (w *Watch) Seen(session string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[session] = time.Now()
}

// silence returns how long the agent has been silent; the first question about it starts the clock.
func (w *Watch) silence(session string) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	last, ok := w.seen[session]
	if !ok {
		w.seen[session] = time.Now()
		return 0
	}
	return time.Since(last)
}

// forget drops the sessions that are not among those still watched.
func (w *Watch) forget(watched map[string]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.seen {
		if !watched[id] && time.Since(w.seen[id]) > w.cfg.Patience {
			delete(w.seen, id)
		}
	}
}

// Step takes over the sessions whose agents are lost, and goes on with those that it took over before and could not close.
func (w *Watch) Step(ctx context.Context) error {
	unfinished, err := w.cfg.Catalog.Unfinished(ctx)
	if err != nil {
		return err
	}
	var failed error
	watched := make(map[string]bool, len(unfinished))
	for _, s := range unfinished {
		watched[s.ID] = true
		lost := s.EndedBy == catalog.PartyCoordinator
		if !lost {
			if lost, err = w.lose(ctx, s); err != nil {
				failed = errors.Join(failed, err)
				continue
			}
		}
		if lost && (s.LastSegment == catalog.Unknown || s.EndedBy != catalog.PartyCoordinator) {
			failed = errors.Join(failed, w.close(ctx, s.ID))
		}
	}
	w.forget(watched)
	return failed
}

// lose decides whether the session's agent is needed and lost, and notes it.
func (w *Watch) lose(ctx context.Context, s catalog.Session) (bool, error) {
	if w.silence(s.ID) < w.cfg.Patience {
		return false, nil
	}
	if s.State == catalog.SessionFinalizing {
		known, err := w.cfg.Catalog.Segments(ctx, s.ID)
		if err != nil || len(known) == s.LastSegment {
			return false, err // the agent has brought all that belongs to it
		}
	}
	reason := fmt.Sprintf("the agent was not heard of for %v", w.cfg.Patience)
	if err := w.cfg.Catalog.LoseSession(ctx, s.ID, time.Now(), reason); err != nil {
		return false, err
	}
	w.cfg.Logger.Error("session interrupted", "session_id", s.ID, "instance", s.Instance, "state", s.State, "silent_for", w.cfg.Patience)
	return true, nil
}

// close seals what is there and closes the books of a lost session.
func (w *Watch) close(ctx context.Context, id string) error {
	s, err := w.cfg.Catalog.Session(ctx, id)
	if err != nil {
		return err
	}
	if err := w.cfg.Salvager.Salvage(ctx, s); err != nil {
		return err
	}
	d, err := w.cfg.Catalog.Detail(ctx, id)
	if err != nil {
		return err
	}
	end := endOf(d)
	var missing []catalog.Gap
	for _, h := range coverage.Holes(d, s.Start, end) {
		missing = append(missing, catalog.Gap{Start: h.Start, End: h.End, Cause: causeLost, Detail: s.StateReason})
	}
	if err := w.cfg.Catalog.CloseLost(ctx, id, end, missing); err != nil {
		return err
	}
	w.cfg.Logger.Info("lost session closed", "session_id", id, "segments", len(d.Segments), "gaps", len(missing))
	w.cfg.Closed()
	return nil
}

// endOf returns when a lost session ended, on its own time line: as its agent said if it did, otherwise when it was found
// lost. The coordinator's clock may differ from the instance's, so only the time that passed on it counts.
func endOf(d catalog.Detail) time.Time {
	end := d.Session.End
	if end.IsZero() {
		end = d.Session.Start.Add(d.Session.Lost.Sub(d.Session.Created))
	}
	if last := ingest.End(d.Segments, d.Session.Start); last.After(end) {
		end = last
	}
	return end
}

// Run repeats Step until ctx is done.
func (w *Watch) Run(ctx context.Context) error {
	return duty.Duty{Every: every, Step: w.Step, Logger: w.cfg.Logger}.Run(ctx)
}
