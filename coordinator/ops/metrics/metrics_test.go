package metrics

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/coordinator/appstream"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/ops/drift"
)

// counted is a catalog that counts how often it is asked.
type counted struct {
	vitals, final atomic.Int32
	broken        atomic.Bool
}

func (c *counted) Vitals(_ context.Context, now time.Time) (catalog.Vitals, error) {
	n := c.vitals.Add(1)
	if c.broken.Load() {
		return catalog.Vitals{}, errors.New("away")
	}
	return catalog.Vitals{
		Sessions: map[catalog.SessionState]int{catalog.SessionRecording: int(n)},
		Jobs:     map[catalog.JobState]int{catalog.JobRunning: 3, catalog.JobQuarantined: 2}, Expired: 1,
		Backlog: map[string]time.Duration{"": time.Second, "any": time.Second, "gpu": time.Minute},
		Gaps:    map[string]catalog.Tally{"q\"\xff": {Times: 2, Amount: 1500 * time.Millisecond}},
		Sealed:  map[catalog.Party]catalog.Tally{catalog.PartyAgent: {Times: 4, Amount: time.Minute}}, Rescues: 5,
		OldestUnsealed: now.Add(-time.Minute), OldestUnencoded: now.Add(time.Minute),
	}, nil
}

func (c *counted) FinalSessions(context.Context) (map[catalog.SessionState]int, error) {
	return map[catalog.SessionState]int{catalog.SessionComplete: int(c.final.Add(1))}, nil
}

func setUp(c Catalog) (*prometheus.Registry, *Calls) {
	r := prometheus.NewRegistry()
	return r, New(r, Config{
		Catalog: c, Parts: []string{"bus", "catalog"}, Logger: hclog.NewNullLogger(),
		Down: func() map[string]error { return map[string]error{"bus": errors.New("no")} },
		Drift: func() ([]drift.Finding, time.Time) {
			return []drift.Finding{{Part: drift.PartArchive}}, time.UnixMilli(1500)
		},
	})
}

// told returns the samples of all metrics of the given prefixes.
func told(t *testing.T, r *prometheus.Registry, prefixes ...string) string {
	t.Helper()
	answer := httptest.NewRecorder()
	promhttp.HandlerFor(r, promhttp.HandlerOpts{}).ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
	if answer.Code != http.StatusOK {
		t.Fatal(answer.Body)
	}
	var got strings.Builder
	for line := range strings.Lines(answer.Body.String()) {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(line, p) }) {
			got.WriteString(line)
		}
	}
	return got.String()
}

func TestWhatTheCatalogSays(t *testing.T) {
	r, _ := setUp(&counted{})
	const want = `recfleet_backlog_media_seconds{pool="any"} 2
recfleet_backlog_media_seconds{pool="gpu"} 60
recfleet_catalog_read_failures_total 0
recfleet_config_checked_timestamp_seconds 1.5
recfleet_config_drift{part="archive"} 1
recfleet_config_drift{part="broker"} 0
recfleet_config_drift{part="stream"} 0
recfleet_gap_seconds_total{cause="q\"?"} 1.5
recfleet_gaps_total{cause="q\"?"} 2
recfleet_jobs{state="quarantined"} 2
recfleet_jobs{state="running"} 3
recfleet_leases{state="expired"} 1
recfleet_leases{state="running"} 2
recfleet_leases_rescued_total 5
recfleet_oldest_unencoded_age_seconds 0
recfleet_oldest_unsealed_age_seconds 60
recfleet_part_up{part="bus"} 0
recfleet_part_up{part="catalog"} 1
recfleet_ready 0
recfleet_receipt_media_seconds_total 60
recfleet_receipts_total 4
recfleet_salvaged_segments_total 0
recfleet_segments_quarantined 2
recfleet_sessions{state="complete"} 1
recfleet_sessions{state="recording"} 1
recfleet_sessions_silent 0
recfleet_sessions_unrecorded 0
`
	if got := told(t, r, "recfleet_"); got != want {
		t.Errorf("told\n%s", got)
	}
}

