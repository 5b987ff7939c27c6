package capacity

import (
	"math"
	"testing"
)

// machine simulates one that does jobs of one kind: each takes cores and bytes as far as there are any.
type machine struct {
	cores, others float64
	memory, taken int64 // all, and by others
	need          float64
	each          int64
	work          int // jobs that wait to be done
	running       int
}

// run measures n times and returns the slots then, and the most there were meanwhile.
func (m *machine) run(r *Rule, n int) (last, most int) {
	for range n {
		m.running = min(r.Slots(), m.work)
		ours := min(float64(m.running)*m.need, max(0, m.cores-m.others))
		s := Sample{
			Cores: m.cores, OurCores: ours, FreeCores: max(0, m.cores-m.others-ours),
			Memory: m.memory, OurMemory: int64(m.running) * m.each, FreeMemory: max(0, m.memory-m.taken-int64(m.running)*m.each),
		}
		last = r.Next(s, Jobs{Running: m.running, Average: float64(m.running)})
		most = max(most, last)
	}
	return last, most
}

const gib = 1 << 30

func TestSlotsFitTheMachine(t *testing.T) {
	for name, c := range map[string]struct {
		machine machine
		want    int
	}{
		"one core":                   {machine{cores: 1, memory: 16 * gib, need: 1, each: gib / 4}, 1},
		"half a core":                {machine{cores: 0.5, memory: 16 * gib, need: 1, each: gib / 4}, 1},
		"two cores":                  {machine{cores: 2, memory: 16 * gib, need: 1.2, each: gib / 4}, 2},
		"many cores":                 {machine{cores: 64, memory: 256 * gib, need: 1, each: gib / 4}, 64},
		"jobs that wait":             {machine{cores: 4, memory: 64 * gib, need: 0.25, each: gib / 4}, 15}, // nothing is learned of small jobs when no core is free
		"jobs of several cores":      {machine{cores: 16, memory: 64 * gib, need: 4, each: gib / 4}, 4},
		"others on it":               {machine{cores: 8, others: 6, memory: 64 * gib, need: 1, each: gib / 4}, 2},
		"others take all":            {machine{cores: 8, others: 8, memory: 64 * gib, need: 1, each: gib / 4}, 1},
		"little memory":              {machine{cores: 64, memory: 4 * gib, need: 1, each: gib}, 3},
		"memory of others":           {machine{cores: 64, memory: 16 * gib, taken: 10 * gib, need: 1, each: gib}, 4},
		"memory for less than one":   {machine{cores: 64, memory: gib, taken: gib - gib/8, need: 1, each: gib}, 1},
		"more than anybody can want": {machine{cores: 4096, memory: 1 << 50, need: 1, each: gib}, Max},
	} {
		t.Run(name, func(t *testing.T) {
			c.machine.work = math.MaxInt
			r := NewRule()
			if r.Slots() != 1 {
				t.Errorf("it begins with %d", r.Slots())
			}
			got, most := c.machine.run(r, 100)
			if got != c.want {
				cores, memory := r.Need()
				t.Errorf("%d slots, want %d; a job is taken for %.2f cores and %d MiB", got, c.want, cores, memory>>20)
			}
			if most > c.want+c.want/4+1 {
				t.Errorf("%d slots meanwhile", most)
			}
		})
	}
}

func TestSlotsGrowStepByStep(t *testing.T) {
	m, r := &machine{cores: 32, memory: 256 * gib, need: 1, each: gib / 4, work: math.MaxInt}, NewRule()
	for i, want := range []int{2, 4, 8, 16, 32, 32} {
		if got, _ := m.run(r, 1); got != want {
			t.Errorf("after %d measurements: %d slots, want %d", i+1, got, want)
		}
	}
}

func TestSlotsThatAreNotTakenDoNotGrow(t *testing.T) {
	m, r := &machine{cores: 32, memory: 256 * gib, need: 1, each: gib / 4, work: 3}, NewRule()
	if got, _ := m.run(r, 50); got != 4 {
		t.Errorf("%d slots for 3 jobs", got)
	}
}

func TestSlotsShrink(t *testing.T) {
	begin := func() (*machine, *Rule) {
		m, r := &machine{cores: 8, memory: 64 * gib, need: 1, each: gib, work: math.MaxInt}, NewRule()
		if got, _ := m.run(r, 50); got != 8 {
			t.Fatalf("%d slots", got)
		}
		return m, r
	}
	t.Run("when others want the CPU, not at once", func(t *testing.T) {
		m, r := begin()
		m.others = 6
		if got, _ := m.run(r, patience-1); got != 8 {
			t.Errorf("%d slots at once", got)
		}
		if got, _ := m.run(r, 1); got != 2 {
			t.Errorf("%d slots", got)
		}
		m.others = 0
		if got, _ := m.run(r, 5); got != 8 {
			t.Errorf("%d slots when they are gone", got)
		}
	})
	t.Run("not for a moment's work of others", func(t *testing.T) {
		m, r := begin()
		for range 5 {
			m.others = 6
			m.run(r, patience-1)
			m.others = 0
			if got, _ := m.run(r, 1); got != 8 {
				t.Errorf("%d slots", got)
			}
		}
	})
	t.Run("when memory runs short, at once", func(t *testing.T) {
		m, r := begin()
		m.taken = 60 * gib
		if got, _ := m.run(r, 1); got != 3 { // once they have ended
			t.Errorf("%d slots", got)
		}
		if got, _ := m.run(r, 1); got != 1 {
			t.Errorf("%d slots", got)
		}
	})
	t.Run("when jobs become larger", func(t *testing.T) {
		m, r := begin()
		m.each = 10 * gib
		if got, _ := m.run(r, 2); got != 4 {
			t.Errorf("%d slots", got)
		}
	})
}

// Jobs that fill the machine get less each the more there are; that must not be taken for small jobs.
func TestAFullMachineIsNotTakenForSmallJobs(t *testing.T) {
	m, r := &machine{cores: 2, memory: 64 * gib, need: 1.3, each: gib / 4, work: math.MaxInt}, NewRule()
	if got, most := m.run(r, 1000); got != 2 || most != 2 {
		t.Errorf("%d slots, %d at most", got, most)
	}
}
