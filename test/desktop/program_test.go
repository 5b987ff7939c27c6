package desktop

import (
	"context"
	"testing"
	"time"
)

func TestProgramsShowWindows(t *testing.T) {
	s := StartConfig(t, Config{Width: 800, Height: 600, Locked: true})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for count, name := range []string{"openbox", "xclock"} {
		p, err := s.Run(name)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Stop()
		if err := s.WaitWindows(ctx, count); err != nil {
			t.Fatalf("%v; %s says %q", err, name, p.Said())
		}
	}
	short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := s.WaitWindows(short, 2); err == nil {
		t.Error("a second window was found")
	}
	if p, err := s.Run("no-such-program"); err == nil {
		p.Stop()
		t.Error("a program that is not installed was run")
	}
}

func TestStoppedProgramIsGone(t *testing.T) {
	s := Start(t, 640, 480)
	p, err := s.Run("sh", "-c", "trap '' TERM; echo started; while :; do sleep 0.1; done")
	if err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for p.Said() == "" && time.Since(begin) < 20*time.Second {
		time.Sleep(5 * time.Millisecond)
	}
	p.Stop()
	p.Stop()
	select {
	case <-p.Exited():
	default:
		t.Error("stop returned before the program ended")
	}
	if p.Said() != "started" {
		t.Errorf("it said %q", p.Said())
	}
}
