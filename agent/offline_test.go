package agent

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/recfleet/recfleet/agent/control"
	"github.com/recfleet/recfleet/agent/session"
	"github.com/recfleet/recfleet/test/desktop"
)

func mode(m session.Mode, grace time.Duration) func(*Config) {
	return func(c *Config) { c.Mode, c.Grace = m, grace }
}

func TestRecordsBeforeItIsRegistered(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	c.set(func() { c.deaf = true })
	for _, m := range []session.Mode{session.Grace, session.BestEffort} {
		t.Run(string(m), func(t *testing.T) {
			c.set(func() { c.deaf, c.sessions = true, map[string]*told{} })
			dir := t.TempDir()
			before := time.Now()
			a := runAgent(t, c, x.Display(), dir, mode(m, time.Minute))
			a.await(a.Durable())
			if st := a.Status(); st.State != control.StateRecording || st.Registered || st.SessionID != "" || st.RecordingMode != string(m) || st.Segments != 1 {
				t.Errorf("status %+v", st)
			}
			await(t, func() bool { return a.Status().Frames >= 20 })
			c.set(func() { c.deaf = false })
			await(t, func() bool { return a.Status().Registered })
			// The coordinator orders segments of 2 s; without it they would be longer than this test.
			await(t, func() bool { return c.all()[0].receipts >= 2 })
			if err := a.stop(); err != nil {
				t.Fatal(err)
			}
			s := c.all()[0]
			began := s.start.GetStartTime().AsTime()
			if began.Before(before) || began.After(before.Add(3*time.Second)) || s.start.GetMetadata()[keyMode] != string(m) {
				t.Errorf("start %v, began %s after the call", s.start, began.Sub(before))
			}
			var after string
			for _, e := range s.events {
				if v := e.GetMetadataChanged().GetMetadata()[keyRegisteredAfter]; v != "" {
					after = v
				}
			}
			if d, err := time.ParseDuration(after); err != nil || d < 3*time.Second {
				t.Errorf("registered after %q", after)
			}
			checkWhole(t, s)
			if s.gaps() != "" || len(leftFiles(t, dir)) != 0 || s.end.GetReason() != "stopped by test" {
				t.Errorf("gaps %s, left %v, end %v", s.gaps(), leftFiles(t, dir), s.end)
			}
		})
	}
}

func TestModeDoesNotMatterToARegisteredSession(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	dir := t.TempDir()
	a := runAgent(t, c, x.Display(), dir, mode(session.BestEffort, 0))
	a.await(a.Durable())
	await(t, func() bool { st := a.Status(); return st.Registered && st.Frames > 5 })
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	s := c.all()[0]
	epochs := 0
	for _, e := range s.events {
		if e.GetEpochStarted() != nil {
			epochs++
		}
	}
	if epochs != 1 || s.gaps() != "" || len(leftFiles(t, dir)) != 0 {
		t.Errorf("%d epochs, gaps %s, left %v", epochs, s.gaps(), leftFiles(t, dir))
	}
	// Its orders are kept for the next session that begins without it.
	c.set(func() { c.deaf = true })
	a = runAgent(t, c, x.Display(), dir, mode(session.BestEffort, 0))
	a.await(a.Durable())
	if got := a.session.Registration().Settings; got.SegmentLength != 2*time.Second || got.ChunkBytes != 16<<10 {
		t.Errorf("settings %+v", got)
	}
	c.set(func() { c.deaf = false })
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
}

