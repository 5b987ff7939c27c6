package shield_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/shield"
)

// clock is a time that tests move.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newClock() *clock { return &clock{now: time.Unix(1_000_000, 0)} }

// ask sends a request from an address.
func ask(h http.Handler, from, method, target string, change ...func(*http.Request)) *http.Response {
	r := httptest.NewRequest(method, target, nil)
	r.RemoteAddr = from
	for _, f := range change {
		f(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func status(t *testing.T, answer *http.Response, want int) {
	t.Helper()
	answer.Body.Close()
	if answer.StatusCode != want {
		t.Errorf("status %d, want %d", answer.StatusCode, want)
	}
}

func answering(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
}

func newShield(c *clock, next http.Handler) http.Handler {
	return shield.New(shield.Config{
		Now: c.Now, Logger: hclog.NewNullLogger(), Visitor: func(r *http.Request) string { return r.Header.Get("Visitor") },
	}, next)
}

func TestEveryAnswerHasTheHeaders(t *testing.T) {
	for name, h := range map[string]http.Handler{
		"nothing": http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
		"error":   http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { shield.Refuse(w, http.StatusTeapot) }),
		"panic":   http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("secret") }),
		"range": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader("short")) // takes Cache-Control out where it refuses
		}),
	} {
		answer := ask(newShield(newClock(), h), "192.0.2.1:1", http.MethodGet, "/", func(r *http.Request) { r.Header.Set("Range", "bytes=99-") })
		for header, want := range map[string]string{
			"Content-Security-Policy": "frame-ancestors 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
			"Cache-Control": "no-store, private", "Permissions-Policy": "camera=()", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if !strings.Contains(answer.Header.Get(header), want) {
				t.Errorf("%s: %s is %q", name, header, answer.Header.Get(header))
			}
		}
		if policy := answer.Header.Get("Content-Security-Policy"); strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") ||
			strings.Contains(policy, "data:") || !strings.HasPrefix(policy, "default-src 'none';") {
			t.Errorf("the policy is %q", policy)
		}
		body, err := io.ReadAll(answer.Body)
		if err != nil || strings.Contains(string(body), "secret") {
			t.Errorf("%s: %q, %v", name, body, err)
		}
		if name == "panic" && answer.StatusCode != http.StatusInternalServerError {
			t.Errorf("a panic answers %d", answer.StatusCode)
		}
		answer.Body.Close()
	}
}

func TestPanicsAreLogged(t *testing.T) {
	var log bytes.Buffer
	h := shield.New(shield.Config{Visitor: func(*http.Request) string { return "" }, Logger: hclog.New(&hclog.LoggerOptions{Output: &log})},
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			panic("why")
		}))
	defer func() {
		if got := recover(); got != http.ErrAbortHandler || !strings.Contains(log.String(), "why") { //nolint:errorlint // net/http compares it so, too
			t.Errorf("an answer that had begun ended with %v, log %q", got, log.String())
		}
	}()
	ask(h, "192.0.2.1:1", http.MethodGet, "/").Body.Close()
}

func TestRequestsAreBounded(t *testing.T) {
	h := newShield(newClock(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			shield.Refuse(w, http.StatusRequestEntityTooLarge)
		}
	}))
	from := "192.0.2.1:1"
	status(t, ask(h, from, http.MethodGet, "/"), http.StatusOK)
	status(t, ask(h, from, http.MethodGet, "/?"+strings.Repeat("a", 9<<10)), http.StatusRequestURITooLong)
	body := func(n int) func(*http.Request) {
		return func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(make([]byte, n))), int64(n)
		}
	}
	status(t, ask(h, from, http.MethodPost, "/", body(1<<10)), http.StatusOK)
	status(t, ask(h, from, http.MethodPost, "/", body(17<<10)), http.StatusRequestEntityTooLarge)
	status(t, ask(h, from, http.MethodGet, "/", body(1)), http.StatusBadRequest)
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
		status(t, ask(h, from, method, "/", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }), http.StatusForbidden)
		status(t, ask(h, from, method, "/", func(r *http.Request) { r.Header.Set("Origin", "https://elsewhere.example") }), http.StatusForbidden)
		status(t, ask(h, from, method, "/", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-origin") }), http.StatusOK)
	}
}

