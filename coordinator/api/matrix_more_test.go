package api

import (
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
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/web"
	"github.com/recfleet/recfleet/internal/chunk"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// people makes a token for each role of a book, by its name.
func people(t *testing.T, text string) (f *fixture, book *access.Book) {
	t.Helper()
	book, err := access.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	f = newFixtureUnder(t, book)
	f.thumbnails = true
	for _, role := range book.Roles() {
		if role == access.RoleAdmin {
			continue
		}
		if err := f.catalog.CreateToken(t.Context(), catalog.Token{ID: role, Name: role, Hash: chunk.Sum([]byte(access.TokenPrefix + role)), Roles: []string{role}, Owner: role}); err != nil {
			t.Fatal(err)
		}
	}
	return f, book
}

// What is recorded of a session that goes on is for those who may view it live, and of one that is over for those who may view it: the
// one right is none to the other, and neither reaches another team's.
func TestMatrixOfViewingLive(t *testing.T) {
	f, book := people(t, `
roles:
- {name: live, rights: [view-live], scopes: [{stack: stack-a}]}
- {name: later, rights: [view], scopes: [{stack: stack-a}]}
- {name: both, rights: [view, view-live], scopes: [{stack: stack-a}]}
- {name: neither, rights: [list, download, stop]}`)
	f.finished(t, "a")
	f.finished(t, "b")
	f.recorded(t, "goesona", "stack-a", "0123456789")
	f.recorded(t, "goesonb", "stack-b", "0123456789")
	page, err := web.New(web.Config{Sessions: f.catalog, Objects: f.archive, Access: f.control, Audit: f.catalog, Logger: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(page)
	t.Cleanup(server.Close)
	for _, role := range []string{"live", "later", "both", "neither"} {
		var rights []access.Right
		for _, g := range book.Grants([]string{role}) {
			rights = append(rights, g.Rights...)
		}
		browser := server.Client()
		if browser.Jar, err = cookiejar.New(nil); err != nil {
			t.Fatal(err)
		}
		entered, err := browser.PostForm(server.URL+"/login", url.Values{"token": {access.TokenPrefix + role}})
		if err != nil {
			t.Fatal(err)
		}
		entered.Body.Close()
		for _, what := range []string{"video", "sprite", "thumbnails"} {
			see := func(id string) (int, string) {
				answer, err := browser.Get(server.URL + "/sessions/" + id + "/" + what + "/1")
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
			_, absent := see("zz")
			for id, right := range map[string]access.Right{"a": access.RightView, "goesona": access.RightViewLive, "b": "", "goesonb": "", "zz": ""} {
				want := http.StatusNotFound
				switch {
				case role == "neither":
					want = http.StatusForbidden
				case slices.Contains(rights, right):
					want = http.StatusOK
				}
				code, body := see(id)
				if code != want || want == http.StatusNotFound && body != absent {
					t.Errorf("%s of %s as %s: %d, want %d\n%s", what, id, role, code, want, body)
				}
			}
		}
	}
}

// An order that waits is decided by those who could give it themselves; to the others it is not there.
func TestMatrixOfApprovals(t *testing.T) {
	f, book := people(t, `
two_person: {rights: [delete, release]}
roles:
- {name: deleter, rights: [delete], scopes: [{stack: stack-a}]}
- {name: releaser, rights: [release], scopes: [{stack: stack-a}]}
- {name: both, rights: [delete, release], scopes: [{stack: stack-a}]}
- {name: elsewhere, rights: [delete, release], scopes: [{stack: stack-c}]}
- {name: neither, rights: [list, view, hold, manage, audit]}`)
	f.finished(t, "a")
	f.finished(t, "b")
	client, orders := recfleetv1.NewApprovalServiceClient(f.conn), 0
	ask := func(session, action string) string {
		t.Helper()
		orders++
		a, err := f.catalog.AskApproval(t.Context(), catalog.Approval{
			ID: fmt.Sprintf("%026d", orders), Action: action, Session: session, By: "zoe", Person: "zoe", Asked: time.Now(), Expires: time.Now().Add(time.Hour),
		})
		if err != nil {
			t.Fatal(err)
		}
		return a.ID
	}
	say := func(role, method, id string) (codes.Code, string) {
		t.Helper()
		ctx := as(t.Context(), access.TokenPrefix+role)
		var err error
		if method == "approve" {
			_, err = client.ApproveOrder(ctx, &recfleetv1.ApproveOrderRequest{ApprovalId: id})
		} else {
			_, err = client.RefuseOrder(ctx, &recfleetv1.RefuseOrderRequest{ApprovalId: id})
		}
		s := status.Convert(err)
		return s.Code(), strings.ReplaceAll(s.Message(), id, "ID")
	}
	seen := map[string]int{}
	for _, method := range []string{"refuse", "approve"} {
		for _, role := range []string{"elsewhere", "neither", "releaser", "deleter", "both"} {
			for _, session := range []string{"a", "b"} {
				for _, action := range []string{access.ActionDelete, access.ActionRelease} {
					may := false
					for _, g := range book.Grants([]string{role}) {
						may = may || slices.Contains(g.Rights, access.ActionRight(action)) && g.Scope.Has(catalog.Owner{Stack: "stack-" + session})
					}
					if method == "approve" && may {
						continue // see TestTwoPeople
					}
					id := ask(session, action)
					absentCode, absent := say(role, method, strings.Repeat("z", 26))
					code, text := say(role, method, id)
					want := codes.NotFound
					switch {
					case may:
						want = codes.OK
					case role == "neither":
						want = codes.PermissionDenied
					}
					if code != want || !may && (code != absentCode || text != absent) {
						t.Errorf("%s %s of %s as %s: %v %q, absent %v %q", method, action, session, role, code, text, absentCode, absent)
					}
					list, err := client.ListApprovals(as(t.Context(), access.TokenPrefix+role), &recfleetv1.ListApprovalsRequest{IncludeEnded: true})
					if role == "neither" {
						if status.Code(err) != codes.PermissionDenied {
							t.Errorf("lists as %s: %v", role, err)
						}
						err = nil
					}
					if found := slices.ContainsFunc(list.GetApprovals(), func(a *recfleetv1.Approval) bool { return a.GetId() == id }); err != nil || found != may {
						t.Errorf("%s of %s is listed to %s: %t, %v", action, session, role, found, err)
					}
					if !may { // it makes room for the next
						if _, err := f.catalog.EndApproval(t.Context(), catalog.Approval{ID: id, State: catalog.ApprovalRefused, EndBy: "admin", EndPerson: "admin", Ended: time.Now()}); err != nil {
							t.Fatal(err)
						}
					}
					seen[code.String()]++
				}
			}
		}
	}
	if seen["OK"] == 0 || seen["NotFound"] == 0 || seen["PermissionDenied"] == 0 {
		t.Errorf("%v", seen)
	}
}
