package web

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

// Thumbnails are served as what they are, once it is written down who sees them, and not otherwise.
func TestThumbnailsAreServedThroughTheSameDoor(t *testing.T) {
	base, browser, log := auditedSite(t)
	signIn(t, base, browser, token)
	of := base + "/sessions/" + sessionID
	log.torn.Store(true)
	for _, what := range []string{"/sprite/1", "/thumbnails/1"} {
		if answer, body := get(t, browser, of+what); answer.StatusCode != http.StatusServiceUnavailable || body == sprite || body == index {
			t.Errorf("%s was served without a record: %d", what, answer.StatusCode)
		}
	}
	log.torn.Store(false)
	for range 2 {
		for what, want := range map[string][2]string{"/sprite/1": {"image/jpeg", sprite}, "/thumbnails/1": {"text/vtt; charset=utf-8", index}} {
			answer, body := get(t, browser, of+what)
			if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != want[0] || body != want[1] || answer.Header.Get("Cache-Control") != "no-store, private" {
				t.Errorf("%s: %d %v %q", what, answer.StatusCode, answer.Header, body)
			}
		}
	}
	log.enlarge(t, 10) // without thumbnails
	for _, what := range []string{"/sprite/2", "/thumbnails/2", "/sprite/3", "/thumbnails/x"} {
		if answer, _ := get(t, browser, of+what); answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", what, answer.StatusCode)
		}
	}
	found := log.records(t)
	if len(found) != 1 || found[0].Action != "recording.preview" || found[0].Object != sessionID || found[0].Span.End != 60_000 {
		t.Errorf("%+v", found)
	}
}

// The audit of a session has what was done with it and its segments, as text, and nothing of others.
func TestTheAuditOfASessionIsShown(t *testing.T) {
	base, browser, log := auditedSite(t)
	signIn(t, base, browser, token)
	for n, r := range []catalog.AuditRecord{
		{Who: hostile, Auth: "oidc", Action: "recording.download", Object: sessionID + ".1", Reason: hostile, Result: "ok", From: "192.0.2.7"},
		{Who: "mallory", Action: "GET /sessions/{id}", Object: sessionID, Result: "refused", Times: 17},
		{Who: "stranger", Action: "session.view", Object: "other", Result: "ok"},
	} {
		r.Time = time.Date(2026, 3, 1, 12, n, 0, 0, time.UTC)
		if _, err := log.AppendAudit(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if _, body := get(t, browser, base+"/sessions/"+sessionID); !strings.Contains(body, `href="/sessions/abc/audit"`) {
		t.Error("the session's page does not lead to its audit")
	}
	answer, body := get(t, browser, base+"/sessions/"+sessionID+"/audit")
	for _, want := range []string{"192.0.2.7", "downloaded, segment 1", "mallory", "17 times", "refused", "looked at the session", "2026-03-01 12:00:00 UTC"} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if answer.StatusCode != http.StatusOK || strings.Contains(body, "<script>alert") || strings.Contains(body, `"' onload`) || strings.Contains(body, "stranger") {
		t.Errorf("%d\n%s", answer.StatusCode, body)
	}
	for query, want := range map[string]int{"?page=x": http.StatusBadRequest, "?page=%00": http.StatusBadRequest, "?page=a&page=b": http.StatusBadRequest} {
		if answer, _ := get(t, browser, base+"/sessions/"+sessionID+"/audit"+query); answer.StatusCode != want {
			t.Errorf("%s: %d", query, answer.StatusCode)
		}
	}
}