func TestOneAddressDoesNotTakeAll(t *testing.T) {
	c := newClock()
	h := newShield(c, answering(http.StatusOK))
	last := func(from string, n int, change ...func(*http.Request)) *http.Response {
		var answer *http.Response
		for range n {
			answer = ask(h, from, http.MethodGet, "/", change...)
			answer.Body.Close()
		}
		return answer
	}
	status(t, last("[2001:db8::1]:7", 500), http.StatusOK)
	refused := last("[2001:db8::2]:9", 1) // the same network
	status(t, refused, http.StatusTooManyRequests)
	if refused.Header.Get("Retry-After") == "" {
		t.Error("does not say when to try again")
	}
	status(t, last("[2001:db8:1::1]:7", 1), http.StatusOK)
	c.add(time.Second)
	status(t, last("[2001:db8::1]:7", 50), http.StatusOK)
	status(t, last("[2001:db8::1]:7", 1), http.StatusTooManyRequests)

	as := func(who string) func(*http.Request) { return func(r *http.Request) { r.Header.Set("Visitor", who) } }
	for i := range 5 { // one visitor from several addresses
		status(t, last(fmt.Sprintf("192.0.2.%d:1", i), 50, as("ann")), http.StatusOK)
	}
	status(t, last("192.0.2.9:1", 1, as("ann")), http.StatusTooManyRequests)
	status(t, last("192.0.2.9:1", 1, as("bob")), http.StatusOK)
	for i := range 20_000 { // whoever has many addresses fills no memory and locks nobody out
		ask(h, fmt.Sprintf("10.%d.%d.1:1", i/256, i%256), http.MethodGet, "/").Body.Close()
	}
	status(t, last("198.51.100.1:1", 1), http.StatusOK)
}

func TestSignInsThatFailWait(t *testing.T) {
	c := newClock()
	code, tried := http.StatusForbidden, 0
	h := shield.NewAttempts(c.Now).Limit(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		tried++
		w.WriteHeader(code)
	}))
	from := "192.0.2.1:1"
	for range 5 {
		status(t, ask(h, from, http.MethodPost, "/login"), http.StatusForbidden)
	}
	status(t, ask(h, from, http.MethodPost, "/login"), http.StatusTooManyRequests)
	status(t, ask(h, "192.0.2.2:1", http.MethodPost, "/login"), http.StatusForbidden)
	if tried != 6 {
		t.Errorf("%d were tried", tried)
	}
	for wait := time.Second; wait < 5*time.Minute; wait *= 2 {
		c.add(wait - time.Millisecond)
		status(t, ask(h, from, http.MethodPost, "/login"), http.StatusTooManyRequests)
		c.add(time.Millisecond)
		status(t, ask(h, from, http.MethodPost, "/login"), http.StatusForbidden)
	}
	c.add(5 * time.Minute)
	code = http.StatusInternalServerError // says nothing of the token
	for range 10 {
		status(t, ask(h, from, http.MethodPost, "/login"), code)
	}
	code = http.StatusSeeOther
	status(t, ask(h, from, http.MethodPost, "/login"), code)
	code = http.StatusForbidden
	for range 5 {
		status(t, ask(h, from, http.MethodPost, "/login"), http.StatusForbidden)
	}
	status(t, ask(h, from, http.MethodPost, "/login"), http.StatusTooManyRequests)
	c.add(16 * time.Minute)
	for range 5 {
		status(t, ask(h, from, http.MethodPost, "/login"), http.StatusForbidden)
	}
}

func TestAVisitorReadsSoManyRecordingsAtOnce(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	h := shield.NewStreams(func(r *http.Request) string { return r.Header.Get("Visitor") }).Limit(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		begun <- struct{}{}
		<-release
	}))
	ann := func(r *http.Request) { r.Header.Set("Visitor", "ann") }
	var reading sync.WaitGroup
	for range 16 {
		reading.Go(func() { ask(h, "192.0.2.1:1", http.MethodGet, "/", ann).Body.Close() })
		<-begun
	}
	status(t, ask(h, "192.0.2.1:1", http.MethodGet, "/", ann), http.StatusTooManyRequests)
	reading.Go(func() { ask(h, "192.0.2.1:1", http.MethodGet, "/").Body.Close() })
	<-begun
	close(release)
	reading.Wait()
	go func() { <-begun }()
	status(t, ask(h, "192.0.2.1:1", http.MethodGet, "/", ann), http.StatusOK)
	for _, many := range []string{"bytes=0-1,3-4", "bytes=" + strings.Repeat("0", 100) + "-"} {
		status(t, ask(h, "192.0.2.1:1", http.MethodGet, "/", ann, func(r *http.Request) { r.Header.Set("Range", many) }), http.StatusRequestedRangeNotSatisfiable)
	}
}

// A browser that sends its body drop by drop is given up.
func TestSlowBodiesEnd(t *testing.T) {
	ended := make(chan error, 1)
	server := httptest.NewServer(shield.New(shield.Config{
		Visitor: func(*http.Request) string { return "" }, BodyTime: 200 * time.Millisecond, Logger: hclog.NewNullLogger(),
	},
		http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			_, err := io.ReadAll(r.Body)
			ended <- err
		})))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\na"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the body came to an end")
		}
	case <-time.After(30 * time.Second):
		t.Fatal("waits for ever")
	}
}
