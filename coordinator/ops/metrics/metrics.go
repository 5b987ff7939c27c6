// Package metrics tells Prometheus how the coordinator and its sessions stand.
//
// What comes in are the coordinator's calls, the catalog's view of all sessions and jobs together, what health and drift
// know, and what the platform's watch saw; what goes out are collectors. What always holds: no label holds an id, a user's name,
// or anything else of which there are many; the catalog is asked at most once in five seconds however often somebody asks here,
// and where it does not answer, its values are left out rather than told as they were.
//
// Several coordinators on one catalog tell the same of it: take the maximum of them, not the sum.
package metrics

import (
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/recfleet/recfleet/coordinator/ops/drift"
)

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

// New registers what every coordinator tells, and returns what counts calls. It panics where that is registered already.
func New(r prometheus.Registerer, cfg Config) *Calls {
	failed := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "recfleet_catalog_read_failures_total", Help: "Times that the catalog did not say how everything stands.",
	})
	calls := newCalls()
	r.MustRegister(failed, vitals(&cache{catalog: cfg.Catalog, failed: failed, logger: cfg.Logger}), parts(cfg), calls.handled, calls.took)
	return calls
}