// The catalog is asked once for all that scrape within five seconds, and for sessions that are over once a minute.
func TestTheCatalogIsAskedSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counted{}
		r, _ := setUp(c)
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() { told(t, r) })
		}
		group.Wait()
		time.Sleep(fresh - 1)
		told(t, r)
		if v, f := c.vitals.Load(), c.final.Load(); v != 1 || f != 1 {
			t.Errorf("asked %d and %d times", v, f)
		}
		time.Sleep(time.Nanosecond)
		if got := told(t, r, "recfleet_sessions{"); got != "recfleet_sessions{state=\"complete\"} 1\nrecfleet_sessions{state=\"recording\"} 2\n" {
			t.Error(got)
		}
		time.Sleep(freshFinal)
		if got := told(t, r, "recfleet_sessions{"); got != "recfleet_sessions{state=\"complete\"} 2\nrecfleet_sessions{state=\"recording\"} 3\n" {
			t.Error(got)
		}
	})
}

// What the catalog said before is not told where it does not answer.
func TestACatalogThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &counted{}
		r, _ := setUp(c)
		told(t, r)
		c.broken.Store(true)
		time.Sleep(fresh)
		told(t, r)
		if got := told(t, r, "recfleet_sessions", "recfleet_catalog", "recfleet_ready"); got != "recfleet_catalog_read_failures_total 1\nrecfleet_ready 0\n" {
			t.Error(got)
		}
		c.broken.Store(false)
		time.Sleep(fresh)
		if got := told(t, r, "recfleet_sessions_silent"); got == "" {
			t.Error("a catalog that is back is not told")
		}
	})
}

func TestCalls(t *testing.T) {
	r, calls := setUp(&counted{})
	for _, code := range []codes.Code{codes.OK, codes.OK, codes.NotFound} {
		_, err := calls.Unary(t.Context(), nil, &grpc.UnaryServerInfo{FullMethod: "/s.S/M"}, func(context.Context, any) (any, error) { return nil, status.Error(code, "") })
		if status.Code(err) != code {
			t.Error(err)
		}
	}
	if err := calls.Stream(nil, nil, &grpc.StreamServerInfo{FullMethod: "/s.S/W"}, func(any, grpc.ServerStream) error { return nil }); err != nil {
		t.Error(err)
	}
	const want = `grpc_server_handled_total{grpc_code="NotFound",grpc_method="M",grpc_service="s.S"} 1
grpc_server_handled_total{grpc_code="OK",grpc_method="M",grpc_service="s.S"} 2
grpc_server_handled_total{grpc_code="OK",grpc_method="W",grpc_service="s.S"} 1
grpc_server_handling_seconds_count{grpc_method="M",grpc_service="s.S"} 3
grpc_server_handling_seconds_count{grpc_method="W",grpc_service="s.S"} 1
`
	if got := told(t, r, "grpc_server_handled", "grpc_server_handling_seconds_count"); got != want {
		t.Error(got)
	}
}

// A coordinator that does not keep the eye, or does not any more, tells nothing of who is connected.
func TestPlatform(t *testing.T) {
	s := appstream.State{Running: true, Connected: 3, Unrecorded: make([]appstream.Unrecorded, 2), Expired: 4, Failed: 5, Answered: time.UnixMilli(2500)}
	r := prometheus.NewRegistry()
	r.MustRegister(Platform(func() appstream.State { return s }))
	const done = "recfleet_platform_call_failures_total 5\nrecfleet_platform_sessions_expired_total 4\n"
	if got := told(t, r, "recfleet_"); got != "recfleet_platform_answered_timestamp_seconds 2.5\nrecfleet_platform_call_failures_total 5\n"+
		"recfleet_platform_sessions_expired_total 4\nrecfleet_platform_users_connected 3\nrecfleet_platform_users_unrecorded 2\n" {
		t.Error(got)
	}
	s.Running = false
	if got := told(t, r, "recfleet_"); got != done {
		t.Error(got)
	}
}
