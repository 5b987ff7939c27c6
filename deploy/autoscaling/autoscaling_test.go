// Package autoscaling_test checks that the examples for scaling encoders, here and for KEDA, speak of what coordinators tell.
package autoscaling_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"sigs.k8s.io/yaml"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/ops/drift"
	opsmetrics "github.com/recfleet/recfleet/coordinator/ops/metrics"
)

// backlog is a catalog in which some media waits.
type backlog struct{}

func (backlog) Vitals(context.Context, time.Time) (catalog.Vitals, error) {
	return catalog.Vitals{Backlog: map[string]time.Duration{"": 90 * time.Minute, "gpu": 1500 * time.Millisecond}}, nil
}

func (backlog) FinalSessions(context.Context) (map[catalog.SessionState]int, error) { return nil, nil }

// told is a registry with what a coordinator tells.
func told() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	opsmetrics.New(registry, opsmetrics.Config{
		Catalog: backlog{}, Down: func() map[string]error { return nil }, Logger: hclog.NewNullLogger(),
		Drift: func() ([]drift.Finding, time.Time) { return nil, time.Now() },
	})
	return registry
}

// exists reports whether a coordinator tells a metric with a pool.
func exists(t *testing.T, name, pool string) bool {
	t.Helper()
	families, err := told().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if l := m.GetLabel(); f.GetName() == name && len(l) == 1 && l[0].GetName() == "pool" && l[0].GetValue() == pool {
				return true
			}
		}
	}
	return false
}

// documents reads all documents of a YAML file.
func documents(t *testing.T, path string) (all []map[string]any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(string(raw), "\n---\n") {
		var d map[string]any
		if err := yaml.UnmarshalStrict([]byte(part), &d); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, d)
	}
	return all
}

// at follows keys and indexes into a document.
func at(t *testing.T, d any, path ...any) any {
	t.Helper()
	for _, step := range path {
		var ok bool
		switch s := step.(type) {
		case string:
			var m map[string]any
			if m, ok = d.(map[string]any); ok {
				d, ok = m[s]
			}
		case int:
			var l []any
			if l, ok = d.([]any); ok && s < len(l) {
				d = l[s]
			}
		}
		if !ok {
			t.Fatalf("nothing at %v of %v", step, path)
		}
	}
	return d
}

func TestKEDAScalesOnTheBacklog(t *testing.T) {
	docs := documents(t, "../keda/recencoder.yaml")
	scaled, deployment := docs[0], docs[1]
	if at(t, scaled, "kind") != "ScaledObject" || at(t, deployment, "kind") != "Deployment" ||
		at(t, scaled, "spec", "scaleTargetRef", "name") != at(t, deployment, "metadata", "name") ||
		at(t, scaled, "metadata", "namespace") != at(t, deployment, "metadata", "namespace") {
		t.Errorf("%v does not scale %v", scaled["metadata"], deployment["metadata"])
	}
	trigger := at(t, scaled, "spec", "triggers", 0)
	query := at(t, trigger, "metadata", "query").(string)
	asked := regexp.MustCompile(`^max\(([a-z_]+)\{pool="([a-z]+)"\}\)$`).FindStringSubmatch(query)
	if at(t, trigger, "type") != "prometheus" || asked == nil || !exists(t, asked[1], asked[2]) {
		t.Errorf("no coordinator tells %s", query)
	}
	pod := at(t, deployment, "spec", "template", "spec")
	var args []string
	for _, a := range at(t, pod, "containers", 0, "args").([]any) {
		args = append(args, a.(string))
	}
	wantDrainWithin(t, strings.Join(args, " "), time.Duration(at(t, pod, "terminationGracePeriodSeconds").(float64))*time.Second)
}

// wantDrainWithin checks that an encoder that is told to end has done so before it is killed.
func wantDrainWithin(t *testing.T, command string, killed time.Duration) {
	t.Helper()
	_, after, _ := strings.Cut(command, "--drain-time ")
	word, _, _ := strings.Cut(after, " ")
	drain, err := time.ParseDuration(word)
	if err != nil || drain+30*time.Second > killed {
		t.Errorf("drains for %v (%v), is killed after %v", drain, err, killed)
	}
}

