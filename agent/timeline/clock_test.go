package timeline

import (
	"sync"
	"testing"
	"time"
)

// machine is a clock that a test moves.
type machine struct {
	mu          sync.Mutex
	wall        time.Time
	boot, awake time.Duration
}

func newMachine() *machine {
	return &machine{wall: time.Date(2026, 3, 29, 0, 59, 0, 0, time.UTC), boot: 5 * time.Hour, awake: 3 * time.Hour}
}

func (m *machine) clock() Clock {
	return Clock{
		Wall:      func() time.Time { m.mu.Lock(); defer m.mu.Unlock(); return m.wall },
		SinceBoot: func() time.Duration { m.mu.Lock(); defer m.mu.Unlock(); return m.boot },
		Awake:     func() time.Duration { m.mu.Lock(); defer m.mu.Unlock(); return m.awake },
	}
}

func (m *machine) move(wall, boot, awake time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wall, m.boot, m.awake = m.wall.Add(wall), m.boot+boot, m.awake+awake
}

func (m *machine) pass(d time.Duration)  { m.move(d, d, d) }
func (m *machine) sleep(d time.Duration) { m.move(d, d, 0) }

func TestStepsOfTheWallClockChangeNothing(t *testing.T) {
	m := newMachine()
	line := m.clock().New()
	begin := line.Now()
	for _, step := range []time.Duration{time.Hour, -2 * time.Hour, 365 * 24 * time.Hour, -1} {
		m.move(step, 0, 0)
		m.pass(time.Second)
	}
	if d := line.Now().Sub(begin); d != 4*time.Second {
		t.Errorf("4 s took %s", d)
	}
	again, err := m.clock().Resume(line.Anchor())
	if err != nil || !again.Now().Equal(line.Now()) {
		t.Errorf("resumed at %s, not %s, %v", again.Now(), line.Now(), err)
	}
}

func TestSleepIsSeenWhereItWas(t *testing.T) {
	m := newMachine()
	line := m.clock().New()
	at := []time.Time{line.Now()}
	for i := range 10 {
		m.pass(200 * time.Millisecond)
		switch i {
		case 3:
			m.sleep(time.Minute)
		case 5: // not worth the name
			m.sleep(minSleep - 1)
		case 7:
			m.sleep(time.Hour)
			m.pass(30 * time.Millisecond)
		}
		at = append(at, line.Now())
	}
	for i, want := range []time.Duration{3: time.Minute, 7: time.Hour, 9: 0} {
		if got := line.Slept(at[i], at[i+1]); got != want {
			t.Errorf("between %d and %d: %s, want %s", i, i+1, got, want)
		}
	}
	for _, c := range []struct {
		from, until time.Time
		want        time.Duration
	}{
		{at[0], at[3], 0}, {at[4], at[7], 0}, {at[8], at[10], 0},
		{at[3].Add(200 * time.Millisecond), at[4], time.Minute}, // as a gap is: an interval after the last frame
		{at[0], at[10], time.Hour + time.Minute},
	} {
		if got := line.Slept(c.from, c.until); got != c.want {
			t.Errorf("from %s to %s: %s, want %s", c.from, c.until, got, c.want)
		}
	}
	if copied := line; copied.Slept(at[3], at[4]) != time.Minute {
		t.Error("a copy has another past")
	}
}

// A look that is held up between its two readings is no sleep, then or later.
func TestSlowLookIsNoSleep(t *testing.T) {
	m := newMachine()
	clock, slow := m.clock(), false
	held := func(read func() time.Duration) func() time.Duration {
		return func() time.Duration {
			d := read()
			if slow {
				m.pass(time.Second)
			}
			return d
		}
	}
	clock.SinceBoot, clock.Awake = held(clock.SinceBoot), held(clock.Awake)
	line := clock.New()
	begin := line.Now()
	for _, slow = range []bool{true, false, true, false, false} {
		line.Now()
	}
	if slept := line.Slept(begin.Add(-time.Hour), begin.Add(time.Hour)); slept != 0 {
		t.Errorf("slept %s", slept)
	}
}

func TestSleepsAreBounded(t *testing.T) {
	m := newMachine()
	line := m.clock().New()
	begin := line.Now()
	for range 3 * maxSleeps {
		m.sleep(time.Second)
		line.Now()
	}
	if slept := line.Slept(begin, line.Now()); slept != maxSleeps*time.Second {
		t.Errorf("slept %s", slept)
	}
}

func TestThisMachineIsAwake(t *testing.T) {
	line := New()
	begin := line.Now()
	for range 100000 {
		line.Now()
	}
	if slept := line.Slept(begin.Add(-time.Second), line.Now()); slept != 0 {
		t.Errorf("slept %s", slept)
	}
}
