package agent

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/recfleet/recfleet/agent/timeline"
	"github.com/recfleet/recfleet/test/desktop"
)

// tamperedClock is the machine's with steps of the wall clock and sleeps that never were.
type tamperedClock struct{ step, sleep atomic.Int64 }

func (c *tamperedClock) clock() timeline.Clock {
	system := timeline.SystemClock()
	return timeline.Clock{
		Wall:      func() time.Time { return system.Wall().Add(time.Duration(c.step.Load())) },
		SinceBoot: func() time.Duration { return system.SinceBoot() + time.Duration(c.sleep.Load()) },
		Awake:     system.Awake,
	}
}

// The time of day is stepped back and forth by an hour, and the machine sleeps for ten minutes: a step changes no duration, and the
// sleep is a gap as long as it was.
func TestClockStepsAndSleep(t *testing.T) {
	// lag is what may lie between the two looks at the clock of which a sleep is the difference.
	const sleep, lag = 10 * time.Minute, 100 * time.Millisecond
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	var clock tamperedClock
	clock.step.Store(int64(-time.Hour))
	a := runAgent(t, c, x.Display(), t.TempDir(), func(cfg *Config) { cfg.Clock = clock.clock() })
	a.await(a.Durable())
	began := time.Now()
	more := func(n int64) {
		t.Helper()
		before := a.Status().Frames
		await(t, func() bool { return a.Status().Frames >= before+n })
	}
	more(8)
	for _, step := range []time.Duration{0, -2 * time.Hour, time.Hour} {
		clock.step.Store(int64(step))
		more(4)
	}
	clock.sleep.Store(int64(sleep))
	more(8)
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	really := time.Since(began)
	s := c.all()[0]
	checkWhole(t, s)
	start, end := s.start.GetStartTime().AsTime(), s.end.GetEndTime().AsTime()
	if d := start.Sub(began.Add(-time.Hour)); d.Abs() > 5*time.Second {
		t.Errorf("the session began %s beside the time of day then", d)
	}
	if d := end.Sub(start) - really - sleep; d.Abs() > 3*time.Second {
		t.Errorf("the session is %s, %s more than it was", end.Sub(start), d)
	}
	var gaps int
	for _, e := range s.events {
		g := e.GetGapDeclared()
		if g == nil {
			continue
		}
		gaps++
		from, until := g.GetStartTime().AsTime(), g.GetEndTime().AsTime()
		if d := until.Sub(from); d < sleep-time.Second || d > sleep+time.Second {
			t.Errorf("gap of %s by %s", d, g.GetCause())
		}
		if g.GetCause() != "suspended" {
			t.Errorf("gap by %s", g.GetCause())
		}
		if slept := a.line.Slept(from, until); (slept - sleep).Abs() > lag {
			t.Errorf("in the gap the machine slept %s", slept)
		}
	}
	if gaps != 1 || (a.line.Slept(start, end)-sleep).Abs() > lag {
		t.Errorf("%d gaps, slept %s", gaps, a.line.Slept(start, end))
	}
}
