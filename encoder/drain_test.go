package encoder

import (
	"slices"
	"testing"
	"time"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

func TestAnOrderToDrainIsObeyed(t *testing.T) {
	f := newFixture(t)
	f.cfg.Labels = []string{"gpu", "eu"}
	stop := f.run(t)
	f.offer("s1")
	<-f.bus.reading
	c := f.coordinator
	last := func() *recfleetv1.EncoderServiceSyncRequest { return c.syncs[len(c.syncs)-1] }
	c.change(func() { c.drain = true })
	c.wait(t, "no more work taken", func() bool {
		return last().GetDraining() && last().GetFreeSlots() == 0 && len(last().GetHeld()) == 1
	})
	f.offer("s2")
	c.change(func() { c.drain = false })
	c.wait(t, "work taken again", func() bool { return len(c.leased) == 2 })
	c.change(func() { c.drain = true })
	c.wait(t, "no more work taken", func() bool { return last().GetDraining() && len(last().GetHeld()) == 2 })
	close(f.bus.hold)
	c.wait(t, "both done, and the last word", func() bool { return len(c.completed) == 2 && len(last().GetHeld()) == 0 })
	if err := stop(); err != nil { // it has ended, or is about to
		t.Fatal(err)
	}
	if len(c.failed) != 0 || len(c.syncs[0].GetLabels()) != 2 {
		t.Errorf("%v, %v", c.failed, c.syncs[0])
	}
}

// The second signal does not wait for anything: what is held is given back at once.
func TestStopGivesBackAtOnce(t *testing.T) {
	f := newFixture(t)
	now := make(chan struct{})
	f.cfg.Stop, f.cfg.DrainTime = now, time.Hour
	stop := f.run(t)
	f.offer("s1")
	<-f.bus.reading
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	c := f.coordinator
	c.wait(t, "draining", func() bool { return c.syncs[len(c.syncs)-1].GetDraining() })
	close(now)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	c.wait(t, "the last word", func() bool {
		return slices.ContainsFunc(c.syncs, func(s *recfleetv1.EncoderServiceSyncRequest) bool { return s.GetDraining() && len(s.GetHeld()) == 0 })
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.failed) != 1 || c.failed[0].GetCause() != recfleetv1.FailureCause_FAILURE_CAUSE_ENCODER || len(c.completed) != 0 {
		t.Errorf("failed %v, completed %v", c.failed, c.completed)
	}
}

func TestLoadIsThatOfTheMachine(t *testing.T) {
	var l load
	now := time.Now()
	if l.cores(now.Add(-time.Hour)); l.busy == 0 {
		t.Skip("this system does not say")
	}
	if got := l.cores(now); got < 0 || got > 1024 {
		t.Errorf("%v cores", got)
	}
	if again := l.cores(now); again != l.last {
		t.Errorf("%v, then %v", l.last, again)
	}
}
