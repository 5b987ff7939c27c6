package api

import (
	"context"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// Whoever is refused a call is written down with it, once and with a count, known or not, and however the refusal looks.
func TestRefusedCallsAreAudited(t *testing.T) {
	f, _ := matrix(t)
	sessions, recordings := recfleetv1.NewSessionServiceClient(f.conn), recfleetv1.NewRecordingServiceClient(f.conn)
	get := func(id string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := sessions.GetSession(ctx, &recfleetv1.GetSessionRequest{SessionId: id})
			return err
		}
	}
	download := func(ctx context.Context) error {
		stream, err := recordings.DownloadRecording(ctx, &recfleetv1.DownloadRecordingRequest{SessionId: "b", Segment: 1})
		if err == nil {
			_, err = stream.Recv()
		}
		return err
	}
	before := int64(0)
	for _, c := range []struct {
		who, name    string
		call         func(context.Context) error
		want         codes.Code
		action, what string
	}{
		{"nonsense", "", get("a"), codes.Unauthenticated, "SessionService.GetSession", "a"},
		{"agent", "agent", get("a"), codes.PermissionDenied, "SessionService.GetSession", "a"},
		{access.TokenPrefix + "nobody", "token:nobody", get("a"), codes.PermissionDenied, "SessionService.GetSession", "a"},
		{access.TokenPrefix + "list", "token:list", get("b"), codes.NotFound, "SessionService.GetSession", "b"},
		{access.TokenPrefix + "all", "token:all", download, codes.NotFound, "RecordingService.DownloadRecording", "b"},
		{access.TokenPrefix + "list", "token:list", download, codes.PermissionDenied, "RecordingService.DownloadRecording", ""}, // the request was not read
	} {
		for range 4 {
			if err := c.call(as(t.Context(), c.who)); status.Code(err) != c.want {
				t.Errorf("%s: %v", c.who, err)
			}
		}
		found, _, err := f.catalog.ListAudit(t.Context(), catalog.AuditFilter{Result: "refused"}, 5, "")
		if err != nil || int64(len(found)) != before+1 && len(found) != 5 {
			t.Fatalf("%s: %+v, %v", c.who, found, err)
		}
		r := found[0]
		if r.Number != before+1 || r.Who != c.name || r.Action != c.action || r.Object != c.what || r.From == "" || r.Times != 0 {
			t.Errorf("%s: %+v", c.who, r)
		}
		before = r.Number
	}
	// A request that cannot be served because it is wrong is no refusal, nor is one that is served.
	for id, want := range map[string]codes.Code{"A": codes.InvalidArgument, "a": codes.OK} {
		if err := get(id)(as(t.Context(), access.TokenPrefix+"list")); status.Code(err) != want {
			t.Errorf("%s: %v", id, err)
		}
	}
	f.refusals.Close()
	counted, _, err := f.catalog.ListAudit(t.Context(), catalog.AuditFilter{Result: "refused"}, 100, "")
	if err != nil || int64(len(counted)) != 2*before {
		t.Fatalf("%d records, %v", len(counted), err)
	}
	for _, r := range counted[:before] {
		if r.Times != 3 {
			t.Errorf("%+v", r)
		}
	}
}
