package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/recfleet/recfleet/coordinator/appstream"
)

// Platform tells what the platform's watch saw; state is appstream.Watch.State. How things stand is told by the coordinator that
// keeps the eye alone, what it has done so far by every one that did.
func Platform(state func() appstream.State) prometheus.Collector {
	return collector[appstream.State]{func() (appstream.State, bool) { return state(), true }, []family[appstream.State]{
		gauge("platform_users_connected", "Users who are connected to the fleets that the policy watches, as the platform last said.", func(s appstream.State, tell tell) {
			if s.Running {
				tell(float64(s.Connected))
			}
		}),
		gauge("platform_users_unrecorded", "Users who are connected and of whom nothing has been recorded for too long.", func(s appstream.State, tell tell) {
			if s.Running {
				tell(float64(len(s.Unrecorded)))
			}
		}),
		gauge("platform_answered_timestamp_seconds", "When the platform last told all that it was asked, in seconds since 1970.", func(s appstream.State, tell tell) {
			if s.Running {
				tellTime(tell, s.Answered)
			}
		}),
		counter("platform_sessions_expired_total", "Strict sessions that were ended on the platform because nothing was recorded.", func(s appstream.State, tell tell) {
			tell(float64(s.Expired))
		}),
		counter("platform_call_failures_total", "Calls to the platform that failed.", func(s appstream.State, tell tell) {
			tell(float64(s.Failed))
		}),
	}}
}
