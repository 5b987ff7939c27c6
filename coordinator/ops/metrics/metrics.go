// Package metrics tells Prometheus how the coordinator and what it leads stand.
//
// What comes in are calls as they end, what the catalog says of all sessions and jobs together, and what health and drift
// know; what goes out are families of values. What always holds: no label holds an id, a user's name, or anything else of
// which there are many; the catalog is asked at most once in five seconds however often somebody asks here, and where it
// does not answer, its values are left out rather than told as they were.
//
// Several coordinators on one catalog tell the same of it: take the maximum of them, not the sum.
package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/ops/drift"
	"github.com/recfleet/recfleet/internal/metrics"
	"github.com/recfleet/recfleet/internal/version"
)

// Catalog says how everything stands; see catalog.Catalog.
type Catalog interface {
	Vitals(ctx context.Context, now time.Time) (catalog.Vitals, error)
	FinalSessions(ctx context.Context) (map[catalog.SessionState]int, error)
}

// Config is what New needs.
type Config struct {
	Catalog Catalog
	// Down returns the parts that cannot be used, Parts are all of them; see health.Health.
	Down  func() map[string]error
	Parts []string
	// Drift returns what deviates and when that was looked at; see drift.Drift.
	Drift  func() (found []drift.Finding, checked time.Time)
	Logger hclog.Logger
}

const (
	// fresh is how old what the catalog said may be, freshFinal the same for the sessions that are over, whose count costs
	// more.
	fresh      = 5 * time.Second
	freshFinal = time.Minute
	// bound is how long the catalog may take.
	bound = 5 * time.Second
	// anyPool is the label of jobs that any encoder may take.
	anyPool = "any"
)

// snapshot is what the catalog said last.
type snapshot struct {
	mu        sync.Mutex
	cfg       Config
	failed    *metrics.Value
	asked     time.Time // when it was asked last
	read      time.Time // when the vitals are of; zero where it did not answer
	vitals    catalog.Vitals
	finalRead time.Time
	final     map[catalog.SessionState]int
}

// New registers the coordinator's families and returns what counts calls.
func New(r *metrics.Registry, cfg Config) *Calls {
	r.Process("recfleet", version.Version)
	s := &snapshot{cfg: cfg, failed: r.Counter("recfleet_catalog_read_failures_total", "Times that the catalog did not say how everything stands.")}
	r.Before(s.refresh)
	s.sessions(r)
	s.media(r)
	s.jobs(r)
	parts(r, cfg)
	return newCalls(r)
}

// refresh asks the catalog unless it was asked a moment ago. Whoever comes meanwhile waits for the same answer.
func (s *snapshot) refresh(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.asked.IsZero() && time.Since(s.asked) < fresh {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	now := time.Now()
	s.asked = now
	vitals, err := s.cfg.Catalog.Vitals(ctx, now)
	if err == nil && now.Sub(s.finalRead) >= freshFinal {
		var final map[catalog.SessionState]int
		if final, err = s.cfg.Catalog.FinalSessions(ctx); err == nil {
			s.final, s.finalRead = final, now
		}
	}
	if err != nil {
		s.read = time.Time{}
		s.failed.Add(1)
		s.cfg.Logger.Warn("catalog was not read for metrics", "error", err)
		return
	}
	s.vitals, s.read = vitals, now
}

// family registers a family that is read from the snapshot, and left out where there is none.
func (s *snapshot) family(r *metrics.Registry, f metrics.Family, read func(v catalog.Vitals, emit metrics.Emit)) {
	r.Func(f, func(emit metrics.Emit) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.read.IsZero() {
			read(s.vitals, emit)
		}
	})
}

func gauge(name, help string, labels ...string) metrics.Family {
	return metrics.Family{Name: "recfleet_" + name, Help: help, Kind: metrics.KindGauge, Labels: labels}
}

func counter(name, help string, labels ...string) metrics.Family {
	return metrics.Family{Name: "recfleet_" + name, Help: help, Kind: metrics.KindCounter, Labels: labels}
}

func (s *snapshot) sessions(r *metrics.Registry) {
	s.family(r, gauge("sessions", "Sessions by state; those of final states are counted once a minute.", "state"), func(v catalog.Vitals, emit metrics.Emit) {
		for state, n := range v.Sessions {
			emit(float64(n), string(state))
		}
		for state, n := range s.final {
			emit(float64(n), string(state))
		}
	})
	s.family(r, gauge("sessions_silent", "Sessions that should be recorded and whose agent was not heard of for a while."), func(v catalog.Vitals, emit metrics.Emit) {
		emit(float64(v.Silent))
	})
	s.family(r, gauge("sessions_unrecorded", "Sessions whose user is active and of which nothing is recorded."), func(v catalog.Vitals, emit metrics.Emit) {
		emit(float64(v.Unrecorded))
	})
	s.family(r, counter("gaps_total", "Stretches of sessions that were not recorded.", "cause"), func(v catalog.Vitals, emit metrics.Emit) {
		for cause, t := range v.Gaps {
			emit(float64(t.Times), cause)
		}
	})
	s.family(r, counter("gap_seconds_total", "Seconds of sessions that were not recorded.", "cause"), func(v catalog.Vitals, emit metrics.Emit) {
		for cause, t := range v.Gaps {
			emit(t.Amount.Seconds(), cause)
		}
	})
}

