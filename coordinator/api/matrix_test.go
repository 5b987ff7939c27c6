package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/web"
	"github.com/recfleet/recfleet/internal/chunk"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

const matrixBook = `
roles:
- {name: all-of-a, rights: [list, view, view-live, download, stop, hold, release, delete], scopes: [{stack: stack-a}]}
- {name: list-a, rights: [list], scopes: [{stack: stack-a}]}
- {name: list-all-view-a-0, rights: [list]}
- {name: view-a, rights: [view], scopes: [{stack: stack-a}]}
- {name: manager, rights: [manage]}
- {name: auditor, rights: [audit]}
`

// matrix has a token for each caller, and a session in and one out of the scopes.
func matrix(t *testing.T) (f *fixture, callers map[string][]access.Right) {
	t.Helper()
	book, err := access.Parse([]byte(matrixBook))
	if err != nil {
		t.Fatal(err)
	}
	f = newFixtureUnder(t, book)
	f.thumbnails = true
	for _, id := range []string{"a", "b"} {
		f.finished(t, id)
	}
	callers = map[string][]access.Right{}
	for name, roles := range map[string][]string{
		"nobody": nil, "all": {"all-of-a"}, "list": {"list-a"}, "view": {"list-all-view-a-0", "view-a"}, "manager": {"manager"}, "auditor": {"auditor"},
	} {
		if err := f.catalog.CreateToken(t.Context(), catalog.Token{ID: name, Name: name, Hash: chunk.Sum([]byte(access.TokenPrefix + name)), Roles: roles, Owner: name}); err != nil {
			t.Fatal(err)
		}
		for _, g := range book.Grants(roles) {
			callers[name] = append(callers[name], g.Rights...)
		}
	}
	return f, callers
}

func as(ctx context.Context, token string) context.Context {
	return grpcmetadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// say makes a call about a session and returns the answer's code and words, without the session's id.
func (f *fixture) say(t *testing.T, ctx context.Context, service string, m grpc.MethodInfo, session string) (codes.Code, string) {
	t.Helper()
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		t.Fatal(err)
	}
	in := d.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(m.Name)).Input()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(in.FullName())
	if err != nil {
		t.Fatal(err)
	}
	request := kind.New()
	if id := in.Fields().ByName("session_id"); id != nil {
		request.Set(id, protoreflect.ValueOfString(session))
	}
	if segment := in.Fields().ByName("segment"); segment != nil {
		request.Set(segment, protoreflect.ValueOfInt32(1))
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	stream, err := f.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, "/"+service+"/"+m.Name)
	if err == nil {
		err = stream.SendMsg(request.Interface())
	}
	if err == nil {
		err = stream.CloseSend()
	}
	if err == nil {
		err = stream.RecvMsg(newAnswer(t, service, m.Name))
	}
	s := status.Convert(err)
	return s.Code(), strings.ReplaceAll(s.Message(), " "+session, " ID")
}

// needed is the right to call what is about one session.
var needed = map[string]access.Right{
	recfleetv1.SessionService_GetSession_FullMethodName:          access.RightList,
	recfleetv1.SessionService_StopSession_FullMethodName:         access.RightStop,
	recfleetv1.SessionService_HoldSession_FullMethodName:         access.RightHold,
	recfleetv1.SessionService_ReleaseSession_FullMethodName:      access.RightRelease,
	recfleetv1.SessionService_DeleteSession_FullMethodName:       access.RightDelete,
	recfleetv1.RecordingService_ListRecordings_FullMethodName:    access.RightList,
	recfleetv1.RecordingService_DownloadRecording_FullMethodName: access.RightDownload,
	recfleetv1.RecordingService_GetManifest_FullMethodName:       access.RightView,
}

