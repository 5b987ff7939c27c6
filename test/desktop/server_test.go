package desktop

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestResize(t *testing.T) {
	s := Start(t, 1280, 720)
	for _, size := range [][2]int{{1920, 1080}, {800, 600}, {1365, 767}, {1281, 721}, {1365, 767}, {1280, 720}, {3841, 2161}} {
		t.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(t *testing.T) {
			if err := s.Resize(size[0], size[1]); err != nil {
				t.Fatal(err)
			}
			width, height, err := s.Size()
			if err != nil || width != size[0] || height != size[1] {
				t.Fatalf("size is %dx%d, %v", width, height, err)
			}
		})
	}
}

func TestTwoServersHaveTwoDisplays(t *testing.T) {
	a, b := Start(t, 640, 480), Start(t, 800, 600)
	if a.Display() == b.Display() {
		t.Fatalf("both are on %s", a.Display())
	}
	if width, _, err := a.Size(); err != nil || width != 640 {
		t.Errorf("first is %d wide, %v", width, err)
	}
	if width, _, err := b.Size(); err != nil || width != 800 {
		t.Errorf("second is %d wide, %v", width, err)
	}
}

func TestStopRemovesProcessAndFiles(t *testing.T) {
	s, err := Launch(t.Context(), Config{Width: 640, Height: 480})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Stop(), s.Stop()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{s.dir, fmt.Sprintf("/proc/%d", s.Pid())} {
		if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
}

func TestLaunchReportsFailure(t *testing.T) {
	if s, err := Launch(t.Context(), Config{Width: 640}); err == nil {
		s.Stop()
		t.Error("a screen without height was launched")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := Launch(ctx, Config{Width: 640, Height: 480}); err == nil {
		s.Stop()
		t.Error("a canceled launch succeeded")
	}
	t.Setenv("PATH", t.TempDir())
	if s, err := Launch(t.Context(), Config{Width: 640, Height: 480}); err == nil {
		s.Stop()
		t.Error("a server that is not installed was launched")
	}
}

func TestLockedServerLetsInWithCookieOnly(t *testing.T) {
	s := StartConfig(t, Config{Width: 640, Height: 480, Locked: true})
	if err := s.Resize(801, 601); err != nil {
		t.Fatalf("with cookie: %v", err)
	}
	c, err := NewCounter(s)
	if err != nil {
		t.Fatalf("with cookie: %v", err)
	}
	if shown, err := c.Step(); err != nil || shown.Width != 801 {
		t.Errorf("with cookie: %+v, %v", shown, err)
	}
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	stranger := &Server{display: s.display}
	if c, err := NewCounter(stranger); err == nil {
		c.Stop()
		t.Error("let in without cookie")
	}
}

func TestPausedServerHoldsCounter(t *testing.T) {
	s := Start(t, 640, 480)
	c, err := StartCounter(s, 10*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	waitLedger(t, c, 3)
	s.Pause()
	time.Sleep(300 * time.Millisecond)
	s.Continue()
	waitLedger(t, c, len(c.Ledger())+3)
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	longest := time.Duration(0)
	for _, shown := range c.Ledger() {
		longest = max(longest, shown.At.Sub(shown.Before))
	}
	if longest < 200*time.Millisecond {
		t.Errorf("no value took longer than %s to be confirmed by a server paused for 300ms", longest)
	}
}

func waitLedger(t *testing.T, c *Counter, entries int) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for len(c.Ledger()) < entries {
		if time.Now().After(deadline) {
			t.Fatalf("ledger has %d of %d entries", len(c.Ledger()), entries)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
