package capture

import (
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/test/desktop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestNothingToCaptureIsAGap(t *testing.T) {
	k := sit(t, ":9973", nil)
	k.see(320, 240)
	await(t, func() bool { return k.line.Now().Sub(k.line.Start()) > 900*time.Millisecond })
	k.end()
	all := gaps(k.events())
	if len(all) != 1 || !all[0].Start.Equal(k.line.Start()) || all[0].End.Sub(all[0].Start) < 900*time.Millisecond {
		t.Errorf("gaps %+v", all)
	}
	if n, last := k.capture.Frames(); n != 0 || !last.IsZero() {
		t.Errorf("%d frames", n)
	}
}

func TestLargeSegmentIsEndedEarly(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	counter, err := desktop.StartCounter(x, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	const bound = 500
	k := sit(t, x.Display(), func(c *Config, _ *spool.Config) { c.SegmentBytes, c.FrameRate = bound, 20 })
	k.see(320, 240)
	await(t, func() bool { return len(k.session.Segments()) >= 4 })
	k.end()
	if err := counter.Stop(); err != nil {
		t.Fatal(err)
	}
	k.checkCovered()
	all := k.session.Segments()
	for _, g := range all[:len(all)-1] {
		if g.Bytes < bound || g.Bytes > 2*bound {
			t.Errorf("segment %d has %d bytes", g.Number, g.Bytes)
		}
	}
	if pictures := k.pictures(); len(pictures) < 2*len(all) {
		t.Errorf("%d pictures in %d segments", len(pictures), len(all))
	}
}

func TestFullSpoolPausesAndGoesOn(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	counter, err := desktop.StartCounter(x, 50*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	k := sit(t, x.Display(), func(_ *Config, p *spool.Config) { p.MaxBytes = 1500 })
	k.see(320, 240)
	await(t, func() bool {
		_ = k.session.Flush()
		g := k.session.Segments()
		return len(g) == 1 && g[0].State == spool.StateSealed
	})
	_, end, err := k.session.Chain(1)
	if err != nil {
		t.Fatal(err)
	}
	n, _ := k.capture.Frames()
	if err := k.session.Free(1, k.session.Segments()[0].Chunks, end); err != nil {
		t.Fatal(err)
	}
	k.awaitFrames(n + 1)
	k.end()
	if err := counter.Stop(); err != nil {
		t.Fatal(err)
	}
	if all := gaps(k.events()); len(all) == 0 || all[len(all)-1].Cause != "spool_full" {
		t.Errorf("gaps %+v", all)
	}
}

// A gap in which the machine slept says so, one beside a sleep does not.
func TestSuspendIsTheCauseOfItsGap(t *testing.T) {
	for slept, want := range map[time.Duration]string{2 * time.Second: "suspended", 100 * time.Millisecond: "capture_stalled"} {
		x := desktop.Start(t, 320, 240)
		k := sit(t, x.Display(), func(c *Config, _ *spool.Config) {
			c.Slept = func(from, until time.Time) time.Duration {
				if until.Sub(from) < 2*time.Second {
					t.Errorf("asked from %s until %s", from, until)
				}
				return slept
			}
		})
		k.see(320, 240)
		k.awaitFrames(3)
		x.Pause()
		from := k.line.Now()
		await(t, func() bool { return k.line.Now().Sub(from) > 2500*time.Millisecond })
		x.Continue()
		n, _ := k.capture.Frames()
		k.awaitFrames(n + 2)
		k.end()
		k.checkCovered()
		all := gaps(k.events())
		if last := all[len(all)-1]; last.Cause != want {
			t.Errorf("slept %s: gaps %+v", slept, all)
		}
	}
}
