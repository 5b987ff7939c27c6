package main

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/recfleet/recfleet/test/bench/document"
)

// render makes the table: a row for each figure, a column for each variant.
func render(cfg config, results []result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d sessions, %d %% of them active; segments of %v, %.3g sessions begin and end a second; %v at the agents' own rhythm; %d chunks under\nway where as many are published as go; %d cores for servers and clients together; load of the machine at the end: %s.\n\n",
		cfg.sessions, cfg.active, cfg.segment, cfg.churn, cfg.duration, cfg.inFlight, runtime.NumCPU(), document.Load())
	row := func(name string, cell func(r result) string) {
		b.WriteString("| " + name + " |")
		for _, r := range results {
			b.WriteString(" " + cell(r) + " |")
		}
		b.WriteString("\n")
	}
	row("broker syncs; runs in", func(r result) string { return r.variant.String() })
	b.WriteString("|---|" + strings.Repeat("---:|", len(results)) + "\n")
	row("**at the agents' own rhythm**", func(result) string { return "" })
	row("chunks a second: due / acknowledged", func(r result) string { return fmt.Sprintf("%.0f / %.0f", r.offered, r.delivered) })
	row("acknowledgement after the chunk was due, p50 / p99", func(r result) string { return pair(r.acks) })
	row("receipt after a segment's last chunk, p50 / p99", func(r result) string { return fmt.Sprintf("%s (%d)", pair(r.receipts), len(r.receipts)) })
	row("Sync, p50 / p99", func(r result) string { return pair(r.syncs) })
	row("start of a session to its first event, p50 / p99", func(r result) string { return fmt.Sprintf("%s (%d)", pair(r.starts), len(r.starts)) })
	row("CPU, cores: coordinator / broker / clients", func(r result) string { return cores(r, [3]float64{r.server, r.broker, r.clients}) })
	row("coordinator's process a session: resident / without pages of files / in use", func(r result) string {
		return fmt.Sprintf("%.1f / %.1f / %.1f KiB", r.resident/1024, r.anonymous/1024, r.inUse/1024)
	})
	row("its goroutines a session", func(r result) string { return fmt.Sprintf("%.1f", r.goroutines) })
	row("**as many chunks as go**", func(result) string { return "" })
	row("the bus alone, chunks a second (each turn)", func(r result) string { return turns(r.limits) })
	row("CPU meanwhile", func(r result) string { return cores(r, r.limitCPU) })
	row("with everything else going on", func(r result) string { return turns(r.driven) })
	row("CPU meanwhile", func(r result) string { return cores(r, r.drivenCPU) })
	row("of the bus alone", func(r result) string { return fmt.Sprintf("%.2f", mean(r.driven)/mean(r.limits)) })
	row("receipts meanwhile, p50 / p99", func(r result) string { return fmt.Sprintf("%s (%d)", pair(r.drivenReceipts), len(r.drivenReceipts)) })
	row("**all sessions**", func(result) string { return "" })
	row("started in / ended, archived and off the bus in", func(r result) string {
		return fmt.Sprintf("%v / %v", r.fillTook.Round(100*time.Millisecond), r.emptyTook.Round(100*time.Millisecond))
	})
	row("calls and chunks that had to be tried again", func(r result) string { return fmt.Sprint(r.complaints) })
	return b.String()
}

func pair(s spread) string {
	if len(s) == 0 {
		return "none"
	}
	return fmt.Sprintf("%s / %s", span(s.percentile(50)), span(s.percentile(99)))
}

func turns(rates []float64) string {
	each := make([]string, len(rates))
	for i, r := range rates {
		each[i] = fmt.Sprintf("%.0f", r)
	}
	return fmt.Sprintf("%.0f (%s)", mean(rates), strings.Join(each, ", "))
}

func span(d time.Duration) string {
	if d >= time.Second {
		return fmt.Sprintf("%.3g s", d.Seconds())
	}
	return fmt.Sprintf("%.3g ms", float64(d.Microseconds())/1000)
}

func cores(r result, c [3]float64) string {
	if !r.variant.apart {
		return fmt.Sprintf("%.2f together / %.2f", c[0], c[2])
	}
	return fmt.Sprintf("%.2f / %.2f / %.2f", c[0], c[1], c[2])
}
