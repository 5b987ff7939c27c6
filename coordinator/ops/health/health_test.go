package health

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// part is a dependency that can be taken away, or that hangs.
type part struct {
	down, hangs atomic.Bool
	free        chan struct{}
}

func (p *part) probe(ctx context.Context) error {
	if p.hangs.Load() {
		select {
		case <-p.free:
		case <-ctx.Done():
			<-p.free // a probe that knows no bound
		}
	}
	if p.down.Load() {
		return errors.New("it is\ngone")
	}
	return nil
}

func running(t *testing.T, cfg Config) (h *Health, stop func()) {
	t.Helper()
	cfg.Logger = hclog.NewNullLogger()
	h = New(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- h.Run(ctx) }()
	return h, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func get(t *testing.T, h http.Handler, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestReadinessFollowsTheParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &part{free: make(chan struct{})}, &part{free: make(chan struct{})}
		var serving atomic.Bool
		h, stop := running(t, Config{
			Checks: []Check{{"a", a.probe, 5 * time.Second, time.Second}, {"b", b.probe, 5 * time.Second, time.Second}},
			Notes:  func() string { return "a note" }, Serving: serving.Store,
		})
		open, closed := h.Handler(true, http.NotFoundHandler()), h.Handler(false, http.NotFoundHandler())
		want := func(ready bool, public, detailed string) {
			t.Helper()
			status := http.StatusOK
			if !ready {
				status = http.StatusServiceUnavailable
			}
			if code, body := get(t, closed, "/readyz"); code != status || body != public+"\n" {
				t.Errorf("%d %q", code, body)
			}
			if code, body := get(t, open, "/readyz"); code != status || body != detailed+"\n" {
				t.Errorf("%d %q", code, body)
			}
			if serving.Load() != ready {
				t.Errorf("serving is %v", serving.Load())
			}
		}
		synctest.Wait()
		want(true, "ready", "ready; a note")
		a.down.Store(true)
		time.Sleep(5*time.Second + 1)
		want(false, "not ready: a", "not ready: a (it is gone); a note")
		b.hangs.Store(true)
		time.Sleep(5 * time.Second)
		want(false, "not ready: a", "not ready: a (it is gone); a note")
		a.down.Store(false)
		time.Sleep(7 * time.Second) // b was last well 12 s ago
		want(false, "not ready: b", "not ready: b (the check has not come back for 12s); a note")
		close(b.free)
		time.Sleep(6 * time.Second)
		want(true, "ready", "ready; a note")
		stop()
		want(false, "not ready: coordinator", "not ready: coordinator (stopping); a note")
	})
}

func TestNothingIsReadyBeforeItIsChecked(t *testing.T) {
	h := New(Config{Checks: []Check{{"a", nil, time.Second, time.Second}}, Serving: func(bool) {}})
	if line, ready := h.Line(true); ready || line != "not ready: a (not checked yet)" {
		t.Error(line, ready)
	}
}

func TestALoopThatStandsStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var turned atomic.Pointer[time.Time]
		turned.Store(&time.Time{})
		h, stop := running(t, Config{
			Loops: []Loop{{"watch", func() time.Time { return *turned.Load() }, time.Minute}}, Serving: func(bool) {},
		})
		handler := h.Handler(false, http.NotFoundHandler())
		time.Sleep(2 * time.Minute)
		if code, body := get(t, handler, "/healthz"); code != http.StatusOK || body != "alive\n" {
			t.Error(code, body)
		}
		now := time.Now()
		turned.Store(&now)
		time.Sleep(time.Minute + time.Second)
		if code, body := get(t, handler, "/healthz"); code != http.StatusServiceUnavailable || body != "watch has not turned for 1m1s\n" {
			t.Error(code, body)
		}
		now = time.Now()
		turned.Store(&now)
		stop()
		time.Sleep(31 * time.Second)
		if code, body := get(t, handler, "/healthz"); code != http.StatusServiceUnavailable || !strings.HasPrefix(body, "health has not turned") {
			t.Error(code, body)
		}
		if code, _ := get(t, handler, "/other"); code != http.StatusNotFound {
			t.Error(code)
		}
	})
}
