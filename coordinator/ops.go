package coordinator

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	grpchealth "google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/ops/drift"
	"github.com/recfleet/recfleet/coordinator/ops/health"
	opsmetrics "github.com/recfleet/recfleet/coordinator/ops/metrics"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/metrics"
	"github.com/recfleet/recfleet/internal/version"
)

// How often the parts are looked at, and how long one may take to answer.
const (
	quick, quickLimit     = 5 * time.Second, 5 * time.Second   // catalog and bus
	slow, slowLimit       = 15 * time.Second, 10 * time.Second // the archive, where looking costs money
	instant, instantLimit = time.Second, time.Second           // what is known here
	// standstill is how long a duty may take for one round before the process is of no use.
	standstill = 5 * time.Minute
)

// ops is what tells how the coordinator stands.
type ops struct {
	registry *prometheus.Registry
	calls    *opsmetrics.Calls
	health   *health.Health
	drift    *drift.Drift
	status   *grpchealth.Server
}

func (c Config) buildOps(store *catalog.Catalog, turned func() time.Time) ops {
	o := ops{registry: c.Registry, status: grpchealth.NewServer()}
	if o.registry == nil {
		o.registry = metrics.New("recfleet", version.Version)
	}
	o.drift = drift.New([]drift.Source{drift.Broker(bus.NewAudit(c.Broker, c.UnsafeBroker), store), drift.Archive(c.Store)}, c.Logger.Named("drift"))
	checks := []health.Check{
		{Part: "catalog", Probe: store.Ping, Every: quick, Timeout: quickLimit},
		{Part: "bus", Probe: c.Broker.Ping, Every: quick, Timeout: quickLimit},
		{Part: "bus configuration", Probe: o.drift.Broker, Every: instant, Timeout: instantLimit},
		{Part: "archive", Probe: c.Store.Check, Every: slow, Timeout: slowLimit},
	}
	var parts []string
	for _, check := range checks {
		parts = append(parts, check.Part)
	}
	o.health = health.New(health.Config{
		Checks: checks, Notes: o.drift.Line, Serving: o.serve, Logger: c.Logger.Named("health"),
		Loops: []health.Loop{{Name: "watch", Turned: turned, Limit: standstill}},
	})
	o.calls = opsmetrics.New(o.registry, opsmetrics.Config{
		Catalog: store, Down: o.health.Down, Parts: parts, Drift: o.drift.Findings, Logger: c.Logger.Named("metrics"),
	})
	o.serve(false)
	return o
}

// serve tells gRPC's health service.
func (o ops) serve(ready bool) {
	status := grpc_health_v1.HealthCheckResponse_NOT_SERVING
	if ready {
		status = grpc_health_v1.HealthCheckResponse_SERVING
	}
	o.status.SetServingStatus("", status)
}

// run checks, and answers on the metrics' listener where there is one, until ctx is done.
func (o ops) run(ctx context.Context, c Config) error {
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error { return o.health.Run(running) })
	group.Go(func() error { return o.drift.Run(running) })
	if c.Metrics != nil {
		group.Go(func() error {
			return metrics.Serve(running, c.Metrics, o.registry, o.health.Handler(true, http.NotFoundHandler()), c.Logger.Named("metrics"))
		})
	}
	return group.Wait()
}
