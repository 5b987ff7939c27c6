// Package prometheus_test checks that alerts, dashboard and runbook speak of what the programs tell.
package prometheus_test

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"sigs.k8s.io/yaml"

	"github.com/recfleet/recfleet/coordinator/appstream"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/ops/drift"
	opsmetrics "github.com/recfleet/recfleet/coordinator/ops/metrics"
	"github.com/recfleet/recfleet/encoder"
	"github.com/recfleet/recfleet/internal/metrics"
)

// told is a metric as the programs tell it.
type told struct {
	name, help, kind string
	labels           []string
}

// tell has the programs tell all they can.
func tell(t *testing.T) (all []told) {
	t.Helper()
	registry := metrics.New("recfleet", "v")
	calls := opsmetrics.New(registry, opsmetrics.Config{
		Catalog: stand{}, Down: func() map[string]error { return nil }, Parts: []string{"bus"}, Logger: hclog.NewNullLogger(),
		Drift: func() ([]drift.Finding, time.Time) { return nil, time.Now() },
	})
	if _, err := calls.Unary(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: "/s/m"}, func(context.Context, any) (any, error) { return nil, nil }); err != nil {
		t.Fatal(err)
	}
	registry.MustRegister(opsmetrics.Platform(func() appstream.State { return appstream.State{Running: true, Answered: time.Now()} }))
	families, err := prometheus.Gatherers{registry, encoder.Families()}.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		one := told{name: f.GetName(), help: f.GetHelp(), kind: f.GetType().String()}
		for _, l := range f.GetMetric()[0].GetLabel() {
			one.labels = append(one.labels, l.GetName())
		}
		all = append(all, one)
	}
	return all
}

// stand is a catalog in which there is some of everything.
type stand struct{}

func (stand) Vitals(context.Context, time.Time) (catalog.Vitals, error) {
	return catalog.Vitals{
		Sessions: map[catalog.SessionState]int{catalog.SessionRecording: 1}, Jobs: map[catalog.JobState]int{catalog.JobAvailable: 1},
		Backlog: map[string]time.Duration{"": 1}, Gaps: map[string]catalog.Tally{"c": {Times: 1}},
	}, nil
}

func (stand) FinalSessions(context.Context) (map[catalog.SessionState]int, error) {
	return map[catalog.SessionState]int{catalog.SessionComplete: 1}, nil
}

// families returns what can be asked for by name, with the labels it has.
func families(t *testing.T) map[string][]string {
	t.Helper()
	known := map[string][]string{"up": {"job", "instance"}}
	for _, f := range tell(t) {
		labels := append(slices.Clone(f.labels), "instance", "job")
		known[f.name] = labels
		if f.kind == "HISTOGRAM" {
			known[f.name+"_bucket"] = append(labels, "le")
			known[f.name+"_sum"], known[f.name+"_count"] = labels, labels
		}
	}
	return known
}

