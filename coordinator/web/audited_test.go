package web

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/evidence"
	"github.com/recfleet/recfleet/internal/object"
)

// tearable is an audit log that can be made to fail.
type tearable struct {
	*catalog.Catalog
	torn  atomic.Bool
	store object.Store // of its site
}

// enlarge has the second segment archived with an mp4 of a size, and returns its number.
func (l *tearable) enlarge(t *testing.T, size int) string {
	t.Helper()
	content := bytes.Repeat([]byte("x"), size)
	leased, err := l.LeaseJobs(t.Context(), "e1", 1, time.Now(), time.Now().Add(time.Hour))
	if err != nil || len(leased) != 1 {
		t.Fatal(leased, err)
	}
	if _, err := l.store.Put(t.Context(), "x/video-000002.mp4", bytes.NewReader(content), object.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := l.CompleteJob(t.Context(), catalog.JobID(sessionID, 2), leased[0].Job.Generation, catalog.Recording{
		ObjectKey: "x/video-000002.mp4", Bytes: int64(size), SHA256: chunk.Sum(content), Width: 642, Height: 480, Frames: 300, EncoderID: "e1",
	}); err != nil {
		t.Fatal(err)
	}
	return "2"
}

func (l *tearable) AppendAudit(ctx context.Context, r catalog.AuditRecord) (catalog.AuditRecord, error) {
	if l.torn.Load() {
		return r, errors.New("disk is full")
	}
	return l.Catalog.AppendAudit(ctx, r)
}

// records returns the audit's, the oldest first.
func (l *tearable) records(t *testing.T) []catalog.AuditRecord {
	t.Helper()
	all, _, err := l.ListAudit(t.Context(), catalog.AuditFilter{}, 100, "")
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(all)
	return all
}

func TestWatchingIsWrittenDownBeforeTheFirstByte(t *testing.T) {
	base, browser, log := auditedSite(t)
	signIn(t, base, browser, token)
	video, download := base+"/sessions/"+sessionID+"/video/1", base+"/sessions/"+sessionID+"/download/1"

	log.torn.Store(true)
	for _, path := range []string{video, download} {
		for _, header := range [][]string{nil, {"Range", "bytes=10-19"}} {
			answer, body := get(t, browser, path, header...)
			if answer.StatusCode != http.StatusServiceUnavailable || strings.Contains(body, "0123456789") || answer.Header.Get("ETag") != "" {
				t.Errorf("%s was served without a record: %d, %d bytes", path, answer.StatusCode, len(body))
			}
		}
	}
	log.torn.Store(false)
	if found := log.records(t); len(found) > 0 {
		t.Fatalf("%+v", found)
	}

	for _, header := range [][]string{nil, {"Range", "bytes=10-19"}, {"Range", "bytes=0-1"}} {
		if answer, _ := get(t, browser, video, header...); answer.StatusCode/100 != 2 {
			t.Errorf("%v: %d", header, answer.StatusCode)
		}
	}
	for range 2 {
		get(t, browser, download)
	}
	get(t, browser, base+"/sessions/"+sessionID+"/video/2") // not archived: nothing is served
	found := log.records(t)
	if len(found) != 3 {
		t.Fatalf("%+v", found)
	}
	for i, want := range []struct{ action, object string }{{"recording.play", sessionID}, {"recording.download", sessionID + ".1"}, {"recording.download", sessionID + ".1"}} {
		r := found[i]
		if r.Action != want.action || r.Object != want.object || r.Who != "admin" || r.Auth != "local" || r.Result != "ok" || r.From != "127.0.0.1" ||
			r.Span != (evidence.Span{Start: 0, End: 60_000}) || time.Since(r.Time) > time.Minute {
			t.Errorf("%+v", r)
		}
	}
}

// Who is not let in, and who asks for a session without having signed in, is written down; who comes for the first time is not.
func TestStrangersAreWrittenDown(t *testing.T) {
	base, browser, log := auditedSite(t)
	get(t, browser, base+"/")
	signIn(t, base, browser, "guess")
	get(t, browser, base+"/sessions/"+sessionID)
	get(t, browser, base+"/sessions/"+sessionID)
	found := log.records(t)
	if len(found) != 2 {
		t.Fatalf("%+v", found)
	}
	for i, want := range []catalog.AuditRecord{{Action: "POST /login"}, {Action: "GET /sessions/{id}", Object: sessionID}} {
		if r := found[i]; r.Action != want.Action || r.Object != want.Object || r.Who != "" || r.Result != "refused" || r.From != "127.0.0.1" {
			t.Errorf("%+v", r)
		}
	}
}

// A session's page is shown when that is written down, once for all its visits in a while.
func TestLookingAtASessionIsWrittenDown(t *testing.T) {
	base, browser, log := auditedSite(t)
	signIn(t, base, browser, token)
	log.torn.Store(true)
	if answer, body := get(t, browser, base+"/sessions/"+sessionID); answer.StatusCode != http.StatusServiceUnavailable || strings.Contains(body, "i-1") {
		t.Errorf("shown without a record: %d\n%s", answer.StatusCode, body)
	}
	log.torn.Store(false)
	for range 3 {
		get(t, browser, base+"/sessions/"+sessionID)
	}
	if found := log.records(t); len(found) != 1 || found[0].Action != "session.view" || found[0].Object != sessionID || found[0].Who != "admin" || found[0].Result != "ok" {
		t.Errorf("%+v", found)
	}
}
