package metrics

import (
	"time"

	"github.com/recfleet/recfleet/coordinator/ops/drift"
)

// standing is what health and drift know.
type standing struct {
	down    map[string]error
	found   []drift.Finding
	checked time.Time // when all was compared; zero where it never was
}

// parts tells what health and drift know.
func parts(cfg Config) collector[standing] {
	state := func() (standing, bool) {
		found, checked := cfg.Drift()
		return standing{cfg.Down(), found, checked}, true
	}
	return collector[standing]{state, []family[standing]{
		gauge("part_up", "Whether a part that the coordinator needs answered well not long ago.", func(s standing, tell tell) {
			for _, p := range cfg.Parts {
				tell(truth(s.down[p] == nil), p)
			}
		}, "part"),
		gauge("ready", "Whether the coordinator can do its work.", func(s standing, tell tell) { tell(truth(len(s.down) == 0)) }),
		gauge("config_drift", "Settings of the broker, of streams and of the archive that are not as expected.", func(s standing, tell tell) {
			if s.checked.IsZero() && len(s.found) == 0 {
				return
			}
			count := map[drift.Part]int{}
			for _, f := range s.found {
				count[f.Part]++
			}
			for _, p := range drift.Parts() {
				tell(float64(count[p]), string(p))
			}
		}, "part"),
		gauge("config_checked_timestamp_seconds", "When all configuration was last compared with what is expected, in seconds since 1970.", func(s standing, tell tell) {
			tellTime(tell, s.checked)
		}),
	}}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// tellTime leaves the zero time out.
func tellTime(tell tell, t time.Time) {
	if !t.IsZero() {
		tell(float64(t.UnixMilli()) / 1000)
	}
}
