package api

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/chunk"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// cutWithin is how late an open stream may notice that its right was taken away; it looks every two seconds.
const cutWithin = 10 * time.Second

// watching opens a watch as ann, who may list the stacks that the book says, and returns what it sends.
func watching(t *testing.T, book string) (f *fixture, say func(book string), next func() (*recfleetv1.WatchSessionsResponse, error)) {
	t.Helper()
	var current atomic.Pointer[access.Book]
	say = func(text string) {
		t.Helper()
		parsed, err := access.Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		current.Store(parsed)
	}
	say(book)
	f = newFixtureBy(t, current.Load)
	f.finished(t, "a")
	f.finished(t, "b")
	if err := f.catalog.CreateToken(t.Context(), catalog.Token{ID: "ann", Name: "ann", Hash: chunk.Sum([]byte(access.TokenPrefix + "ann")), Owner: "ann"}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(as(t.Context(), access.TokenPrefix+"ann"), cutWithin+20*time.Second)
	t.Cleanup(cancel)
	stream, err := recfleetv1.NewSessionServiceClient(f.conn).WatchSessions(ctx, &recfleetv1.WatchSessionsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return f, say, stream.Recv
}

const (
	listsBoth = "roles: [{name: r, rights: [list, download]}]\nbindings: [{roles: r, tokens: ann}]"
	listsA    = "roles: [{name: r, rights: [list], scopes: [{stack: stack-a}]}]\nbindings: [{roles: r, tokens: ann}]"
	listsNone = "roles: [{name: r, rights: [hold]}]\nbindings: [{roles: r, tokens: ann}]"
)

// A watch shows no more than its caller may see by now, and ends with its right and its token.
func TestAWatchFollowsItsRights(t *testing.T) {
	f, say, next := watching(t, listsBoth)
	for range 2 {
		if m, err := next(); err != nil || m.GetGone() {
			t.Fatal(m, err)
		}
	}
	say(listsA)
	began := time.Now()
	if m, err := next(); err != nil || !m.GetGone() || m.GetSession().GetId() != "b" || time.Since(began) > cutWithin {
		t.Fatalf("%v, %v after %v", m, err, time.Since(began))
	}
	say(listsNone)
	began = time.Now()
	if m, err := next(); status.Code(err) != codes.PermissionDenied || time.Since(began) > cutWithin {
		t.Fatalf("%v, %v after %v", m, err, time.Since(began))
	}
	found, _, err := f.catalog.ListAudit(t.Context(), catalog.AuditFilter{Action: "SessionService.WatchSessions"}, 5, "")
	if err != nil || len(found) != 1 || found[0].Who != "token:ann" || found[0].Result != "refused" {
		t.Errorf("%+v, %v", found, err)
	}
}

// A token that is revoked ends what it has begun: a watch that has nothing to send, and a download that is read slowly.
func TestARevokedTokenEndsStreams(t *testing.T) {
	f, _, next := watching(t, listsBoth)
	for range 2 {
		if _, err := next(); err != nil {
			t.Fatal(err)
		}
	}
	const size = 16 << 20
	f.finishedWith(t, "large", strings.Repeat("x", size))
	ctx, cancel := context.WithTimeout(as(t.Context(), access.TokenPrefix+"ann"), time.Minute)
	defer cancel()
	download, err := recfleetv1.NewRecordingServiceClient(f.conn).DownloadRecording(ctx, &recfleetv1.DownloadRecordingRequest{SessionId: "large", Segment: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := download.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := f.catalog.RevokeToken(t.Context(), "ann", "admin", time.Now()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	_, err = next()
	for err == nil { // what had changed before
		_, err = next()
	}
	if status.Code(err) != codes.Unauthenticated || time.Since(began) > cutWithin {
		t.Fatalf("%v after %v", err, time.Since(began))
	}
	read := 0
	for {
		m, err := download.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) || read > size/2 {
				t.Errorf("%d bytes came after the token was revoked: %v", read, err)
			}
			break
		}
		read += len(m.GetData())
		if time.Since(began) < 2*cutWithin { // as slowly as that it takes a while
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
}
