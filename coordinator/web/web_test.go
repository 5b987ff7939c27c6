package web

import (
	"bytes"
	"crypto/sha256"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/refusals"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/identity"
	"github.com/recfleet/recfleet/internal/object"
)

const (
	sessionID = "abc"
	token     = "the-token"
	hostile   = `<script>alert(1)</script>"' onload=x`
)

var video = bytes.Repeat([]byte("0123456789"), 1000)

// site serves the page over a real catalog and a real directory, with one session of one archived segment and one sealed.
func site(t *testing.T) (base string, browser *http.Client) {
	t.Helper()
	base, browser, _ = auditedSite(t)
	return base, browser
}

// auditedSite is site with its audit log, which can be made to fail.
func auditedSite(t *testing.T) (base string, browser *http.Client, log *tearable) {
	t.Helper()
	return siteUnder(t, func() *access.Book { return nil })
}

// siteUnder is auditedSite with an access file.
func siteUnder(t *testing.T, book func() *access.Book) (base string, browser *http.Client, log *tearable) {
	t.Helper()
	c, err := catalog.Open(t.Context(), t.TempDir()+"/catalog.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	location, err := object.ParseLocation("file://" + t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	store, err := object.Open(t.Context(), location, object.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })

	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	if _, _, err := c.CreateSession(t.Context(), catalog.Session{
		ID: sessionID, RequestID: "r", State: catalog.SessionStarting, User: hostile, Instance: "i-1", Start: start, Created: start,
		Metadata: map[string]string{"title": hostile}, LastSegment: catalog.Unknown,
	}); err != nil {
		t.Fatal(err)
	}
	if err := c.MarkRecording(t.Context(), sessionID); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 2; n++ {
		if err := c.AddSegment(t.Context(), catalog.Segment{Session: sessionID, SealedBy: catalog.PartyAgent, Seal: catalog.Seal{
			Segment: n, Epoch: 1, Start: start.Add(time.Duration(n-1) * time.Minute), End: start.Add(time.Duration(n) * time.Minute),
			Width: 641, Height: 480, Frames: 300, Chunks: 1, Bytes: 10,
		}}, start); err != nil {
			t.Fatal(err)
		}
	}
	leased, err := c.LeaseJobs(t.Context(), "e1", 1, start, start.Add(time.Hour))
	if err != nil || len(leased) != 1 {
		t.Fatalf("leased %d jobs, %v", len(leased), err)
	}
	if _, err := store.Put(t.Context(), "x/video-000001.mp4", bytes.NewReader(video), object.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.CompleteJob(t.Context(), catalog.JobID(sessionID, 1), leased[0].Job.Generation, catalog.Recording{
		ObjectKey: "x/video-000001.mp4", Bytes: int64(len(video)), SHA256: chunk.Hash(sha256.Sum256(video)),
		Width: 642, Height: 480, Frames: 300, EncoderID: "e1", Thumbnails: catalog.Thumbnails{
			Sprite: put(t, store, "x/thumbnails-000001.jpg", sprite), Index: put(t, store, "x/thumbnails-000001.vtt", index),
		},
	}); err != nil {
		t.Fatal(err)
	}

	log = &tearable{Catalog: c, store: store}
	control := access.New(c, access.Local(identity.Tokens{Admin: token}))
	control.DemandReasons(book)
	control.Report(refusals.New(log, time.Now, hclog.NewNullLogger()))
	handler, err := New(Config{
		Sessions: c, Objects: store, Access: control, Audit: log, Logger: hclog.NewNullLogger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	browser = server.Client()
	if browser.Jar, err = cookiejar.New(nil); err != nil {
		t.Fatal(err)
	}
	return server.URL, browser, log
}

const sprite, index = "a picture", "WEBVTT\n"

func put(t *testing.T, store object.Store, key, content string) catalog.Object {
	t.Helper()
	if _, err := store.Put(t.Context(), key, strings.NewReader(content), object.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	return catalog.Object{Key: key, Bytes: int64(len(content)), SHA256: chunk.Sum([]byte(content))}
}

// get returns the answer, its body read and closed.
func get(t *testing.T, browser *http.Client, url string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
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
	return answer, string(body)
}

func signIn(t *testing.T, base string, browser *http.Client, token string) *http.Response {
	t.Helper()
	answer, err := browser.PostForm(base+"/login", url.Values{"token": {token}})
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	return answer
}

func TestNothingIsShownWithoutTheToken(t *testing.T) {
	base, browser := site(t)
	browser.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, path := range []string{"/", "/sessions/" + sessionID, "/sessions/" + sessionID + "/video/1", "/sessions/none", "/nowhere"} {
		answer, body := get(t, browser, base+path)
		if answer.StatusCode != http.StatusSeeOther || strings.Contains(body, sessionID) {
			t.Errorf("%s: %d %q", path, answer.StatusCode, body)
		}
	}
	if answer := signIn(t, base, browser, "guess"); answer.StatusCode != http.StatusForbidden || len(answer.Cookies()) != 0 {
		t.Errorf("a wrong token: %d, cookies %v", answer.StatusCode, answer.Cookies())
	}
	if answer, _ := get(t, browser, base+"/", "Cookie", cookieName+"=guess"); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("a guessed cookie: %d", answer.StatusCode)
	}
}

func TestASessionIsFoundAndWatched(t *testing.T) {
	base, browser := site(t)
	if answer := signIn(t, base, browser, token); answer.Request.URL.Path != "/" {
		t.Fatalf("after the sign-in at %s", answer.Request.URL)
	}
	if _, body := get(t, browser, base+"/"); !strings.Contains(body, "/sessions/"+sessionID) || !strings.Contains(body, "1 of 2") {
		t.Errorf("list:\n%s", body)
	}
	if _, body := get(t, browser, base+"/?user=nobody"); strings.Contains(body, "/sessions/"+sessionID) {
		t.Error("a filter that matches nothing found the session")
	}
	_, body := get(t, browser, base+"/sessions/"+sessionID)
	for _, want := range []string{"/sessions/abc/video/1", "641×480", "2026-03-01 12:01:00 UTC", `class="sealed"`} {
		if !strings.Contains(body, want) {
			t.Errorf("session page lacks %q", want)
		}
	}
	answer, body := get(t, browser, base+"/sessions/abc/video/1")
	if answer.StatusCode != http.StatusOK || body != string(video) || answer.Header.Get("Content-Type") != "video/mp4" {
		t.Errorf("video: %d, %d bytes, %v", answer.StatusCode, len(body), answer.Header)
	}
	answer, body = get(t, browser, base+"/sessions/abc/video/1", "Range", "bytes=15-24")
	if answer.StatusCode != http.StatusPartialContent || body != "5678901234" {
		t.Errorf("range: %d %q", answer.StatusCode, body)
	}
	for _, path := range []string{"/sessions/abc/video/2", "/sessions/abc/video/x", "/sessions/ABC", "/sessions/none", "/?page=%00"} {
		if answer, _ := get(t, browser, base+path); answer.StatusCode/100 != 4 {
			t.Errorf("%s: %d", path, answer.StatusCode)
		}
	}
	left, err := browser.PostForm(base+"/logout", nil)
	if err != nil {
		t.Fatal(err)
	}
	left.Body.Close()
	if answer, _ := get(t, browser, base+"/"); answer.Request.URL.Path != "/login" {
		t.Error("still signed in after signing out")
	}
}

func TestNamesAreTextAndThePageTrustsOnlyItself(t *testing.T) {
	base, browser := site(t)
	signIn(t, base, browser, token)
	for _, path := range []string{"/", "/sessions/" + sessionID, "/?user=" + url.QueryEscape(hostile)} {
		answer, body := get(t, browser, base+path)
		if strings.Contains(body, "<script>alert") || strings.Contains(body, `"' onload`) {
			t.Errorf("%s shows a name as markup", path)
		}
		for name, want := range map[string]string{"Content-Security-Policy": "default-src 'none'", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
			if !strings.Contains(answer.Header.Get(name), want) {
				t.Errorf("%s: %s is %q", path, name, answer.Header.Get(name))
			}
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/logout", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	answer, err := browser.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusForbidden {
		t.Errorf("a form on another site was obeyed: %d", answer.StatusCode)
	}
}

func TestAVisitEnds(t *testing.T) {
	now := time.Unix(0, 0)
	v := newVisitors(func() time.Time { return now })
	enter := func() *http.Request {
		w := httptest.NewRecorder()
		v.admit(w, access.Principal{})
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.AddCookie(w.Result().Cookies()[0])
		return r
	}
	first := enter()
	if !known(v, first) {
		t.Fatal("a visitor is not known at once")
	}
	for range mostVisits {
		now = now.Add(time.Second)
		enter()
	}
	if known(v, first) || len(v.visits) > mostVisits {
		t.Errorf("%d visits are kept, the oldest among them", len(v.visits))
	}
	last := enter()
	now = now.Add(visitLife)
	if known(v, last) {
		t.Error("a visit never ends")
	}
}

func known(v *visitors, r *http.Request) bool {
	_, err := v.visitor(r)
	return err == nil
}
