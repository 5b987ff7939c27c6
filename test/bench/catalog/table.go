package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/recfleet/recfleet/test/bench/document"
)

// result is what one database took.
type result struct {
	engine string
	load   time.Duration // zero where it was filled before
	bytes  int64
	times  map[string][]time.Duration
}

func percentile(of []time.Duration, p int) time.Duration {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}

func render(cfg config, results []result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Milliseconds for a page of %d of %d sessions (%d asked for of each kind; load of the machine at the end: %s).\n\n", pageSize, cfg.sessions, cfg.samples, document.Load())
	b.WriteString("| what is asked for |")
	for _, r := range results {
		fmt.Fprintf(&b, " %s p50 | p95 | p99 |", r.engine)
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|---:|---:|", len(results)) + "\n")
	all := make([][]time.Duration, len(results))
	for _, q := range questions() {
		if !strings.Contains(q.name, cfg.only) {
			continue
		}
		fmt.Fprintf(&b, "| %s |", q.name)
		for i, r := range results {
			b.WriteString(cells(r.times[q.name]))
			all[i] = append(all[i], r.times[q.name]...)
		}
		b.WriteString("\n")
	}
	b.WriteString("| **all of these** |")
	for _, of := range all {
		b.WriteString(cells(of))
	}
	b.WriteString("\n\n")
	for _, r := range results {
		fmt.Fprintf(&b, "%s holds them in %d MB", r.engine, r.bytes>>20)
		if r.load > 0 {
			fmt.Fprintf(&b, " and was filled in %v", r.load.Round(time.Second))
		}
		b.WriteString(".\n")
	}
	return b.String()
}

func cells(of []time.Duration) string {
	var b strings.Builder
	for _, p := range []int{50, 95, 99} {
		fmt.Fprintf(&b, " %.2f |", float64(percentile(of, p).Microseconds())/1000)
	}
	return b.String()
}
