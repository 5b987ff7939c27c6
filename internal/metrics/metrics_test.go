package metrics

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// broken is a collector that fails.
type broken struct{ desc *prometheus.Desc }

func (b broken) Describe(ch chan<- *prometheus.Desc) { ch <- b.desc }
func (b broken) Collect(ch chan<- prometheus.Metric) {
	ch <- prometheus.NewInvalidMetric(b.desc, errors.New("no\nvalue"))
}

// The names are those that dashboards know.
func TestAProcessIsTold(t *testing.T) {
	families, err := New("test", "v\"1").Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, f := range families {
		found[f.GetName()] = true
	}
	for _, name := range []string{
		"test_build_info", "go_goroutines", "go_memstats_heap_inuse_bytes", "go_memstats_sys_bytes", "go_sched_gomaxprocs_threads",
		"go_memstats_alloc_bytes_total", "go_gc_cycles_total_gc_cycles_total", "go_memstats_last_gc_time_seconds",
		"process_start_time_seconds", "process_cpu_seconds_total", "process_resident_memory_bytes", "process_virtual_memory_bytes", "process_open_fds",
	} {
		if !found[name] {
			t.Errorf("%s is not told", name)
		}
	}
}

func TestServe(t *testing.T) {
	r := New("test", "v1")
	r.MustRegister(broken{prometheus.NewDesc("broken", "Broken.", nil, nil)})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	var log bytes.Buffer
	go func() {
		done <- Serve(ctx, listener, r, http.NotFoundHandler(), hclog.New(&hclog.LoggerOptions{Output: &log}))
	}()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for path, want := range map[string]string{"/metrics": `version="v1"} 1` + "\n", "/": "404"} {
		got, err := client.Get("http://" + listener.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(got.Body)
		got.Body.Close()
		if !strings.Contains(string(body), want) {
			t.Errorf("%s: %q", path, body)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "metrics were left out") {
		t.Errorf("%q", got)
	}
}