// Whoever has a right over some sessions learns of the others what it learns of those that are not there; whoever lacks it
// learns that, whatever it asks about.
func TestMatrixOfCalls(t *testing.T) {
	f, callers := matrix(t)
	tried := 0
	for service, info := range f.server.GetServiceInfo() {
		if !strings.HasPrefix(service, "recfleet.v1.") {
			continue
		}
		for _, m := range info.Methods {
			name := "/" + service + "/" + m.Name
			right, about := needed[name]
			for caller, rights := range callers {
				ctx := as(t.Context(), access.TokenPrefix+caller)
				if !about {
					continue
				}
				tried++
				ownCode, own := f.say(t, ctx, service, m, "a")
				otherCode, other := f.say(t, ctx, service, m, "b")
				absentCode, absent := f.say(t, ctx, service, m, "zz")
				if wide := caller == "view" && right == access.RightList; !wide && (otherCode != absentCode || other != absent) {
					t.Errorf("%s as %s: another's is %v %q, what is absent %v %q", name, caller, otherCode, other, absentCode, absent)
				}
				switch {
				case slices.Contains(rights, right):
					if absentCode != codes.NotFound || ownCode == codes.PermissionDenied || ownCode == codes.Unauthenticated || own == absent {
						t.Errorf("%s as %s: own %v %q, absent %v", name, caller, ownCode, own, absentCode)
					}
				case ownCode != codes.PermissionDenied || otherCode != codes.PermissionDenied || own != other:
					t.Errorf("%s as %s without the right: %v %q, %v %q", name, caller, ownCode, own, otherCode, other)
				}
			}
			for token, want := range map[string]codes.Code{"nonsense": codes.Unauthenticated, "agent": codes.PermissionDenied, "encoder": codes.PermissionDenied} {
				if got, _ := f.say(t, as(t.Context(), token), service, m, "a"); about && got != want {
					t.Errorf("%s as %s: %v", name, token, got)
				}
			}
			if !about && hasSession(t, service, m.Name) && !strings.HasSuffix(service, ".AgentService") && !strings.HasSuffix(service, ".EncoderService") && name != recfleetv1.JobService_ListJobs_FullMethodName {
				t.Errorf("%s is about a session and not in the matrix", name)
			}
		}
	}
	if want := len(needed) * len(callers); tried != want {
		t.Errorf("%d of %d were tried", tried, want)
	}
}

func hasSession(t *testing.T, service, method string) bool {
	t.Helper()
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		t.Fatal(err)
	}
	return d.(protoreflect.ServiceDescriptor).Methods().ByName(protoreflect.Name(method)).Input().Fields().ByName("session_id") != nil
}

// Lists hold what is in scope, and pages are full.
func TestListsAreScoped(t *testing.T) {
	f, _ := matrix(t)
	client := recfleetv1.NewSessionServiceClient(f.conn)
	for caller, want := range map[string]string{"all": "a", "list": "a", "view": "b a"} {
		page, err := client.ListSessions(as(t.Context(), access.TokenPrefix+caller), &recfleetv1.ListSessionsRequest{})
		var ids []string
		for _, s := range page.GetSessions() {
			ids = append(ids, s.GetId())
		}
		if err != nil || strings.Join(ids, " ") != want {
			t.Errorf("%s: %v, %v", caller, ids, err)
		}
	}
	for _, caller := range []string{"nobody", "manager", "auditor"} {
		if _, err := client.ListSessions(as(t.Context(), access.TokenPrefix+caller), &recfleetv1.ListSessionsRequest{}); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s: %v", caller, err)
		}
	}
}

