package web

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
)

// explain fills the form of a session's page in and returns the answer with its body.
func explain(t *testing.T, base string, browser *http.Client, form url.Values) (*http.Response, string) {
	t.Helper()
	answer, err := browser.PostForm(base+"/sessions/"+sessionID+"/reason", form)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(body)
}

func bookOf(t *testing.T, text string) *access.Book {
	t.Helper()
	b, err := access.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Nothing is played or downloaded before the visitor said why, and the audit has what it said.
func TestNothingIsServedWithoutAReason(t *testing.T) {
	var book atomic.Pointer[access.Book]
	// The session goes on: the one right does not stand for the other.
	book.Store(bookOf(t, "reasons: {required: [view-live, download]}"))
	base, browser, log := siteUnder(t, book.Load)
	signIn(t, base, browser, token)
	home, video1, download := base+"/sessions/"+sessionID, base+"/sessions/"+sessionID+"/video/1", base+"/sessions/"+sessionID+"/download/1"
	for _, path := range []string{video1, download} {
		for _, header := range [][]string{nil, {"Range", "bytes=10-19"}} {
			answer, body := get(t, browser, path, header...)
			if answer.StatusCode != http.StatusForbidden || body != "a reason is needed first; give it on the session's page\n" ||
				!strings.HasPrefix(answer.Header.Get("Content-Type"), "text/plain") || answer.Header.Get("Content-Security-Policy") == "" {
				t.Errorf("%s without a reason: %d, %.100q, %v", path, answer.StatusCode, body, answer.Header)
			}
		}
	}
	if _, body := get(t, browser, home); !strings.Contains(body, `action="/sessions/abc/reason"`) || strings.Contains(body, "/video/1") || strings.Contains(body, "/download/1") || strings.Contains(body, "<video") {
		t.Errorf("session page without a reason:\n%s", body)
	}
	for text, want := range map[string]string{
		"": "reason: is missing", " \u00a0": "reason: is missing", "a\x00": "reason: holds control characters", "\xff": "reason: is not UTF-8",
		strings.Repeat("a", 513): "reason: is 513 bytes long, at most 512",
	} {
		if answer, body := explain(t, base, browser, url.Values{"reason": {text}}); answer.StatusCode != http.StatusBadRequest || !strings.Contains(body, want) {
			t.Errorf("%.20q: %d %s", text, answer.StatusCode, body)
		}
	}
	if answer, body := explain(t, base, browser, url.Values{"reason": {"a", "b"}}); answer.StatusCode != http.StatusBadRequest || !strings.Contains(body, "more than once") {
		t.Errorf("two reasons: %d %s", answer.StatusCode, body)
	}
	if answer, _ := get(t, browser, video1+"?reason=x"); answer.StatusCode != http.StatusForbidden {
		t.Errorf("a reason in the URL counts: %d", answer.StatusCode)
	}
	if found := log.records(t); len(found) != 1 || found[0].Action != sessionLook {
		t.Fatalf("%+v", found)
	}

	answer, body := explain(t, base, browser, url.Values{"reason": {"case 7 " + hostile}})
	if answer.StatusCode != http.StatusOK || answer.Request.URL.Path != "/sessions/abc" || strings.Contains(body, "<script>alert") || strings.Contains(body, `"' onload`) ||
		!strings.Contains(body, "case 7") || !strings.Contains(body, "/video/1") || !strings.Contains(body, "/download/1") {
		t.Errorf("after the reason: %d at %s\n%s", answer.StatusCode, answer.Request.URL, body)
	}
	for _, path := range []string{video1, download} {
		if answer, body := get(t, browser, path); answer.StatusCode != http.StatusOK || body != string(video) {
			t.Errorf("%s with a reason: %d, %d bytes", path, answer.StatusCode, len(body))
		}
	}
	explain(t, base, browser, url.Values{"reason": {"case 8"}})
	get(t, browser, video1)
	found := slices.DeleteFunc(log.records(t), func(r catalog.AuditRecord) bool { return r.Action == sessionLook })
	if len(found) != 3 || found[0].Reason != "case 7 "+hostile || found[1].Reason != found[0].Reason || found[2].Reason != "case 8" ||
		found[0].Action != recordingPlay || found[1].Action != recordingDownload || found[2].Action != recordingPlay {
		t.Errorf("%+v", found)
	}

	// A visit that begins anew has no reasons yet, and the file holds as it is at the time.
	signIn(t, base, browser, token)
	for text, want := range map[string][2]int{
		"reasons: {required: [view]}":      {http.StatusOK, http.StatusOK},
		"reasons: {required: [download]}":  {http.StatusOK, http.StatusForbidden},
		"reasons: {required: [view-live]}": {http.StatusForbidden, http.StatusOK},
	} {
		book.Store(bookOf(t, text))
		for i, path := range []string{video1, download} {
			if answer, _ := get(t, browser, path); answer.StatusCode != want[i] {
				t.Errorf("%s: %s is %d", text, path, answer.StatusCode)
			}
		}
	}
}

// A reason holds for its session and its visit, for a while; a visit has so many.
func TestReasonsEnd(t *testing.T) {
	now := time.Now()
	v := newVisitors(func() time.Time { return now })
	visiting := func() *http.Request {
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
		v.admit(w, access.Principal{})
		r.AddCookie(w.Result().Cookies()[0])
		return r
	}
	one, other := visiting(), visiting()
	v.explain(one, "a", "case 7")
	if v.reason(one, "a") != "case 7" || v.reason(one, "b") != "" || v.reason(other, "a") != "" || v.reason(httptest.NewRequest(http.MethodGet, "/", nil), "a") != "" {
		t.Error("a reason holds for another session or visit, or not for its own")
	}
	now = now.Add(reasonLife - time.Second)
	if v.reason(one, "a") != "case 7" {
		t.Error("a reason ended early")
	}
	now = now.Add(time.Second)
	if v.reason(one, "a") != "" {
		t.Error("a reason holds for too long")
	}
	for i := range mostReasons + 5 {
		now = now.Add(time.Millisecond)
		v.explain(other, fmt.Sprint(i), "x")
	}
	if v.reason(other, "4") != "" || v.reason(other, "5") != "x" || v.reason(other, fmt.Sprint(mostReasons+4)) != "x" {
		t.Error("not the oldest reasons were forgotten")
	}
}