func TestTheUnitDrains(t *testing.T) {
	raw, err := os.ReadFile("../systemd/recencoder.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := string(raw)
	setting := func(name string) string {
		_, after, _ := strings.Cut(unit, "\n"+name+"=")
		line, _, _ := strings.Cut(after, "\n")
		return line
	}
	killed, err := time.ParseDuration(strings.ReplaceAll(setting("TimeoutStopSec"), "min", "m"))
	if err != nil {
		t.Fatal(err)
	}
	wantDrainWithin(t, strings.ReplaceAll(setting("ExecStart"), "min", "m"), killed)
	if setting("KillMode") != "mixed" || setting("RestrictNamespaces") != "user net" {
		t.Error("FFmpeg gets the encoder's signal, or no namespaces")
	}
	hook := documents(t, "lifecycle-hook.yaml")[0]
	if timeout := time.Duration(at(t, hook, "HeartbeatTimeout").(float64)) * time.Second; timeout <= killed {
		t.Errorf("the instance goes after %v, the encoder may take %v", timeout, killed)
	}
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Skip(err)
	}
	for _, name := range []string{"../systemd/recencoder.service", "recfleet-backlog.service", "recfleet-backlog.timer", "recencoder-drain.service"} {
		path, err := filepath.Abs(name)
		if err != nil {
			t.Fatal(err)
		}
		out, _ := exec.Command("systemd-analyze", "verify", "--man=no", path).CombinedOutput()
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, filepath.Base(name)) && !strings.Contains(line, "is not executable") {
				t.Errorf("%s", line)
			}
		}
	}
}

func TestThePolicyAsksForWhatTheScriptTells(t *testing.T) {
	policy := documents(t, "target-tracking.yaml")[0]
	metrics := at(t, policy, "TargetTrackingConfiguration", "CustomizedMetricSpecification", "Metrics").([]any)
	asked := at(t, metrics[0], "MetricStat", "Metric")
	pool := at(t, asked, "Dimensions", 0, "Value").(string)
	if !exists(t, at(t, asked, "MetricName").(string), pool) {
		t.Errorf("no coordinator tells %v", asked)
	}
	returned := 0
	expression := ""
	for _, m := range metrics {
		if at(t, m, "ReturnData").(bool) {
			returned++
			expression = at(t, m, "Expression").(string)
		}
	}
	if returned != 1 || !strings.Contains(expression, at(t, metrics[0], "Id").(string)) || !strings.Contains(expression, at(t, metrics[1], "Id").(string)) {
		t.Errorf("%d metrics returned, %s", returned, expression)
	}
	hook := documents(t, "lifecycle-hook.yaml")[0]
	if at(t, hook, "AutoScalingGroupName") != at(t, policy, "AutoScalingGroupName") {
		t.Error("policy and hook are of different groups")
	}

	// The script, with a real curl, against a coordinator's metrics.
	server := httptest.NewServer(promhttp.HandlerFor(told(), promhttp.HandlerOpts{}))
	defer server.Close()
	said, err := script(t, "backlog-to-cloudwatch.sh", nil, "METRICS_URL="+server.URL)
	if err != nil {
		t.Fatal(err, said)
	}
	line := strings.TrimSpace(said["aws"])
	before, data, _ := strings.Cut(line, " --metric-data ")
	if before != "cloudwatch put-metric-data --namespace "+at(t, asked, "Namespace").(string) {
		t.Errorf("aws %s", before)
	}
	var put []struct {
		MetricName, Unit string
		Value            float64
		Dimensions       []struct{ Name, Value string }
	}
	if err := json.Unmarshal([]byte(data), &put); err != nil {
		t.Fatal(err, data)
	}
	got := map[string]float64{}
	for _, p := range put {
		if p.MetricName != at(t, asked, "MetricName") || p.Unit != "Seconds" || len(p.Dimensions) != 1 || p.Dimensions[0].Name != at(t, asked, "Dimensions", 0, "Name") {
			t.Errorf("%+v", p)
		}
		got[p.Dimensions[0].Value] = p.Value
	}
	if len(got) != 2 || got["any"] != 5400 || got["gpu"] != 1.5 {
		t.Errorf("%v", got)
	}
	silent := httptest.NewServer(http.NotFoundHandler())
	defer silent.Close()
	if said, err := script(t, "backlog-to-cloudwatch.sh", nil, "METRICS_URL="+silent.URL); err == nil || said["aws"] != "" {
		t.Errorf("without metrics: %v, %v", said, err)
	}
}

