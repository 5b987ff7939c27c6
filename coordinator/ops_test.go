package coordinator_test

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/recfleet/recfleet/coordinator"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// observed is a world whose coordinator is looked at from outside.
type observed struct {
	*world
	metrics string // the address
	client  *http.Client
}

func newObserved(t *testing.T) *observed {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &observed{metrics: "http://" + listener.Addr().String()}
	o.world = newWorld(t, coordinator.Config{Metrics: listener})
	roots := o.tls.Clone()
	roots.InsecureSkipVerify = true // whose certificate it is, is another test's
	o.client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: roots, DisableKeepAlives: true}}
	return o
}

func (o *observed) get(url string) (int, string) {
	o.t.Helper()
	got, err := o.client.Get(url)
	if err != nil {
		o.t.Fatal(err)
	}
	defer got.Body.Close()
	body, err := io.ReadAll(got.Body)
	if err != nil {
		o.t.Fatal(err)
	}
	return got.StatusCode, string(body)
}

func (o *observed) serving() grpc_health_v1.HealthCheckResponse_ServingStatus {
	o.t.Helper()
	got, err := grpc_health_v1.NewHealthClient(o.agents).Check(o.t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		o.t.Fatal(err)
	}
	return got.GetStatus()
}

// awaitReady waits until the readiness is as wanted, everywhere.
func (o *observed) awaitReady(line string) {
	o.t.Helper()
	o.until(line, func() bool {
		_, body := o.get(o.metrics + "/readyz")
		return strings.HasPrefix(body, line)
	})
	code, public := o.get("https://" + o.address + "/readyz")
	ready := line == "ready"
	if ready != (code == http.StatusOK) || ready != (o.serving() == grpc_health_v1.HealthCheckResponse_SERVING) {
		o.t.Errorf("%d %q, gRPC says %v", code, public, o.serving())
	}
	if strings.Contains(public, "(") || strings.Contains(public, o.dir) {
		o.t.Errorf("everybody is told %q", public)
	}
	if code, body := o.get("https://" + o.address + "/healthz"); code != http.StatusOK || body != "alive\n" {
		o.t.Errorf("%d %q", code, body)
	}
	want := "recfleet_ready 0\n"
	if ready {
		want = "recfleet_ready 1\n"
	}
	if _, body := o.get(o.metrics + "/metrics"); !strings.Contains(body, want) {
		o.t.Errorf("metrics say otherwise than %q", want)
	}
}

func TestReadinessTellsWhichPartIsAway(t *testing.T) {
	o := newObserved(t)
	o.awaitReady("ready")

	// Somebody holds the catalog.
	db, err := sql.Open("sqlite", "file:"+filepath.Join(o.dir, "catalog.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	holder, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := holder.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	o.awaitReady("not ready: catalog (")
	if _, err := holder.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	holder.Close()
	o.awaitReady("ready")

	// The archive cannot be written to.
	if err := os.RemoveAll(filepath.Join(o.dir, "archive", ".recfleet")); err != nil {
		t.Fatal(err)
	}
	o.awaitReady("not ready: archive (")
	if err := os.MkdirAll(filepath.Join(o.dir, "archive", ".recfleet", "tmp"), 0o750); err != nil {
		t.Fatal(err)
	}
	o.awaitReady("ready")

	o.broker.Close()
	o.awaitReady("not ready: bus (reach broker: ")
	if got := o.log.String(); strings.Count(got, "part was lost") < 3 || strings.Count(got, "part is back") != 2 {
		t.Errorf("%s", got)
	}
}

func TestMetricsFollowASession(t *testing.T) {
	o := newObserved(t)
	a := newAgent(o.world)
	a.segment(3)
	has := func(lines ...string) {
		t.Helper()
		o.until(strings.Join(lines, ", "), func() bool {
			_, body := o.get(o.metrics + "/metrics")
			for _, l := range lines {
				if !strings.Contains(body, l+"\n") {
					return false
				}
			}
			if strings.Contains(body, a.session) || strings.Contains(body, `"ann"`) {
				t.Fatal("there are ids or names in labels")
			}
			return true
		})
	}
	has(`recfleet_sessions{state="recording"} 1`, `recfleet_sessions{state="complete"} 0`, `recfleet_backlog_media_seconds{pool="any"} 6`,
		`recfleet_jobs{state="available"} 1`, "recfleet_receipts_total 1", "recfleet_receipt_media_seconds_total 6",
		`grpc_server_handled_total{grpc_code="OK",grpc_method="StartSession",grpc_service="recfleet.v1.AgentService"} 2`,
		`recfleet_part_up{part="bus"} 1`, `recfleet_config_drift{part="broker"} 0`, "recfleet_sessions_unrecorded 0")
	if _, err := o.rpc().Sync(t.Context(), &recfleetv1.AgentServiceSyncRequest{SessionId: a.session, UserIdle: durationpb.New(-1)}); status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
	a.end(6 * time.Second)
	newEncoder(o.world).work(1)
	o.await(a.session, recfleetv1.SessionState_SESSION_STATE_COMPLETE)
	has(`recfleet_sessions{state="recording"} 0`, `recfleet_jobs{state="available"} 0`, "recfleet_oldest_unencoded_age_seconds 0",
		`grpc_server_handled_total{grpc_code="InvalidArgument",grpc_method="Sync",grpc_service="recfleet.v1.AgentService"} 1`)
}

// What the server can do is told to admins only.
func TestReflectionIsForAdmins(t *testing.T) {
	w := newWorld(t, coordinator.Config{})
	ask := func(conn *grpc.ClientConn) (*grpc_reflection_v1.ServerReflectionResponse, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		stream, err := grpc_reflection_v1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
		if err != nil {
			return nil, err
		}
		if err := stream.Send(&grpc_reflection_v1.ServerReflectionRequest{
			MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{},
		}); err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return stream.Recv()
	}
	for _, conn := range []*grpc.ClientConn{w.agents, w.workers} {
		if _, err := ask(conn); status.Code(err) != codes.PermissionDenied {
			t.Error(err)
		}
	}
	got, err := ask(w.admin)
	if err != nil || len(got.GetListServicesResponse().GetService()) < 6 {
		t.Error(got, err)
	}
}