// The page says of another's session, its video and its download what it says of what is absent, byte for byte.
func TestMatrixOfRoutes(t *testing.T) {
	f, callers := matrix(t)
	page, err := web.New(web.Config{Sessions: f.catalog, Objects: f.archive, Access: f.control, Audit: f.catalog, Logger: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(page)
	t.Cleanup(server.Close)
	routes := map[string]access.Right{
		"GET /sessions/{id}": access.RightList, "GET /sessions/{id}/video/{number}": access.RightView, "GET /sessions/{id}/download/{number}": access.RightDownload,
		"POST /sessions/{id}/reason": access.RightList, "GET /sessions/{id}/audit": access.RightAudit,
		"GET /sessions/{id}/sprite/{number}": access.RightView, "GET /sessions/{id}/thumbnails/{number}": access.RightView,
	}
	for _, pattern := range page.Routes() {
		if _, ok := routes[pattern]; !ok && strings.Contains(pattern, "{id}") {
			t.Errorf("%s is about a session and not in the matrix", pattern)
		}
	}
	for caller, rights := range callers {
		browser := server.Client()
		if browser.Jar, err = cookiejar.New(nil); err != nil {
			t.Fatal(err)
		}
		entered, err := browser.PostForm(server.URL+"/login", url.Values{"token": {access.TokenPrefix + caller}})
		if err != nil {
			t.Fatal(err)
		}
		entered.Body.Close()
		for pattern, right := range routes {
			for _, extent := range []string{"", "bytes=2-4"} {
				see := func(id string) (int, string) {
					method, path, _ := strings.Cut(strings.NewReplacer("{id}", id, "{number}", "1").Replace(pattern), " ")
					var form io.Reader
					if method == http.MethodPost {
						form = strings.NewReader("reason=case+7")
					}
					r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, form)
					if err != nil {
						t.Fatal(err)
					}
					if form != nil {
						r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
					}
					if extent != "" {
						r.Header.Set("Range", extent)
					}
					answer, err := browser.Do(r)
					if err != nil {
						t.Fatal(err)
					}
					defer answer.Body.Close()
					body, err := io.ReadAll(answer.Body)
					if err != nil {
						t.Fatal(err)
					}
					answer.Header.Del("Date")
					return answer.StatusCode, fmt.Sprintf("%v %s", answer.Header, body)
				}
				ownCode, own := see("a")
				otherCode, other := see("b")
				absentCode, absent := see("zz")
				wide := caller == "view" && right == access.RightList || caller == "auditor" && right == access.RightAudit
				if !wide && (otherCode != absentCode || other != absent) {
					t.Errorf("%s as %s: another's is %d, what is absent %d:\n%s\n%s", pattern, caller, otherCode, absentCode, other, absent)
				}
				if slices.Contains(rights, right) {
					if ownCode >= http.StatusBadRequest || absentCode != http.StatusNotFound {
						t.Errorf("%s as %s: own %d, absent %d", pattern, caller, ownCode, absentCode)
					}
				} else if ownCode != http.StatusForbidden || own != other {
					t.Errorf("%s as %s without the right: %d", pattern, caller, ownCode)
				}
			}
		}
	}
}

// A deletion that needs two people is done by the second, and only by another one.
func TestTwoPeople(t *testing.T) {
	book, err := access.Parse([]byte("roles: [{name: deleter, rights: [delete]}]\ntwo_person: {rights: [delete, release]}"))
	if err != nil {
		t.Fatal(err)
	}
	f := newFixtureUnder(t, book)
	f.finished(t, "a")
	for name, owner := range map[string]string{"ann": "ann", "bob": "bob", "ann2": "ann"} {
		if err := f.catalog.CreateToken(t.Context(), catalog.Token{ID: name, Name: name, Hash: chunk.Sum([]byte(access.TokenPrefix + name)), Roles: []string{"deleter"}, Owner: owner}); err != nil {
			t.Fatal(err)
		}
	}
	sessions, approvals := recfleetv1.NewSessionServiceClient(f.conn), recfleetv1.NewApprovalServiceClient(f.conn)
	order := func(who string) error {
		_, err := sessions.DeleteSession(as(t.Context(), access.TokenPrefix+who), &recfleetv1.DeleteSessionRequest{SessionId: "a", Reason: "over"})
		return err
	}
	for _, who := range []string{"ann", "ann", "ann2"} {
		if err := order(who); status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "second person") {
			t.Fatalf("%s: %v", who, err)
		}
	}
	list, err := approvals.ListApprovals(as(t.Context(), access.TokenPrefix+"bob"), &recfleetv1.ListApprovalsRequest{})
	if err != nil || len(list.GetApprovals()) != 1 {
		t.Fatal(list, err)
	}
	id := list.GetApprovals()[0].GetId()
	if _, err := approvals.ApproveOrder(as(t.Context(), access.TokenPrefix+"ann2"), &recfleetv1.ApproveOrderRequest{ApprovalId: id}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("ann approved with another token of hers: %v", err)
	}
	if s, err := f.catalog.Session(t.Context(), "a"); err != nil || !s.Deletion.Ordered.IsZero() {
		t.Fatalf("one person had it deleted: %+v, %v", s.Deletion, err)
	}
	if _, err := approvals.ApproveOrder(as(t.Context(), access.TokenPrefix+"bob"), &recfleetv1.ApproveOrderRequest{ApprovalId: id}); err != nil {
		t.Fatal(err)
	}
	if s, err := f.catalog.Session(t.Context(), "a"); err != nil || s.Deletion.Ordered.IsZero() || s.Deletion.By != "token:ann, token:bob" {
		t.Errorf("two people: %+v, %v", s.Deletion, err)
	}
	if _, err := approvals.ApproveOrder(as(t.Context(), access.TokenPrefix+"bob"), &recfleetv1.ApproveOrderRequest{ApprovalId: id}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("approved twice: %v", err)
	}
	for _, action := range []string{"approval.ask", "approval.approve", "session.delete"} {
		if found, _, err := f.catalog.ListAudit(t.Context(), catalog.AuditFilter{Action: action}, 5, ""); err != nil || len(found) == 0 {
			t.Errorf("%s was not audited: %v", action, err)
		}
	}
}