// An instance that is to go is drained, and let go only after that.
func TestAnInstanceIsDrainedBeforeItGoes(t *testing.T) {
	for name, c := range map[string]struct {
		path, body string
		completes  bool
	}{
		"the group scales in": {"/latest/meta-data/autoscaling/target-lifecycle-state", "Terminated", true},
		"spot interruption":   {"/latest/meta-data/spot/instance-action", `{"action": "terminate"}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			imds := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == "/latest/api/token" && r.Method == http.MethodPut && r.Header.Get("X-aws-ec2-metadata-token-ttl-seconds") != "":
					fmt.Fprint(w, "secret")
				case r.Header.Get("X-aws-ec2-metadata-token") != "secret":
					w.WriteHeader(http.StatusUnauthorized)
				case r.URL.Path == "/latest/meta-data/instance-id":
					fmt.Fprint(w, "i-1")
				case r.URL.Path == c.path && asked.Add(1) > 2: // not at once
					fmt.Fprint(w, c.body)
				case strings.HasSuffix(r.URL.Path, "target-lifecycle-state"):
					fmt.Fprint(w, "InService")
				default:
					http.NotFound(w, r)
				}
			}))
			defer imds.Close()
			// The unit is active, then deactivating for a while, then gone.
			systemctl := `n=$(wc -l <"$LOG/systemctl"); case "$1" in
				is-active) [ "$n" -lt 3 ];;
				show) [ "$n" -lt 8 ] && echo deactivating || echo inactive;;
			esac`
			said, err := script(t, "drain-on-terminate.sh", map[string]string{"systemctl": systemctl}, "IMDS="+imds.URL+"/latest", "EVERY=0.05")
			if err != nil {
				t.Fatal(err, said)
			}
			if !strings.HasPrefix(said["systemctl"], "stop --no-block recencoder.service\n") {
				t.Errorf("systemctl %s", said["systemctl"])
			}
			calls := strings.Split(strings.TrimSpace(said["aws"]), "\n")
			last := calls[len(calls)-1]
			hook := documents(t, "lifecycle-hook.yaml")[0]
			if !c.completes {
				if said["aws"] != "" {
					t.Errorf("aws %s", said["aws"])
				}
				return
			}
			if len(calls) < 3 || !strings.Contains(calls[0], "record-lifecycle-action-heartbeat") || !strings.Contains(last, "complete-lifecycle-action") ||
				!strings.Contains(last, "--instance-id i-1") || !strings.Contains(last, at(t, hook, "LifecycleHookName").(string)) {
				t.Errorf("aws %v", calls)
			}
		})
	}
}

// script runs one with programs in the place of aws and others that write down what they are told, and returns that.
func script(t *testing.T, name string, programs map[string]string, env ...string) (map[string]string, error) {
	t.Helper()
	for _, needed := range []string{"curl", "awk"} {
		if _, err := exec.LookPath(needed); err != nil {
			t.Skip(err)
		}
	}
	dir, log := t.TempDir(), t.TempDir()
	all := map[string]string{"aws": ""}
	for program, does := range programs {
		all[program] = does
	}
	for program, does := range all {
		text := "#!/bin/sh\necho \"$*\" >>\"$LOG/" + program + "\"\n" + does + "\n"
		if err := os.WriteFile(filepath.Join(dir, program), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "./"+name)
	cmd.Env = append(os.Environ(), append(env, "LOG="+log, "PATH="+dir+":"+os.Getenv("PATH"))...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	said := map[string]string{}
	for program := range all {
		raw, _ := os.ReadFile(filepath.Join(log, program))
		said[program] = string(raw)
	}
	return said, err
}
