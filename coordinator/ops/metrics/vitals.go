package metrics

import (
	"slices"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

// anyPool is the label of jobs that any encoder may take.
const anyPool = "any"

// vitals tells what the catalog knows.
func vitals(c *cache) collector[said] {
	return collector[said]{c.state, slices.Concat(sessions(), media(), jobs())}
}

func sessions() []family[said] {
	return []family[said]{
		gauge("sessions", "Sessions by state; those of final states are counted once a minute.", func(v said, tell tell) {
			for state, n := range v.Sessions {
				tell(float64(n), string(state))
			}
			for state, n := range v.final {
				tell(float64(n), string(state))
			}
		}, "state"),
		gauge("sessions_silent", "Sessions that should be recorded and whose agent was not heard of for a while.", func(v said, tell tell) {
			tell(float64(v.Silent))
		}),
		gauge("sessions_unrecorded", "Sessions whose user is active and of which nothing is recorded.", func(v said, tell tell) {
			tell(float64(v.Unrecorded))
		}),
		counter("gaps_total", "Stretches of sessions that were not recorded.", func(v said, tell tell) {
			for cause, t := range v.Gaps {
				tell(float64(t.Times), cause)
			}
		}, "cause"),
		counter("gap_seconds_total", "Seconds of sessions that were not recorded.", func(v said, tell tell) {
			for cause, t := range v.Gaps {
				tell(t.Amount.Seconds(), cause)
			}
		}, "cause"),
	}
}

func media() []family[said] {
	return []family[said]{
		counter("receipts_total", "Segments of agents that the server side took custody of.", func(v said, tell tell) {
			tell(float64(v.Sealed[catalog.PartyAgent].Times))
		}),
		counter("receipt_media_seconds_total", "Seconds of media in segments of agents that the server side took custody of.", func(v said, tell tell) {
			tell(v.Sealed[catalog.PartyAgent].Amount.Seconds())
		}),
		counter("salvaged_segments_total", "Segments that were sealed on behalf of lost agents.", func(v said, tell tell) {
			tell(float64(v.Sealed[catalog.PartyCoordinator].Times))
		}),
		gauge("backlog_media_seconds", "Seconds of media that are to be encoded, those in work included.", func(v said, tell tell) {
			backlog := map[string]time.Duration{}
			for pool, media := range v.Backlog {
				if pool == "" {
					pool = anyPool
				}
				backlog[pool] += media // a pool may be called so
			}
			for pool, media := range backlog {
				tell(media.Seconds(), pool)
			}
		}, "pool"),
		gauge("oldest_unsealed_age_seconds", "Age of the oldest picture for which there is no receipt; 0 where there is none.", func(v said, tell tell) {
			tell(v.age(v.OldestUnsealed))
		}),
		gauge("oldest_unencoded_age_seconds", "Age of the oldest segment that is to be encoded, from its end; 0 where there is none.", func(v said, tell tell) {
			tell(v.age(v.OldestUnencoded))
		}),
	}
}

// age is how long a time is ago, 0 for the zero time and for one that a clock that is ahead told.
func (v said) age(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(0, v.read.Sub(t).Seconds())
}

func jobs() []family[said] {
	return []family[said]{
		gauge("jobs", "Encode jobs that are not completed, by state.", func(v said, tell tell) {
			for state, n := range v.Jobs {
				tell(float64(n), string(state))
			}
		}, "state"),
		gauge("segments_quarantined", "Segments that could not be encoded; their chunks are kept.", func(v said, tell tell) {
			tell(float64(v.Jobs[catalog.JobQuarantined]))
		}),
		gauge("leases", "Leases of encode jobs: running ones, and those that ran out and were not taken back yet.", func(v said, tell tell) {
			tell(float64(v.Jobs[catalog.JobRunning]-v.Expired), "running")
			tell(float64(v.Expired), "expired")
		}, "state"),
		counter("leases_rescued_total", "Leases that ran out and were taken back.", func(v said, tell tell) {
			tell(float64(v.Rescues))
		}),
	}
}
