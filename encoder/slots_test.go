package encoder

import (
	"fmt"
	"testing"
	"time"

	"github.com/recfleet/recfleet/encoder/capacity"
)

// roomy is a machine on which everything fits until it is full.
type roomy struct{ full chan struct{} }

func (r roomy) Read(time.Time) (capacity.Sample, error) {
	s := capacity.Sample{Cores: 64, FreeCores: 64, Memory: 64 << 30, FreeMemory: 60 << 30}
	select {
	case <-r.full:
		s.FreeMemory = 0
	default:
	}
	return s, nil
}

// The encoder takes more jobs while there is room, and none when there is not; what it holds it finishes.
func TestSlotsFollowTheMachine(t *testing.T) {
	f := newFixture(t)
	full := make(chan struct{})
	f.cfg.Slots, f.cfg.meter = AutoSlots, roomy{full}
	stop := f.run(t)
	for i := range 5 {
		f.offer(fmt.Sprintf("s%d", i))
	}
	c := f.coordinator
	c.wait(t, "all five leased", func() bool { return len(c.leased) == 5 })
	if n := int(c.syncs[0].GetFreeSlots()) + int(c.syncs[1].GetFreeSlots()); n != 1 { // the first has no bus yet
		t.Errorf("it begins with %d slots", n)
	}
	close(full)
	c.wait(t, "no more taken", func() bool {
		last := c.syncs[len(c.syncs)-1]
		return len(last.GetHeld()) == 5 && last.GetFreeSlots() == 0
	})
	f.offer("s5")
	close(f.bus.hold)
	c.wait(t, "all done, one by one at the end", func() bool { return len(c.completed) == 6 })
	c.mu.Lock()
	for _, s := range c.syncs[len(c.syncs)-2:] {
		if n := int(s.GetFreeSlots()) + len(s.GetHeld()); n > 1 {
			t.Errorf("%v", s)
		}
	}
	c.mu.Unlock()
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if len(c.failed) != 0 {
		t.Errorf("failed %v", c.failed)
	}
}

// alone measures the machine as if nobody else were on it, whoever runs beside the test.
type alone struct{ *capacity.Meter }

func (a alone) Read(now time.Time) (capacity.Sample, error) {
	s, err := a.Meter.Read(now)
	s.Cores, s.FreeCores = 4, max(0, 4-s.OurCores)
	return s, err
}

// What real jobs take is measured: these wait for the bus and so take nothing, and soon there are several.
func TestSlotsAreMeasuredWithRealJobs(t *testing.T) {
	f := newFixture(t)
	m, err := capacity.NewMeter(4)
	if err != nil {
		t.Fatal(err)
	}
	f.cfg.Slots, f.cfg.meter = AutoSlots, alone{m}
	stop := f.run(t)
	for i := range 4 {
		f.offer(fmt.Sprintf("s%d", i))
	}
	c := f.coordinator
	c.wait(t, "all beside each other", func() bool { return len(c.leased) == 4 })
	close(f.bus.hold)
	c.wait(t, "all done", func() bool { return len(c.completed) == 4 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}
