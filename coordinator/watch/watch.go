// Package watch finds sessions whose agents have disappeared.
//
// What comes in are the agents' signs of life. A session that should have an agent and has shown none for a while is marked
// silent: a network that is cut for minutes loses nothing, for the agent spools and catches up. One that stays silent for
// much longer is taken over: what the bus holds of it is sealed, the rest until then is declared a gap, and its books are
// closed. A session whose agent speaks and takes no pictures while its user is active is an alarm, for as long as it lasts.
// Time is measured from what this coordinator has seen itself, on its monotonic clock, so that after its own restart
// every agent has a fresh while.
package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/coverage"
	"github.com/recfleet/recfleet/coordinator/duty"
	"github.com/recfleet/recfleet/coordinator/ingest"
)

const (
	every = time.Second
	// standstill is the longest time between two steps in which agents could be heard all the while.
	standstill = 5 * time.Second
)

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
	// Patience is how long an agent may be silent before its session says so, GiveUp before its session is taken over.
	Patience, GiveUp time.Duration
	// Closed is called after the books of a session were closed.
	Closed func()
	Logger hclog.Logger
}

// Watch knows when each agent was last heard of. It is safe for concurrent use.
type Watch struct {
	cfg Config

	back duty.Signal // an agent that was silent may be back

	mu      sync.Mutex
	signs   map[string]sign
	frames  map[string]pictures
	stepped time.Time
}

// sign is when a session's agent was last heard of or, where it never was, when its silence was first noticed.
type sign struct {
	at    time.Time
	heard bool
	quiet bool // it is marked silent
}

// New returns a watch that has seen nobody.
func New(cfg Config) *Watch {
	return &Watch{cfg: cfg, back: duty.NewSignal(), signs: map[string]sign{}, frames: map[string]pictures{}}
}

// Seen notes that the session's agent has been heard of now.
func (w *Watch) Seen(session string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.signs[session].quiet {
		w.back.Raise()
	}
	w.signs[session] = sign{at: time.Now(), heard: true}
}

// last returns the agent's last sign; the first question about it starts the clock.
func (w *Watch) last(session string) sign {
	w.mu.Lock()
	defer w.mu.Unlock()
	s, ok := w.signs[session]
	if !ok {
		s = sign{at: time.Now()}
		w.signs[session] = s
	}
	return s
}

// hush notes that the agent is marked silent, unless it was heard of meanwhile.
func (w *Watch) hush(session string, since sign) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.signs[session] != since {
		w.back.Raise()
		return
	}
	since.quiet = true
	w.signs[session] = since
}

// forget drops the sessions that are not among those still watched.
func (w *Watch) forget(watched map[string]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, s := range w.signs {
		if !watched[id] && time.Since(s.at) > w.cfg.Patience {
			delete(w.signs, id)
		}
	}
	for id := range w.frames {
		if !watched[id] {
			delete(w.frames, id)
		}
	}
}

// forgive takes the time off every silence in which this process itself stood still, as on a host that was suspended: no
// agent could be heard then.
func (w *Watch) forgive() {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	if still := now.Sub(w.stepped); !w.stepped.IsZero() && still > standstill {
		for id, s := range w.signs {
			s.at = s.at.Add(still)
			w.signs[id] = s
		}
		for id, p := range w.frames {
			p.grew, p.input = p.grew.Add(still), p.input.Add(still)
			w.frames[id] = p
		}
	}
	w.stepped = now
}

// Turned returns when the last step began; the zero time where none did.
func (w *Watch) Turned() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stepped
}

