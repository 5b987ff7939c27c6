package access_test

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/internal/identity"
)

func TestMatrix(t *testing.T) {
	control := access.New(nil, access.Local(identity.Tokens{Admin: "a-token", Agent: "g-token", Encoder: "e-token"}))
	const (
		list    = "/recfleet.v1.SessionService/ListSessions"
		load    = "/recfleet.v1.RecordingService/DownloadRecording"
		sync    = "/recfleet.v1.AgentService/Sync"
		job     = "/recfleet.v1.EncoderService/CompleteJob"
		health  = "/grpc.health.v1.Health/Check"
		unknown = "/recfleet.v1.SessionService/DeleteEverything"
	)
	ok, who, no := codes.OK, codes.Unauthenticated, codes.PermissionDenied
	for _, test := range []struct {
		header []string
		want   map[string]codes.Code
	}{
		{nil, map[string]codes.Code{list: who, load: who, sync: who, job: who, health: ok, unknown: who}},
		{[]string{"Bearer a-token"}, map[string]codes.Code{list: ok, load: ok, sync: ok, job: ok, health: ok, unknown: no}},
		{[]string{"bearer g-token"}, map[string]codes.Code{list: no, load: no, sync: ok, job: no, health: ok, unknown: no}},
		{[]string{"Bearer e-token"}, map[string]codes.Code{list: no, load: no, sync: no, job: ok, health: ok, unknown: no}},
		{[]string{"Bearer x"}, map[string]codes.Code{list: who, health: ok}},
		{[]string{"Bearer "}, map[string]codes.Code{list: who}},
		{[]string{"Basic a-token"}, map[string]codes.Code{list: who}},
		{[]string{"a-token"}, map[string]codes.Code{list: who}},
		{[]string{"Bearer a-token", "Bearer a-token"}, map[string]codes.Code{list: who}},
	} {
		ctx := t.Context()
		for _, h := range test.header {
			md, _ := metadata.FromIncomingContext(ctx)
			md = metadata.Join(md, metadata.Pairs("authorization", h))
			ctx = metadata.NewIncomingContext(ctx, md)
		}
		for method, want := range test.want {
			if got := status.Code(control.Check(ctx, method)); got != want {
				t.Errorf("%q %s: %v, want %v", test.header, method, got, want)
			}
		}
	}
}

func TestEmptyTokenIsNobody(t *testing.T) {
	who, err := access.New(nil, access.Local(identity.Tokens{Admin: "a"})).Authenticate(t.Context(), "")
	if !errors.Is(err, access.ErrStranger) {
		t.Errorf("an empty token is %v, %v", who, err)
	}
}

// A server with a method for which no right is declared does not start, and no method that is declared is missing.
func TestUndeclaredIsRefused(t *testing.T) {
	control := access.New(nil)
	server := grpc.NewServer()
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	if err := control.Covers(server.GetServiceInfo()); !errors.Is(err, access.ErrUndeclared) {
		t.Errorf("methods are missing: %v", err)
	}
	more := map[string]grpc.ServiceInfo{"x.Y": {Methods: []grpc.MethodInfo{{Name: "Z"}}}}
	if err := control.Covers(more); !errors.Is(err, access.ErrUndeclared) || !strings.Contains(err.Error(), "/x.Y/Z") {
		t.Errorf("a method without a right: %v", err)
	}
	if err := control.CoversRoutes([]string{"GET /secrets"}); !errors.Is(err, access.ErrUndeclared) || !strings.Contains(err.Error(), "GET /secrets") {
		t.Errorf("a route without a right: %v", err)
	}
	if _, err := control.Guard("GET /secrets", nil, nil); !errors.Is(err, access.ErrUndeclared) {
		t.Errorf("a route without a right: %v", err)
	}
}
