package capture

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/agent/x11"
	"github.com/recfleet/recfleet/test/desktop"
)

// watched is a sitting that follows the display's own events, and a counter on the display.
func watched(t *testing.T, x *desktop.Server, change func(*Config, *spool.Config)) (*sitting, *desktop.Counter) {
	t.Helper()
	counter, err := desktop.StartCounter(x, 700*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	display, err := x11.Open(x.Display(), x11.Options{})
	if err != nil {
		t.Fatal(err)
	}
	k := sit(t, x.Display(), change)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- display.Watch(ctx, func(g x11.Geometry) {
			select {
			case k.geometries <- spoolGeometry(g):
			case <-ctx.Done():
			}
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-done, display.Close()); err != nil {
			t.Error(err)
		}
	})
	return k, counter
}

func spoolGeometry(g x11.Geometry) *spool.Geometry {
	out := &spool.Geometry{Width: g.Width, Height: g.Height}
	for _, m := range g.Monitors {
		out.Monitors = append(out.Monitors, spool.Monitor{Name: m.Name, X: m.X, Y: m.Y, Width: m.Width, Height: m.Height, Primary: m.Primary})
	}
	return out
}

// finish ends the sitting and accounts for every picture.
func (k *sitting) finish(counter *desktop.Counter) []picture {
	k.t.Helper()
	k.end()
	if err := counter.Stop(); err != nil {
		k.t.Fatal(err)
	}
	k.checkCovered()
	pictures := k.pictures()
	n, last := k.capture.Frames()
	if int(n) != len(pictures) || !last.Equal(pictures[n-1].at) {
		k.t.Errorf("%d frames counted, %d decoded", n, len(pictures))
	}
	checkCounter(k.t, counter.Ledger(), pictures, gaps(k.events()))
	return pictures
}

// Where FFmpeg grabs, the pictures due are taken without it until it delivers in the new size. An instant may be lost at a change, when it
// falls between the change and the event that tells of it.
func TestResizeLosesAtMostOneInstant(t *testing.T) { withBoth(t, resizes) }

func resizes(t *testing.T, order func(*Config, *spool.Config)) {
	x := desktop.Start(t, 800, 600)
	k, counter := watched(t, x, func(c *Config, p *spool.Config) { c.SegmentLength = 2 * time.Second; order(c, p) })
	k.awaitFrames(8)
	sizes := [][2]int{{1025, 769}, {640, 480}, {801, 603}, {32, 32}, {8192, 401}, {800, 600}}
	var changed []time.Time
	for _, size := range sizes {
		changed = append(changed, k.line.Now())
		if err := x.Resize(size[0], size[1]); err != nil {
			t.Fatal(err)
		}
		k.awaitSteady()
	}
	pictures := k.finish(counter)
	if all := gaps(k.events()); len(all) > 1 { // the first is before the first picture
		t.Errorf("gaps %+v", all)
	}
	for i, size := range sizes {
		var near []picture
		for _, p := range pictures {
			if d := p.at.Sub(changed[i]); d > -400*time.Millisecond && d < 1500*time.Millisecond {
				near = append(near, p)
			}
		}
		n := lost(near, k.capture.interval)
		t.Logf("to %v: %d instants lost", size, n)
		if n > 1 {
			t.Errorf("to %v: %d instants lost", size, n)
		}
	}
	seen := map[[2]int]int{}
	for _, p := range pictures {
		seen[[2]int{p.w, p.h}]++
	}
	if len(seen) != len(sizes) { // the last size is the first again
		t.Errorf("sizes seen: %v", seen)
	}
}

func TestFlappingGeometry(t *testing.T) { withBoth(t, flaps) }

func flaps(t *testing.T, order func(*Config, *spool.Config)) {
	x := desktop.Start(t, 800, 600)
	k, counter := watched(t, x, order)
	k.awaitFrames(5)
	for _, pause := range []time.Duration{0, 100 * time.Millisecond} {
		for i := range 10 {
			if err := x.Resize(801+i, 600-i); err != nil {
				t.Fatal(err)
			}
			<-time.After(pause)
		}
		k.awaitSteady()
	}
	pictures := k.finish(counter)
	n := lost(pictures, k.capture.interval)
	t.Logf("%d pictures, %d instants lost", len(pictures), n)
	if n > 4 {
		t.Errorf("%d instants lost", n)
	}
	if p := pictures[len(pictures)-1]; p.w != 810 || p.h != 591 {
		t.Errorf("the last picture is %dx%d", p.w, p.h)
	}
}

// Monitors that come and go without a change of size begin no epoch and cost no picture.
func TestMonitorsThatChangeAreToldOf(t *testing.T) {
	x := desktop.Start(t, 800, 600)
	k, counter := watched(t, x, nil)
	k.awaitFrames(3)
	if err := x.SetMonitor("left", 0, 0, 400, 600); err != nil {
		t.Fatal(err)
	}
	k.awaitFrames(20)
	pictures := k.finish(counter)
	var told []spool.Geometry
	epochs := 0
	for _, e := range k.events() {
		if e.EpochStarted != nil {
			epochs++
		}
		if e.MonitorsChanged != nil {
			told = append(told, *e.MonitorsChanged)
		}
	}
	if len(told) != 1 || len(told[0].Monitors) != 2 || told[0].Width != 800 || epochs != 1 {
		t.Errorf("%d epochs, told %+v", epochs, told)
	}
	if n := lost(pictures, k.capture.interval); n > 0 || len(k.session.Segments()) != 1 {
		t.Errorf("%d instants lost, %d segments", n, len(k.session.Segments()))
	}
}