// Step marks the sessions whose agents are silent or are back, takes over those whose agents are lost, and goes on with
// those that it took over before and could not close.
func (w *Watch) Step(ctx context.Context) error {
	w.forgive()
	unfinished, err := w.cfg.Catalog.Standings(ctx)
	if err != nil {
		return err
	}
	var failed error
	watched := make(map[string]bool, len(unfinished))
	for _, s := range unfinished {
		watched[s.ID] = true
		if s.EndedBy == catalog.PartyCoordinator && s.LastSegment != catalog.Unknown {
			continue // its books are closed
		}
		lost := s.EndedBy == catalog.PartyCoordinator
		if !lost {
			if lost, err = w.look(ctx, s); err != nil {
				failed = errors.Join(failed, err)
				continue
			}
		}
		if lost {
			failed = errors.Join(failed, w.close(ctx, s.ID))
		}
	}
	failed = errors.Join(failed, w.record(ctx, unfinished))
	w.forget(watched)
	return failed
}

// look notes whether the session's agent is needed and silent, and returns whether it is lost.
func (w *Watch) look(ctx context.Context, s catalog.Standing) (lost bool, err error) {
	last := w.last(s.ID)
	silence := time.Since(last.at)
	if silence < min(w.cfg.Patience, w.cfg.GiveUp) {
		if s.Silent.IsZero() || !last.heard {
			return false, nil
		}
		if err := w.cfg.Catalog.MarkSilent(ctx, s.ID, time.Time{}); err != nil {
			return false, err
		}
		w.cfg.Logger.Info("agent is back", "session_id", s.ID, "instance", s.Instance, "silent_for", time.Since(s.Silent).Round(time.Second))
		return false, nil
	}
	if s.State == catalog.SessionFinalizing {
		known, err := w.cfg.Catalog.Segments(ctx, s.ID)
		if err != nil || len(known) == s.LastSegment {
			return false, err // the agent has brought all that belongs to it
		}
	}
	if silence < w.cfg.GiveUp {
		return false, w.silent(ctx, s, last)
	}
	reason := fmt.Sprintf("the agent was not heard of for %v", w.cfg.GiveUp)
	if err := w.cfg.Catalog.LoseSession(ctx, s.ID, time.Now(), reason); err != nil {
		return false, err
	}
	w.cfg.Logger.Error("session interrupted", "session_id", s.ID, "instance", s.Instance, "state", s.State, "silent_for", w.cfg.GiveUp)
	return true, nil
}

// silent marks a session whose agent is silent, once.
func (w *Watch) silent(ctx context.Context, s catalog.Standing, last sign) error {
	if s.Silent.IsZero() {
		if err := w.cfg.Catalog.MarkSilent(ctx, s.ID, last.at); err != nil {
			return err
		}
		w.cfg.Logger.Warn("agent fell silent", "session_id", s.ID, "instance", s.Instance, "state", s.State, "since", last.at.UTC().Format(time.RFC3339))
	}
	w.hush(s.ID, last)
	return nil
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
	missing = append(missing, breaks(d, missing)...)
	if err := w.cfg.Catalog.CloseLost(ctx, id, end, missing); err != nil {
		return err
	}
	w.cfg.Logger.Info("lost session closed", "session_id", id, "segments", len(d.Segments), "gaps", len(missing))
	w.cfg.Closed()
	return nil
}

// breaks returns the gaps before segments with a broken chain that are too short to be found otherwise: there it is known
// that something is missing.
func breaks(d catalog.Detail, found []catalog.Gap) []catalog.Gap {
	known := slices.Concat(d.Gaps, found)
	var short []catalog.Gap
	before := d.Session.Start
	for _, s := range d.Segments {
		declared := slices.ContainsFunc(known, func(g catalog.Gap) bool { return g.Start.Before(s.Start) && before.Before(g.End) })
		if s.ChainBroken() && before.Before(s.Start) && !declared {
			short = append(short, catalog.Gap{Start: before, End: s.Start, Cause: causeLost, Detail: d.Session.StateReason})
		}
		before = s.End
	}
	return short
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
	return duty.Duty{Every: every, Signal: w.back, Step: w.Step, Logger: w.cfg.Logger}.Run(ctx)
}
