package x11

import (
	"errors"
	"testing"
	"time"

	"github.com/jezek/xgb/xproto"
	"github.com/jezek/xgb/xtest"

	"github.com/recfleet/recfleet/test/desktop"
)

func display(t *testing.T, s *desktop.Server) *Display {
	t.Helper()
	d, err := Open(s.Display(), Options{})
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

func TestIdleIsTheTimeSinceTheLastInput(t *testing.T) {
	s := desktop.Start(t, 320, 240)
	d, begun := display(t, s), time.Now()
	awaitIdle := func(ok func(time.Duration) bool) {
		t.Helper()
		for {
			idle, err := d.Idle(10 * time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if ok(idle) {
				return
			}
			if time.Since(begun) > 20*time.Second {
				t.Fatalf("idle for %v", idle)
			}
		}
	}
	const long = 500 * time.Millisecond
	awaitIdle(func(idle time.Duration) bool { return idle > long })
	v := startVandal(t, s, 9)
	if err := xtest.Init(v.conn); err != nil {
		t.Fatal(err)
	}
	xtest.FakeInput(v.conn, xproto.MotionNotify, 0, 0, v.root, 5, 6, 0)
	v.sync()
	awaitIdle(func(idle time.Duration) bool { return idle < long })
	awaitIdle(func(idle time.Duration) bool { return idle > long })

	without := desktop.StartConfig(t, desktop.Config{Width: 320, Height: 240, Without: []string{"MIT-SCREEN-SAVER"}})
	if _, err := display(t, without).Idle(10 * time.Second); !errors.Is(err, ErrNoIdle) {
		t.Errorf("without the extension: %v", err)
	}
}