func (s *snapshot) media(r *metrics.Registry) {
	s.family(r, counter("receipts_total", "Segments of agents that the server side took custody of."), func(v catalog.Vitals, emit metrics.Emit) {
		emit(float64(v.Sealed[catalog.PartyAgent].Times))
	})
	s.family(r, counter("receipt_media_seconds_total", "Seconds of media in segments of agents that the server side took custody of."), func(v catalog.Vitals, emit metrics.Emit) {
		emit(v.Sealed[catalog.PartyAgent].Amount.Seconds())
	})
	s.family(r, counter("salvaged_segments_total", "Segments that were sealed on behalf of lost agents."), func(v catalog.Vitals, emit metrics.Emit) {
		emit(float64(v.Sealed[catalog.PartyCoordinator].Times))
	})
	s.family(r, gauge("backlog_media_seconds", "Seconds of media that are to be encoded, those in work included.", "pool"), func(v catalog.Vitals, emit metrics.Emit) {
		for pool, media := range v.Backlog {
			if pool == "" {
				pool = anyPool
			}
			emit(media.Seconds(), pool)
		}
	})
	s.family(r, gauge("oldest_unsealed_age_seconds", "Age of the oldest picture for which there is no receipt; 0 where there is none."), func(v catalog.Vitals, emit metrics.Emit) {
		emit(s.age(v.OldestUnsealed))
	})
	s.family(r, gauge("oldest_unencoded_age_seconds", "Age of the oldest segment that is to be encoded, from its end; 0 where there is none."), func(v catalog.Vitals, emit metrics.Emit) {
		emit(s.age(v.OldestUnencoded))
	})
}

// age is how long a time is ago, 0 for the zero time and for one that a clock that is ahead told.
func (s *snapshot) age(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(0, s.read.Sub(t).Seconds())
}

func (s *snapshot) jobs(r *metrics.Registry) {
	s.family(r, gauge("jobs", "Encode jobs by state; completed ones are not counted.", "state"), func(v catalog.Vitals, emit metrics.Emit) {
		for state, n := range v.Jobs {
			emit(float64(n), string(state))
		}
	})
	s.family(r, gauge("segments_quarantined", "Segments that could not be encoded; their chunks are kept."), func(v catalog.Vitals, emit metrics.Emit) {
		emit(float64(v.Jobs[catalog.JobQuarantined]))
	})
	s.family(r, gauge("leases", "Leases of encode jobs: running ones, and those that ran out and were not taken back yet.", "state"), func(v catalog.Vitals, emit metrics.Emit) {
		emit(float64(v.Jobs[catalog.JobRunning]-v.Expired), "running")
		emit(float64(v.Expired), "expired")
	})
	s.family(r, counter("leases_rescued_total", "Leases that ran out and were taken back."), func(v catalog.Vitals, emit metrics.Emit) {
		emit(float64(v.Rescues))
	})
}

// parts registers what health and drift know.
func parts(r *metrics.Registry, cfg Config) {
	r.Func(gauge("part_up", "Whether a part that the coordinator needs answered well not long ago.", "part"), func(emit metrics.Emit) {
		down := cfg.Down()
		for _, p := range cfg.Parts {
			up := 1.0
			if down[p] != nil {
				up = 0
			}
			emit(up, p)
		}
	})
	r.Func(gauge("ready", "Whether the coordinator can do its work."), func(emit metrics.Emit) {
		if len(cfg.Down()) == 0 {
			emit(1)
			return
		}
		emit(0)
	})
	r.Func(gauge("config_drift", "Settings of the broker, of streams and of the archive that are not as expected.", "part"), func(emit metrics.Emit) {
		found, checked := cfg.Drift()
		if checked.IsZero() && len(found) == 0 {
			return
		}
		count := map[drift.Part]int{}
		for _, f := range found {
			count[f.Part]++
		}
		for _, p := range drift.Parts() {
			emit(float64(count[p]), string(p))
		}
	})
	r.Func(gauge("config_checked_timestamp_seconds", "When all configuration was last compared with what is expected, in seconds since 1970."), func(emit metrics.Emit) {
		if _, checked := cfg.Drift(); !checked.IsZero() {
			emit(float64(checked.UnixMilli()) / 1000)
		}
	})
}

// Families returns what a coordinator tells Prometheus, with what every process does.
func Families() []metrics.Family {
	r := metrics.New()
	New(r, Config{})
	return r.Families()
}
