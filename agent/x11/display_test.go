package x11_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recfleet/recfleet/agent/x11"
	"github.com/recfleet/recfleet/test/desktop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bound is how long any condition may take on a busy machine.
const bound = 20 * time.Second

func open(t *testing.T, s *desktop.Server, opts x11.Options) *x11.Display {
	t.Helper()
	d, err := x11.Open(s.Display(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// watch is a Watch under way and everything that it reported.
type watch struct {
	stop context.CancelFunc
	done chan struct{}
	err  error

	mu   sync.Mutex
	seen []x11.Geometry
}

func startWatch(t *testing.T, d *x11.Display, slow time.Duration) *watch {
	ctx, cancel := context.WithCancel(t.Context())
	w := &watch{stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(w.done)
		w.err = d.Watch(ctx, func(g x11.Geometry) {
			w.mu.Lock()
			w.seen = append(w.seen, g)
			w.mu.Unlock()
			time.Sleep(slow) // Stands for a capture that takes its time to follow.
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-w.done
	})
	return w
}

func (w *watch) reports() []x11.Geometry {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.seen)
}

// waitLast waits until the last report has that size.
func (w *watch) waitLast(t *testing.T, width, height int) x11.Geometry {
	t.Helper()
	deadline := time.Now().Add(bound)
	for {
		seen := w.reports()
		if n := len(seen); n > 0 && seen[n-1].Width == width && seen[n-1].Height == height {
			return seen[n-1]
		}
		if time.Now().After(deadline) {
			t.Fatalf("never told of %dx%d: %v", width, height, seen)
		}
		time.Sleep(time.Millisecond)
	}
}

func resize(t *testing.T, s *desktop.Server, width, height int) {
	t.Helper()
	if err := s.Resize(width, height); err != nil {
		t.Fatal(err)
	}
}

func TestWatchFollowsResize(t *testing.T) {
	s := desktop.Start(t, 1280, 720)
	// Long enough for all steps of one change on a busy machine.
	d := open(t, s, x11.Options{Settle: 250 * time.Millisecond})
	w := startWatch(t, d, 0)
	w.waitLast(t, 1280, 720)
	for i, size := range [][2]int{{1920, 1080}, {800, 600}, {1365, 767}, {1281, 721}} {
		resize(t, s, size[0], size[1])
		told := w.waitLast(t, size[0], size[1])
		asked, err := d.Geometry()
		if err != nil || asked.Width != size[0] || asked.Height != size[1] {
			t.Errorf("asked for %v: %+v, %v", size, asked, err)
		}
		want := []x11.Monitor{{Name: "VNC-0", Width: size[0], Height: size[1], Primary: asked.Monitors[0].Primary}}
		if !slices.Equal(asked.Monitors, want) {
			t.Errorf("monitors of %v are %+v", size, asked.Monitors)
		}
		if !told.Equal(asked) {
			t.Errorf("told %+v, asked %+v", told, asked)
		}
		if n := len(w.reports()); n != i+2 {
			t.Errorf("%d reports after %d changes: %+v", n, i+1, w.reports())
		}
	}
	w.stop()
	<-w.done
	if w.err != nil {
		t.Errorf("watch ended with %v", w.err)
	}
}

func TestWatchReportsLastOfABurst(t *testing.T) {
	for name, slow := range map[string]time.Duration{"quick": 0, "slow": 400 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			s := desktop.Start(t, 1280, 720)
			w := startWatch(t, open(t, s, x11.Options{}), slow)
			w.waitLast(t, 1280, 720)
			begin := time.Now()
			for i := range 10 {
				resize(t, s, 1300+i*7%5, 701+i)
			}
			took := time.Since(begin)
			w.waitLast(t, 1300+9*7%5, 710)
			if n := len(w.reports()); n > 11 {
				t.Errorf("%d reports for 10 changes", n)
			}
			t.Logf("10 changes in %s gave %d reports", took, len(w.reports())-1)
		})
	}
}

func TestWatchReportsWhatChangedBeforeIt(t *testing.T) {
	s := desktop.Start(t, 1280, 720)
	d := open(t, s, x11.Options{})
	resize(t, s, 1024, 768)
	for range 2 { // A watch may follow another.
		w := startWatch(t, d, 0)
		w.waitLast(t, 1024, 768)
		w.stop()
		<-w.done
		if w.err != nil {
			t.Fatal(w.err)
		}
	}
	resize(t, s, 641, 481)
	startWatch(t, d, 0).waitLast(t, 641, 481)
}

func TestWatchReportsVirtualMonitors(t *testing.T) {
	s := desktop.Start(t, 1280, 720)
	w := startWatch(t, open(t, s, x11.Options{}), 0)
	w.waitLast(t, 1280, 720)
	if err := s.SetMonitor("right", 640, 0, 640, 720); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(bound)
	for {
		seen := w.reports()
		for _, m := range seen[len(seen)-1].Monitors {
			if m.Name == "right" && m.X == 640 && m.Width == 640 && m.Height == 720 {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("never told of the monitor: %+v", seen)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestKilledServerIsLost(t *testing.T) {
	s := desktop.Start(t, 640, 480)
	d := open(t, s, x11.Options{})
	w := startWatch(t, d, 0)
	w.waitLast(t, 640, 480)
	s.Kill()
	<-w.done
	if !errors.Is(w.err, x11.ErrLost) {
		t.Errorf("watch ended with %v", w.err)
	}
	if _, err := d.Geometry(); !errors.Is(err, x11.ErrLost) {
		t.Errorf("geometry of a killed server: %v", err)
	}
}

func TestSocketOfCrashedServerIsNoDisplay(t *testing.T) {
	desktop.Start(t, 640, 480) // Makes the directory if need be.
	const path = "/tmp/.X11-unix/X61234"
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(path)
	listener.SetUnlinkOnClose(false)
	listener.Close()
	if _, err := x11.Open(":61234", x11.Options{}); !errors.Is(err, x11.ErrNoDisplay) {
		t.Errorf("open: %v", err)
	}
}

func TestClosedDisplayIsLost(t *testing.T) {
	s := desktop.Start(t, 640, 480)
	d := open(t, s, x11.Options{})
	w := startWatch(t, d, 0)
	w.waitLast(t, 640, 480)
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	<-w.done
	if !errors.Is(w.err, x11.ErrLost) {
		t.Errorf("watch ended with %v", w.err)
	}
}

func TestHungServer(t *testing.T) {
	s := desktop.Start(t, 640, 480)
	d := open(t, s, x11.Options{Timeout: 100 * time.Millisecond})
	w := startWatch(t, d, 0)
	w.waitLast(t, 640, 480)
	s.Pause()
	for range 3 {
		if _, err := d.Geometry(); !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, x11.ErrLost) {
			t.Errorf("geometry of a hung server: %v", err)
		}
	}
	if _, err := x11.Open(s.Display(), x11.Options{Timeout: 50 * time.Millisecond}); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("open a hung server: %v", err)
	}
	w.stop()
	<-w.done
	if w.err != nil {
		t.Errorf("watch of a hung server ended with %v", w.err)
	}
	s.Continue()
	resize(t, s, 800, 600)
	// The answers that were given up come now, and are not taken for later ones.
	deadline := time.Now().Add(bound)
	for {
		g, err := d.Geometry()
		if err == nil && g.Width == 800 && g.Height == 600 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("geometry after the server woke: %+v, %v", g, err)
		}
	}
	startWatch(t, d, 0).waitLast(t, 800, 600)
}

func TestLockedDisplay(t *testing.T) {
	s := desktop.StartConfig(t, desktop.Config{Width: 640, Height: 480, Locked: true})
	if _, err := x11.Open(s.Display(), x11.Options{}); !errors.Is(err, x11.ErrRefused) {
		t.Errorf("without cookie: %v", err)
	}
	file, err := os.ReadFile(s.Authority())
	if err != nil {
		t.Fatal(err)
	}
	file[len(file)-1] ^= 1
	wrong := filepath.Join(t.TempDir(), "wrong")
	if err := os.WriteFile(wrong, file, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := x11.Open(s.Display(), x11.Options{Authority: wrong}); !errors.Is(err, x11.ErrRefused) {
		t.Errorf("with a wrong cookie: %v", err)
	}
	file[len(file)-1] ^= 1
	// A wrong one before the right one does not matter.
	stale := slices.Clone(file)
	stale[len(stale)-1] ^= 1
	if err := os.WriteFile(wrong, append(stale, file...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{s.Authority(), wrong} {
		d := open(t, s, x11.Options{Authority: path})
		if g, err := d.Geometry(); err != nil || g.Width != 640 {
			t.Errorf("with the cookie: %+v, %v", g, err)
		}
	}
	if _, err := x11.Open(s.Display(), x11.Options{Authority: wrong + "-not-there"}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without the file: %v", err)
	}
}

func TestNoSuchDisplay(t *testing.T) {
	for _, name := range []string{":60123", "", "1", ":", ":x", ":-1", ":01", "far:1", ":1.1", ":99999999"} {
		d, err := x11.Open(name, x11.Options{})
		if err == nil {
			d.Close()
		}
		if !errors.Is(err, x11.ErrNoDisplay) {
			t.Errorf("open %q: %v", name, err)
		}
	}
}

func TestSockets(t *testing.T) {
	a, b := desktop.Start(t, 640, 480), desktop.Start(t, 640, 480)
	names, err := x11.Sockets()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(names, a.Display()) || !slices.Contains(names, b.Display()) {
		t.Errorf("%s and %s run, found %v", a.Display(), b.Display(), names)
	}
}
