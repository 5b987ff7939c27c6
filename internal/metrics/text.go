package metrics

import (
	"bytes"
	"context"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// contentType is the text format's.
const contentType = "text/plain; version=0.0.4; charset=utf-8"

// Text returns all values in Prometheus's text format, families and samples in a fixed order.
func (r *Registry) Text(ctx context.Context) []byte {
	r.mu.Lock()
	before, families := slices.Clone(r.before), slices.Clone(r.families)
	r.mu.Unlock()
	for _, f := range before {
		f(ctx)
	}
	slices.SortFunc(families, func(a, b registered) int { return strings.Compare(a.Name, b.Name) })
	var b bytes.Buffer
	for _, f := range families {
		lines := f.lines()
		if len(lines) == 0 {
			continue
		}
		b.WriteString("# HELP " + f.Name + " " + f.Help + "\n# TYPE " + f.Name + " " + string(f.Kind) + "\n")
		for _, l := range lines {
			b.WriteString(l)
		}
	}
	return b.Bytes()
}

func (f registered) lines() (lines []string) {
	if f.sizes != nil {
		all := f.sizes()
		slices.SortFunc(all, func(a, b distrib) int { return slices.Compare(a.labels, b.labels) })
		for _, d := range all {
			lines = append(lines, f.distribution(d)...)
		}
		return lines
	}
	f.read(func(value float64, labels ...string) {
		f.key(labels) // panics where they do not fit
		lines = append(lines, sample(f.Name, f.Labels, labels, value))
	})
	slices.Sort(lines)
	return lines
}

func (f registered) distribution(d distrib) (lines []string) {
	names, total := append(slices.Clone(f.Labels), "le"), uint64(0)
	for i, n := range d.counts {
		total += n
		bound := math.Inf(1)
		if i < len(d.bounds) {
			bound = d.bounds[i]
		}
		lines = append(lines, sample(f.Name+"_bucket", names, append(slices.Clone(d.labels), number(bound)), float64(total)))
	}
	return append(lines, sample(f.Name+"_sum", f.Labels, d.labels, d.sum), sample(f.Name+"_count", f.Labels, d.labels, float64(total)))
}

func sample(name string, labels, values []string, value float64) string {
	var b strings.Builder
	b.WriteString(name)
	for i, l := range labels {
		b.WriteString(string("{,"[min(i, 1)]) + l + `="` + escape(values[i]) + `"`)
	}
	if len(labels) > 0 {
		b.WriteByte('}')
	}
	b.WriteString(" " + number(value) + "\n")
	return b.String()
}

// escape makes any text a label's value.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(strings.ToValidUTF8(s, "?"))
}

func number(v float64) string {
	switch {
	case math.IsInf(v, 1):
		return "+Inf"
	case math.IsInf(v, -1):
		return "-Inf"
	case math.IsNaN(v):
		return "NaN"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// Handler answers with all values.
func (r *Registry) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		text := r.Text(req.Context())
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(text)
	})
}
