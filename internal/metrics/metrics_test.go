package metrics

import (
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestText(t *testing.T) {
	r := New()
	r.Gauge("b", "B.", "x", "y").Set(1.5, "q\"\\\n\xff", "2")
	c := r.Counter("a_total", "A.")
	c.Add(2)
	c.Add(1)
	r.Counter("never_total", "Never.", "x")
	h := r.Histogram("h_seconds", "H.", []float64{.5, 1}, "m")
	for _, d := range []time.Duration{100 * time.Millisecond, 500 * time.Millisecond, time.Second, time.Minute} {
		h.Took(d, "z")
	}
	asked := 0
	r.Before(func(context.Context) { asked++ })
	r.Func(Family{"f", "F.", KindGauge, []string{"n"}}, func(emit Emit) {
		emit(float64(asked), "2")
		emit(1e20, "1")
	})
	const want = `# HELP a_total A.
# TYPE a_total counter
a_total 3
# HELP b B.
# TYPE b gauge
b{x="q\"\\\n?",y="2"} 1.5
# HELP f F.
# TYPE f gauge
f{n="1"} 1e+20
f{n="2"} 1
# HELP h_seconds H.
# TYPE h_seconds histogram
h_seconds_bucket{m="z",le="0.5"} 2
h_seconds_bucket{m="z",le="1"} 3
h_seconds_bucket{m="z",le="+Inf"} 4
h_seconds_sum{m="z"} 61.6
h_seconds_count{m="z"} 4
`
	if got := string(r.Text(t.Context())); got != want {
		t.Errorf("%s", got)
	}
}

func TestDefectsPanic(t *testing.T) {
	r := New()
	v := r.Counter("a_total", "A.", "x")
	for name, f := range map[string]func(){
		"taken name":  func() { r.Gauge("a_total", "A.") },
		"bad name":    func() { r.Gauge("a-b", "A.") },
		"no help":     func() { r.Gauge("b", "") },
		"bad label":   func() { r.Gauge("c", "C.", "1") },
		"few labels":  func() { v.Add(1) },
		"many labels": func() { v.Add(1, "a", "b") },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("it was taken")
				}
			}()
			f()
		})
	}
}

func TestCountingAtOnce(t *testing.T) {
	r := New()
	c, h := r.Counter("a_total", "A.", "x"), r.Histogram("h", "H.", Latencies())
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 1000 {
				c.Add(1, "v")
				h.Took(time.Millisecond)
			}
			r.Text(t.Context())
		})
	}
	group.Wait()
	text := string(r.Text(t.Context()))
	if !strings.Contains(text, "a_total{x=\"v\"} 8000\n") || !strings.Contains(text, "h_count 8000\n") {
		t.Error(text)
	}
}

// What a process tells is well-formed, and not nothing.
func TestProcess(t *testing.T) {
	r := New()
	r.Process("test", "v\"1")
	line := regexp.MustCompile(`^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{([a-z]+="([^"\\]|\\.)*",?)+\})? [0-9.e+]+)$`)
	found := map[string]bool{}
	for l := range strings.Lines(string(r.Text(t.Context()))) {
		l = strings.TrimSuffix(l, "\n")
		if !line.MatchString(l) {
			t.Errorf("%q", l)
		}
		name, _, _ := strings.Cut(l, " ")
		name, _, _ = strings.Cut(name, "{")
		found[name] = true
	}
	for _, f := range r.Families() {
		if !found[f.Name] && f.Name != "go_memstats_last_gc_time_seconds" {
			t.Errorf("%s has no value", f.Name)
		}
	}
}

func TestServe(t *testing.T) {
	r := New()
	r.Counter("a_total", "A.").Add(1)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- r.Serve(ctx, listener, http.NotFoundHandler(), hclog.NewNullLogger()) }()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for path, want := range map[string]string{"/metrics": "a_total 1\n", "/": "404"} {
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
	posted, err := client.Post("http://"+listener.Addr().String()+"/metrics", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	posted.Body.Close()
	if posted.StatusCode != http.StatusMethodNotAllowed {
		t.Error(posted.Status)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
