package agent

import (
	"testing"
	"time"

	"github.com/recfleet/recfleet/test/desktop"
)

// The coordinator closes the books of an agent that was silent for too long; the desktop is still there to be recorded, and what
// has no receipt is in the spool.
func TestGivenUpSessionGoesOnAsAnother(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	counter, err := desktop.StartCounter(x, 150*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = counter.Stop() }()
	c := startCoordinator(t)
	dir := t.TempDir()
	a := runAgent(t, c, x.Display(), dir)
	a.await(a.Durable())
	await(t, func() bool { return c.all()[0].receipts >= 1 }) // the first segment is in the server's custody
	c.set(func() { c.deaf = true })
	n := a.Status().Frames
	await(t, func() bool { return a.Status().Frames >= n+25 })
	first := a.Status().SessionID
	c.set(func() { c.deaf, c.givenUp = false, map[string]bool{first: true} })
	await(t, func() bool {
		st := a.Status()
		return st.SessionID != "" && st.SessionID != first && st.PublishedChunks > 0
	})
	n = a.Status().Frames
	await(t, func() bool { return a.Status().Frames >= n+10 })
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	all := c.all()
	if len(all) != 2 || all[0].end != nil || all[1].end.GetReason() != "stopped by test" {
		t.Fatalf("%d sessions, ends %v", len(all), all[len(all)-1].end)
	}
	old, next := all[0], all[1]
	if next.start.GetMetadata()[keyContinues] != first || next.start.GetUser() != "ann" {
		t.Errorf("the second session's start is %v", next.start)
	}
	if left := leftFiles(t, dir); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	checkWhole(t, next)
	if next.gaps() != "" {
		t.Errorf("gaps %s", next.gaps())
	}
	// What had a receipt is in the first session, and the second goes on from there.
	if len(next.start.GetGeometry().GetMonitors()) != len(old.start.GetGeometry().GetMonitors()) {
		t.Errorf("geometry %v", next.start.GetGeometry())
	}
	if from := old.seal(int32(old.receipts)).GetEndTime().AsTime(); next.start.GetStartTime().AsTime().Sub(from).Abs() > 300*time.Millisecond {
		t.Errorf("the second session begins %s after what the server has of the first", next.start.GetStartTime().AsTime().Sub(from))
	}
	if late := next.late(); late > 700*time.Millisecond {
		t.Errorf("%s without a picture", late)
	}
}

// late returns the longest of the gaps of a machine too busy to take pictures in time.
func (s *told) late() time.Duration {
	var longest time.Duration
	for _, e := range s.events {
		if g := e.GetGapDeclared(); g != nil {
			longest = max(longest, g.GetEndTime().AsTime().Sub(g.GetStartTime().AsTime()))
		}
	}
	return longest
}

// An agent that comes back after the coordinator has closed the books of what it left finds it in the spool.
func TestLeftSessionThatWasGivenUpIsSentAsAnother(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	dir := t.TempDir()
	a := runAgent(t, c, x.Display(), dir)
	a.await(a.Durable())
	await(t, func() bool { return a.Status().Frames > 5 })
	first := a.Status().SessionID
	c.set(func() { c.deaf = true })
	a.Stop("stopped by test", 500*time.Millisecond)
	if err := <-a.over; err != nil {
		t.Fatal(err)
	}
	a.over <- nil
	if len(leftFiles(t, dir)) == 0 {
		t.Fatal("nothing is left")
	}
	c.set(func() { c.deaf, c.givenUp = false, map[string]bool{first: true} })
	b := runAgent(t, c, x.Display(), dir)
	b.await(b.Durable())
	await(t, func() bool { all := c.all(); return len(all) == 3 && all[0].end == nil && all[1].end != nil })
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	s := c.all()[1]
	if s.start.GetMetadata()[keyContinues] != first || s.end.GetReason() != "stopped by test" || s.receipts == 0 || len(leftFiles(t, dir)) != 0 {
		t.Errorf("start %v, end %v, %d receipts, left %v", s.start, s.end, s.receipts, leftFiles(t, dir))
	}
	checkWhole(t, s)
}
