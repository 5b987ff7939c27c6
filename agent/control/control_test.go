package control

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sitting is an agent that does nothing.
type sitting struct {
	stopped chan string
	done    chan struct{}
}

func (s *sitting) Status() Status { return Status{State: StateRecording, SessionID: "s1"} }

func (s *sitting) Stop(reason string, _ time.Duration) <-chan struct{} {
	s.stopped <- reason
	return s.done
}

func serve(t *testing.T, dir string) *sitting {
	t.Helper()
	s, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	a := &sitting{stopped: make(chan string, 8), done: make(chan struct{})}
	ctx, stop := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- s.Serve(ctx, a) }()
	t.Cleanup(func() {
		stop()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
	return a
}

func TestAsksAndStopsThroughALongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 40))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Query(t.Context(), dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("nobody there: %v", err)
	}
	a := serve(t, dir)
	if st, err := os.Stat(filepath.Join(dir, socketName)); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("socket %v, %v", st, err)
	}
	if st, err := Query(t.Context(), dir); err != nil || st.SessionID != "s1" {
		t.Errorf("status %+v, %v", st, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Stop(ctx, dir, "why", time.Second); !errors.Is(err, context.DeadlineExceeded) || <-a.stopped != "why" {
		t.Errorf("stop that takes too long: %v", err)
	}
	close(a.done)
	if st, err := Stop(t.Context(), dir, "", 0); err != nil || st.State != StateRecording {
		t.Errorf("stop: %+v, %v", st, err)
	}
}

func TestSocketOfADeadProcessIsNobody(t *testing.T) {
	dir := t.TempDir()
	s, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Query(t.Context(), dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("dead socket: %v", err)
	}
	serve(t, dir)
	if _, err := Query(t.Context(), dir); err != nil {
		t.Error(err)
	}
}

func TestNonsenseEndsOnlyItsConnection(t *testing.T) {
	dir := t.TempDir()
	serve(t, dir)
	for _, s := range []string{"", "\n", "{}\n", "null\n", "{\"command\":\"status\"", strings.Repeat("x", maxLine+1)} {
		c, err := net.Dial("unix", filepath.Join(dir, socketName))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte(s))
		_ = c.Close()
	}
	if _, err := ask(t.Context(), dir, request{Command: "dance"}); err == nil {
		t.Error("an unknown command was obeyed")
	}
	if _, err := Query(t.Context(), dir); err != nil {
		t.Error(err)
	}
}

// deadlocked is an agent whose parts wait for one another.
type deadlocked struct {
	sitting
	locked chan struct{}
}

func (d *deadlocked) Status() Status {
	<-d.locked
	return Status{}
}

func TestWatcherHearsWhetherTheAgentIsWell(t *testing.T) {
	dir := t.TempDir()
	if _, err := Watch(t.Context(), dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("nobody there: %v", err)
	}
	s, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	a := &deadlocked{locked: make(chan struct{})}
	ctx, stop := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- s.Serve(ctx, a) }()
	w, err := Watch(t.Context(), dir)
	if err != nil || w.PID() != os.Getpid() {
		t.Fatalf("%+v, %v", w, err)
	}
	for range 3 {
		if well, err := w.Next(); well || err != nil {
			t.Errorf("of a deadlocked agent: %t, %v", well, err)
		}
	}
	close(a.locked)
	for well := false; !well; {
		if well, err = w.Next(); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	for err = nil; err == nil; {
		_, err = w.Next()
	}
	if err := errors.Join(w.Close(), <-over); err != nil {
		t.Error(err)
	}
}
