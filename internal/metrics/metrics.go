// Package metrics holds what the metrics of every program have in common: a registry that tells of the process, and the port at
// which Prometheus asks.
//
// What comes in are collectors, which programs register; what goes out is the answer to a scrape. What always holds: a collector
// that fails takes nothing of the others with it.
package metrics

import (
	"regexp"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// New returns a registry that tells of the process, of Go's runtime, and by PROGRAM_build_info what is running.
func New(program, version string) *prometheus.Registry {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: program + "_build_info", Help: "What is running; always 1.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	build.Set(1)
	r := prometheus.NewRegistry()
	r.MustRegister(build, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewGoCollector(
		collectors.WithGoCollectorRuntimeMetrics(collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile("^/gc/cycles/total:gc-cycles$")}),
	))
	return r
}