func TestGraceEnds(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	c.set(func() { c.deaf = true })
	dir := t.TempDir()
	a := runAgent(t, c, x.Display(), dir, mode(session.Grace, 2*time.Second))
	a.await(a.Durable())
	err := <-a.over
	a.over <- err
	if !errors.Is(err, errNotRegistered) {
		t.Errorf("ended with %v", err)
	}
	if _, ordered := control.StopOrdered(dir); !ordered || len(c.all()) != 0 {
		t.Errorf("whoever keeps the agent running is told to go on; %d sessions", len(c.all()))
	}
	if len(leftFiles(t, dir)) == 0 {
		t.Error("what was recorded is gone")
	}
	// The next agent hands it over.
	c.set(func() { c.deaf = false })
	b := runAgent(t, c, x.Display(), dir)
	b.await(b.Durable())
	await(t, func() bool { all := c.all(); return len(all) == 2 && all[0].end != nil && all[0].receipts > 0 })
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	s := c.all()[0]
	if s.end.GetReason() != errNotRegistered.Error() || len(leftFiles(t, dir)) != 0 {
		t.Errorf("end %v, left %v", s.end, leftFiles(t, dir))
	}
	if d := s.end.GetEndTime().AsTime().Sub(s.start.GetStartTime().AsTime()); d < 1500*time.Millisecond || d > 4*time.Second {
		t.Errorf("recorded for %s", d)
	}
	checkWhole(t, s)
}

// A policy that forbids the recording ends it in every mode.
func TestRefusedRegistrationEndsTheRecording(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	for _, m := range []session.Mode{session.Strict, session.Grace, session.BestEffort} {
		for _, late := range []bool{false, true} {
			if m == session.Strict && late {
				continue
			}
			dir := t.TempDir()
			c.set(func() { c.deaf, c.refuse = late, "not this user" })
			a := runAgent(t, c, x.Display(), dir, mode(m, time.Minute))
			if late {
				a.await(a.Durable())
				c.set(func() { c.deaf = false })
			}
			err := <-a.over
			a.over <- err
			if !errors.Is(err, session.ErrRefused) {
				t.Errorf("%s, late %v: ended with %v", m, late, err)
			}
			if left := leftFiles(t, dir); late != (len(left) > 0) || len(c.all()) != 0 {
				t.Errorf("%s, late %v: left %v, %d sessions", m, late, left, len(c.all()))
			}
			if _, ordered := control.StopOrdered(dir); m.Offline() && !ordered {
				t.Errorf("%s, late %v: whoever keeps the agent running is told to go on", m, late)
			}
		}
	}
}

// A session that was recorded, ended and never registered is registered by the next agent.
func TestUnregisteredSessionOfAnEarlierAgentIsSent(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	c.set(func() { c.deaf = true })
	dir := t.TempDir()
	a := runAgent(t, c, x.Display(), dir, mode(session.BestEffort, 0))
	a.await(a.Durable())
	await(t, func() bool { return a.Status().Frames >= 8 })
	frames := a.Status().Frames
	a.Stop("stopped by test", 500*time.Millisecond)
	if err := <-a.over; err != nil {
		t.Fatal(err)
	}
	a.over <- nil
	if len(leftFiles(t, dir)) == 0 {
		t.Fatal("what was recorded is gone")
	}
	c.set(func() { c.deaf = false })
	b := runAgent(t, c, x.Display(), dir)
	b.await(b.Durable())
	await(t, func() bool { all := c.all(); return len(all) == 2 && all[0].end != nil && all[0].receipts > 0 })
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
	s := c.all()[0]
	var sent int64
	for _, e := range s.events {
		sent += e.GetSegmentSealed().GetFrameCount()
	}
	if sent < frames || s.end.GetReason() != "stopped by test" || len(leftFiles(t, dir)) != 0 {
		t.Errorf("%d of %d frames, end %v, left %v", sent, frames, s.end, leftFiles(t, dir))
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "sessions", "*")); len(names) != 0 {
		t.Errorf("left %v", names)
	}
	checkWhole(t, s)
}

func TestStrictNeedsRoomOnTheDisk(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	dir := t.TempDir()
	much := func(cfg *Config) { cfg.MinFreeBytes = 1 << 60 }
	a := runAgent(t, c, x.Display(), dir, much)
	err := <-a.over
	a.over <- err
	if !errors.Is(err, ErrNoRoom) || len(leftFiles(t, dir)) != 0 || len(c.all()) != 0 {
		t.Errorf("ended with %v, left %v", err, leftFiles(t, dir))
	}
	b := runAgent(t, c, x.Display(), dir, much, mode(session.BestEffort, 0))
	b.await(b.Durable())
	if err := b.stop(); err != nil {
		t.Fatal(err)
	}
}
