// Package prometheus_test checks that alerts, dashboard and runbook speak of what the programs tell.
package prometheus_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	opsmetrics "github.com/recfleet/recfleet/coordinator/ops/metrics"
	"github.com/recfleet/recfleet/encoder"
	"github.com/recfleet/recfleet/internal/metrics"
)

// families returns what can be asked for by name, with the labels it has.
func families() map[string][]string {
	known := map[string][]string{"up": {"job", "instance"}}
	for _, f := range append(opsmetrics.Families(), encoder.Families()...) {
		labels := append(slices.Clone(f.Labels), "instance", "job")
		known[f.Name] = labels
		if f.Kind == metrics.KindHistogram {
			known[f.Name+"_bucket"] = append(labels, "le")
			known[f.Name+"_sum"], known[f.Name+"_count"] = labels, labels
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
func names(t *testing.T, expr string) (found []string) {
	t.Helper()
	known := families()
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
	seen := map[string]bool{}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || seen[r.Alert] || r.Annotations["summary"] == "" || !slices.Contains([]string{"warning", "critical"}, r.Labels["severity"]) {
				t.Errorf("%+v is not whole", r)
			}
			seen[r.Alert] = true
			names(t, r.Expr)
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
	shown := map[string]bool{}
	ids := map[int]bool{}
	for _, p := range board.Panels {
		if p.Title == "" || ids[p.ID] || len(p.Targets) == 0 {
			t.Errorf("panel %+v is not whole", p)
		}
		ids[p.ID] = true
		for _, target := range p.Targets {
			for _, n := range names(t, target.Expr) {
				shown[n] = true
			}
		}
	}
	for n := range families() {
		if strings.HasPrefix(n, "recfleet_") && !shown[n] {
			t.Errorf("the dashboard does not show %s", n)
		}
	}
}

// Names follow Prometheus's conventions: counters end in _total, nothing else does, units are base units.
func TestNames(t *testing.T) {
	for _, f := range append(opsmetrics.Families(), encoder.Families()...) {
		if strings.HasSuffix(f.Name, "_total") != (f.Kind == metrics.KindCounter) {
			t.Errorf("%s is a %s", f.Name, f.Kind)
		}
		if regexp.MustCompile(`_(ms|milliseconds|minutes|hours|kb|mb|percent)(_|$)`).MatchString(f.Name) {
			t.Errorf("%s: not a base unit", f.Name)
		}
		if !strings.HasSuffix(f.Help, ".") {
			t.Errorf("%s: %q", f.Name, f.Help)
		}
		for _, l := range f.Labels {
			if slices.Contains([]string{"session", "session_id", "user", "instance", "job_id", "encoder_id"}, l) {
				t.Errorf("%s has the label %s", f.Name, l)
			}
		}
	}
}
