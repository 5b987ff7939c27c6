package api

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/chunk"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// reasoned are calls about session a that say why, and how the audit calls what they do.
func reasoned(f *fixture) map[access.Right]struct {
	action string
	call   func(ctx context.Context, reason string) error
} {
	type call = struct {
		action string
		call   func(ctx context.Context, reason string) error
	}
	sessions, recordings := recfleetv1.NewSessionServiceClient(f.conn), recfleetv1.NewRecordingServiceClient(f.conn)
	return map[access.Right]call{
		access.RightView: {"manifest.read", func(ctx context.Context, reason string) error {
			_, err := recordings.GetManifest(ctx, &recfleetv1.GetManifestRequest{SessionId: "a", Reason: reason})
			return err
		}},
		access.RightDownload: {"recording.download", func(ctx context.Context, reason string) error {
			stream, err := recordings.DownloadRecording(ctx, &recfleetv1.DownloadRecordingRequest{SessionId: "a", Segment: 1, Reason: reason})
			if err == nil {
				_, err = stream.Recv()
			}
			return err
		}},
		access.RightStop: {"session.stop", func(ctx context.Context, reason string) error {
			_, err := sessions.StopSession(ctx, &recfleetv1.StopSessionRequest{SessionId: "a", Reason: reason})
			return err
		}},
		access.RightHold: {"session.hold", func(ctx context.Context, reason string) error {
			_, err := sessions.HoldSession(ctx, &recfleetv1.HoldSessionRequest{SessionId: "a", Reason: reason})
			return err
		}},
		access.RightRelease: {"session.release", func(ctx context.Context, reason string) error {
			_, err := sessions.ReleaseSession(ctx, &recfleetv1.ReleaseSessionRequest{SessionId: "a", Reason: reason})
			return err
		}},
		access.RightDelete: {"session.delete", func(ctx context.Context, reason string) error {
			_, err := sessions.DeleteSession(ctx, &recfleetv1.DeleteSessionRequest{SessionId: "a", Reason: reason})
			return err
		}},
	}
}

// Each right that needs a reason is refused without one, with nothing done, and no other right is.
func TestRightsNeedTheirReasons(t *testing.T) {
	for right := range reasoned(&fixture{}) {
		t.Run(string(right), func(t *testing.T) {
			book, err := access.Parse([]byte("reasons: {required: [" + string(right) + "]}"))
			if err != nil {
				t.Fatal(err)
			}
			f := newFixtureUnder(t, book)
			f.finished(t, "a")
			calls := reasoned(f)
			for _, blank := range []string{"", " ", "\u00a0\u2003", "\u200b"} {
				if err := calls[right].call(admin(t), blank); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "reason: is missing") {
					t.Errorf("for the reason %q: %v", blank, err)
				}
			}
			if found, _, err := f.catalog.ListAudit(t.Context(), catalog.AuditFilter{}, 5, ""); err != nil || len(found) > 0 {
				t.Errorf("something was done without a reason: %+v, %v", found, err)
			}
			if err := calls[right].call(admin(t), "case 7"); status.Code(err) == codes.InvalidArgument {
				t.Errorf("with a reason: %v", err)
			}
			found, _, err := f.catalog.ListAudit(t.Context(), catalog.AuditFilter{Action: calls[right].action}, 1, "")
			if err != nil || len(found) != 1 || found[0].Reason != "case 7" || found[0].Object != "a" && found[0].Object != "a.1" {
				t.Errorf("written down as %+v, %v", found, err)
			}
			for other, c := range calls {
				if err := c.call(admin(t), ""); other != right && err != nil && strings.Contains(err.Error(), "reason:") {
					t.Errorf("%s needs a reason: %v", other, err)
				}
			}
		})
	}
}

// Whoever decides about an order says why where the order's right needs that; who may not know of it learns nothing.
func TestDecisionsNeedTheirReasons(t *testing.T) {
	book, err := access.Parse([]byte("roles: [{name: deleter, rights: [delete]}, {name: releaser, rights: [release]}]\n" +
		"two_person: {rights: [delete, release]}\nreasons: {required: [delete]}"))
	if err != nil {
		t.Fatal(err)
	}
	f := newFixtureUnder(t, book)
	f.finished(t, "a")
	for name, role := range map[string]string{"ann": "deleter", "bob": "deleter", "rob": "releaser"} {
		if err := f.catalog.CreateToken(t.Context(), catalog.Token{ID: name, Name: name, Hash: chunk.Sum([]byte(access.TokenPrefix + name)), Roles: []string{role}, Owner: name}); err != nil {
			t.Fatal(err)
		}
	}
	calls, approvals := reasoned(f), recfleetv1.NewApprovalServiceClient(f.conn)
	ann, bob, rob := as(t.Context(), access.TokenPrefix+"ann"), as(t.Context(), access.TokenPrefix+"bob"), as(t.Context(), access.TokenPrefix+"rob")
	if err := calls[access.RightDelete].call(ann, " "); status.Code(err) != codes.InvalidArgument {
		t.Errorf("asked without a reason: %v", err)
	}
	if err := calls[access.RightDelete].call(ann, "over"); status.Code(err) != codes.FailedPrecondition {
		t.Fatal(err)
	}
	list, err := approvals.ListApprovals(bob, &recfleetv1.ListApprovalsRequest{})
	if err != nil || len(list.GetApprovals()) != 1 {
		t.Fatal(list, err)
	}
	id := list.GetApprovals()[0].GetId()
	for who, ctx := range map[string]context.Context{"bob": bob, "admin": admin(t)} {
		if _, err := approvals.ApproveOrder(ctx, &recfleetv1.ApproveOrderRequest{ApprovalId: id}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s approved without a reason: %v", who, err)
		}
		if _, err := approvals.RefuseOrder(ctx, &recfleetv1.RefuseOrderRequest{ApprovalId: id}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s refused without a reason: %v", who, err)
		}
	}
	if _, err := approvals.ApproveOrder(rob, &recfleetv1.ApproveOrderRequest{ApprovalId: id}); status.Code(err) != codes.NotFound {
		t.Errorf("who may only release: %v", err)
	}
	if _, err := approvals.ApproveOrder(bob, &recfleetv1.ApproveOrderRequest{ApprovalId: id, Reason: "seen"}); err != nil {
		t.Fatal(err)
	}
	if found, _, err := f.catalog.ListAudit(t.Context(), catalog.AuditFilter{Action: "approval.approve"}, 1, ""); err != nil || len(found) != 1 || found[0].Reason != "seen" {
		t.Errorf("written down as %+v, %v", found, err)
	}
}