var (
	quoted   = regexp.MustCompile(`"(\\.|[^"\\])*"`)
	selector = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)\{([^}]*)\}`)
	grouping = regexp.MustCompile(`\b(by|without|on|ignoring)\s*\(([^)]*)\)`)
	brackets = regexp.MustCompile(`\[[0-9smhd]+\]`)
	word     = regexp.MustCompile(`[a-zA-Z_][a-zA-Z0-9_]*(\s*\()?`)
)

// names returns the metrics that an expression asks for, and complains of what Prometheus would not take or find.
func names(t *testing.T, known map[string][]string, expr string) (found []string) {
	t.Helper()
	if strings.Count(expr, "(") != strings.Count(expr, ")") || strings.Count(expr, "{") != strings.Count(expr, "}") {
		t.Errorf("%s: unbalanced", expr)
	}
	plain := quoted.ReplaceAllString(expr, `""`)
	var labels []string
	for _, g := range grouping.FindAllStringSubmatch(plain, -1) {
		for l := range strings.SplitSeq(g[2], ",") {
			labels = append(labels, strings.TrimSpace(l))
		}
	}
	plain = grouping.ReplaceAllString(plain, " ")
	for _, s := range selector.FindAllStringSubmatch(plain, -1) {
		for m := range strings.SplitSeq(s[2], ",") {
			label := strings.TrimRight(strings.TrimSpace(strings.Split(m, `""`)[0]), "=!~")
			if !slices.Contains(known[s[1]], label) {
				t.Errorf("%s: %s has no label %q", expr, s[1], label)
			}
		}
	}
	plain = selector.ReplaceAllString(plain, "$1")
	plain = brackets.ReplaceAllString(plain, "")
	functions := []string{"max", "min", "sum", "rate", "increase", "delta", "deriv", "time", "histogram_quantile"}
	for _, w := range word.FindAllString(plain, -1) {
		name := strings.TrimSpace(strings.TrimSuffix(w, "("))
		switch {
		case slices.Contains(functions, name), name == "and", name == "or", name == "unless":
		case strings.HasSuffix(w, "("):
			t.Errorf("%s: unknown function %s", expr, name)
		case known[name] == nil:
			t.Errorf("%s: nothing tells %s", expr, name)
		default:
			found = append(found, name)
		}
	}
	for _, l := range labels {
		if !slices.ContainsFunc(found, func(n string) bool { return slices.Contains(known[n], l) }) {
			t.Errorf("%s: no metric in it has the label %q", expr, l)
		}
	}
	if len(found) == 0 {
		t.Errorf("%s: asks for nothing", expr)
	}
	return found
}

type ruleFile struct {
	Groups []struct {
		Name  string `json:"name"`
		Rules []struct {
			Alert       string            `json:"alert"`
			Expr        string            `json:"expr"`
			For         string            `json:"for"`
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
		} `json:"rules"`
	} `json:"groups"`
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestAlerts(t *testing.T) {
	var rules ruleFile
	if err := yaml.UnmarshalStrict([]byte(read(t, "recfleet.rules.yml")), &rules); err != nil {
		t.Fatal(err)
	}
	runbook := strings.Split(read(t, "../../docs/operations.md"), "\n")
	seen, known := map[string]bool{}, families(t)
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || seen[r.Alert] || r.Annotations["summary"] == "" || !slices.Contains([]string{"warning", "critical"}, r.Labels["severity"]) {
				t.Errorf("%+v is not whole", r)
			}
			seen[r.Alert] = true
			names(t, known, r.Expr)
			if _, err := time.ParseDuration(r.For); r.For != "" && err != nil {
				t.Errorf("%s: %v", r.Alert, err)
			}
			if r.Annotations["runbook"] != "docs/operations.md#"+strings.ToLower(r.Alert) || !slices.Contains(runbook, "### "+r.Alert) {
				t.Errorf("%s has no runbook", r.Alert)
			}
		}
	}
	if !seen["RecfleetUserActiveNothingRecorded"] || len(seen) < 10 {
		t.Errorf("only %d alerts", len(seen))
	}
	for _, line := range runbook {
		if name, ok := strings.CutPrefix(line, "### Recfleet"); ok && !seen["Recfleet"+name] {
			t.Errorf("the runbook knows %s, the rules do not", name)
		}
	}
}

func TestDashboard(t *testing.T) {
	var board struct {
		Title  string `json:"title"`
		Panels []struct {
			ID      int    `json:"id"`
			Title   string `json:"title"`
			Targets []struct {
				Expr  string `json:"expr"`
				RefID string `json:"refId"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal([]byte(read(t, "../grafana/recfleet.json")), &board); err != nil {
		t.Fatal(err)
	}
	shown, known := map[string]bool{}, families(t)
	ids := map[int]bool{}
	for _, p := range board.Panels {
		if p.Title == "" || ids[p.ID] || len(p.Targets) == 0 {
			t.Errorf("panel %+v is not whole", p)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			for _, n := range names(t, known, target.Expr) {
				shown[n] = true
			}
		}
	}
	for n := range known {
		if strings.HasPrefix(n, "recfleet_") && !shown[n] {
			t.Errorf("the dashboard does not show %s", n)
		}
	}
}

// Names follow Prometheus's conventions, and labels are few.
func TestNames(t *testing.T) {
	for _, f := range tell(t) {
		if !strings.HasPrefix(f.name, "recfleet_") && !strings.HasPrefix(f.name, "grpc_") {
			continue // not ours
		}
		if strings.HasSuffix(f.name, "_total") != (f.kind == "COUNTER") {
			t.Errorf("%s is a %s", f.name, f.kind)
		}
		if regexp.MustCompile(`_(ms|milliseconds|minutes|hours|kb|mb|percent)(_|$)`).MatchString(f.name) {
			t.Errorf("%s: not a base unit", f.name)
		}
		if !strings.HasSuffix(f.help, ".") {
			t.Errorf("%s: %q", f.name, f.help)
		}
		for _, l := range f.labels {
			if slices.Contains([]string{"session", "session_id", "user", "instance", "job_id", "encoder_id"}, l) {
				t.Errorf("%s has the label %s", f.name, l)
			}
		}
	}
}
