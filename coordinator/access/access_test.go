package access_test

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/internal/identity"
)

func TestMatrix(t *testing.T) {
	control := access.New(identity.Tokens{Admin: "a-token", Agent: "g-token", Encoder: "e-token"})
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
	if role, ok := access.New(identity.Tokens{Admin: "a"}).Role(""); ok {
		t.Errorf("an empty token is %s", role)
	}
}