// Of an order the right that it is about counts, also with those who may decide about all orders.
func TestDecisionsNeedTheReasonOfTheirOrder(t *testing.T) {
	for right, want := range map[access.Right]codes.Code{access.RightRelease: codes.InvalidArgument, access.RightDelete: codes.OK} {
		book, err := access.Parse([]byte("roles: [{name: all, rights: [hold, release]}]\ntwo_person: {rights: [release]}\nreasons: {required: [" + string(right) + "]}"))
		if err != nil {
			t.Fatal(err)
		}
		f := newFixtureUnder(t, book)
		f.finished(t, "a")
		if err := f.catalog.CreateToken(t.Context(), catalog.Token{ID: "ann", Name: "ann", Hash: chunk.Sum([]byte(access.TokenPrefix + "ann")), Roles: []string{"all"}, Owner: "ann"}); err != nil {
			t.Fatal(err)
		}
		ann, calls, approvals := as(t.Context(), access.TokenPrefix+"ann"), reasoned(f), recfleetv1.NewApprovalServiceClient(f.conn)
		if err := calls[access.RightHold].call(ann, ""); err != nil {
			t.Fatal(err)
		}
		if err := calls[access.RightRelease].call(ann, "over"); status.Code(err) != codes.FailedPrecondition {
			t.Fatal(err)
		}
		list, err := approvals.ListApprovals(admin(t), &recfleetv1.ListApprovalsRequest{})
		if err != nil || len(list.GetApprovals()) != 1 {
			t.Fatal(list, err)
		}
		if _, err := approvals.ApproveOrder(admin(t), &recfleetv1.ApproveOrderRequest{ApprovalId: list.GetApprovals()[0].GetId()}); status.Code(err) != want {
			t.Errorf("a release approved where the right to %s needs a reason: %v", right, err)
		}
	}
}

// Where a reason is needed, what is out of scope is still as what is absent.
func TestReasonsTellNothingOfOthers(t *testing.T) {
	book, err := access.Parse([]byte("roles: [{name: a, rights: [hold], scopes: [{stack: stack-a}]}]\nreasons: {required: [hold]}"))
	if err != nil {
		t.Fatal(err)
	}
	f := newFixtureUnder(t, book)
	f.finished(t, "b")
	if err := f.catalog.CreateToken(t.Context(), catalog.Token{ID: "ann", Name: "ann", Hash: chunk.Sum([]byte(access.TokenPrefix + "ann")), Roles: []string{"a"}, Owner: "ann"}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"b", "zz"} {
		_, err := recfleetv1.NewSessionServiceClient(f.conn).HoldSession(as(t.Context(), access.TokenPrefix+"ann"), &recfleetv1.HoldSessionRequest{SessionId: id})
		if status.Code(err) != codes.NotFound {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// A signal makes a file that demands reasons hold, and one that does not any more.
func TestReasonsFollowTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.yaml")
	put := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("{}")
	file, err := access.Open(path, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	signals, ended := make(chan os.Signal, 1), make(chan error, 1)
	go func() { ended <- file.Run(ctx, signals) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	f := newFixtureBy(t, file.Current)
	f.finished(t, "a")
	read := reasoned(f)[access.RightView].call
	if err := read(admin(t), ""); err != nil {
		t.Fatalf("without a demand: %v", err)
	}
	for _, step := range []struct {
		text string
		want codes.Code
	}{{"reasons: {required: [view]}", codes.InvalidArgument}, {"reasons: {required: [stop]}", codes.OK}} {
		put(step.text)
		signals <- syscall.SIGHUP
		deadline := time.Now().Add(10 * time.Second)
		for status.Code(read(admin(t), "")) != step.want {
			if time.Now().After(deadline) {
				t.Fatalf("%s does not hold", step.text)
			}
		}
	}
}
