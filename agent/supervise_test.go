package agent

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/recfleet/recfleet/agent/control"
	"github.com/recfleet/recfleet/test/desktop"
)

// backWithin is how soon a killed agent must be back.
const backWithin = 2 * time.Second

// kill kills the agent and not its supervisor, and returns when.
func (p *program) kill(pid int) time.Time {
	p.t.Helper()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		p.t.Fatal(err)
	}
	return time.Now()
}

// awaitBack waits until another agent records the session, and returns its id.
func (p *program) awaitBack(killed int, session string, since time.Time) int {
	p.t.Helper()
	var st control.Status
	await(p.t, func() bool {
		var err error
		st, err = control.Query(p.t.Context(), p.spool)
		return err == nil && st.PID != killed && st.SessionID != ""
	})
	if d := time.Since(since); d > backWithin {
		p.t.Errorf("back after %s", d)
	}
	if st.SessionID != session {
		p.t.Errorf("session %s goes on as %s", session, st.SessionID)
	}
	return st.PID
}

// checkWhole says that segments and gaps follow one another from the start to the end without a hole.
func checkWhole(t *testing.T, s told) {
	t.Helper()
	const slack = 650 * time.Millisecond // three intervals and what the clock is read at; for the first and the last frame
	type span struct {
		name     string
		from, to time.Time
	}
	var spans []span
	epoch, segment := int32(0), int32(0)
	for _, e := range s.events {
		switch {
		case e.GetEpochStarted() != nil:
			if n := e.GetEpochStarted().GetEpoch(); n != epoch+1 {
				t.Errorf("epoch %d after %d", n, epoch)
			}
			epoch++
		case e.GetSegmentSealed() != nil:
			g := e.GetSegmentSealed()
			if segment++; g.GetSegment() != segment || g.GetEpoch() > epoch {
				t.Errorf("segment %d of epoch %d after %d", g.GetSegment(), g.GetEpoch(), segment-1)
			}
			spans = append(spans, span{"segment " + itoa(int(g.GetSegment())), g.GetStartTime().AsTime(), g.GetEndTime().AsTime()})
		case e.GetGapDeclared() != nil:
			g := e.GetGapDeclared()
			spans = append(spans, span{"gap " + g.GetCause(), g.GetStartTime().AsTime(), g.GetEndTime().AsTime()})
		}
	}
	// A seal is told of once it is on disk, which may be after the gap that follows it.
	slices.SortStableFunc(spans, func(a, b span) int { return a.from.Compare(b.from) })
	until := s.start.GetStartTime().AsTime()
	for i, p := range spans {
		bound := time.Microsecond
		if i == 0 {
			bound = slack
		}
		if d := p.from.Sub(until); d > bound || d < -time.Microsecond {
			t.Errorf("%s begins %s after what was before", p.name, d)
		}
		until = p.to
	}
	if end := s.end.GetEndTime().AsTime(); end.Sub(until) > slack {
		t.Errorf("the session ends %s after its last segment", end.Sub(until))
	}
}

func TestKilledAgentIsBackInTheSameSession(t *testing.T) {
	const seed = 1
	kills := 12
	if testing.Short() {
		kills = 3
	}
	x := desktop.Start(t, 320, 240)
	counter, err := desktop.StartCounter(x, 150*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = counter.Stop() }()
	c := startCoordinator(t)
	p := build(t, c, x.Display())
	p.mustStart()
	st, err := control.Query(t.Context(), p.spool)
	if err != nil || st.SupervisorPID < 2 {
		t.Fatalf("status %+v, %v", st, err)
	}
	pid := st.PID
	random := rand.New(rand.NewPCG(seed, seed))
	for range kills {
		// At any instant: while it starts, too.
		time.Sleep(time.Duration(random.Int64N(int64(1500 * time.Millisecond))))
		since := p.kill(pid)
		await(t, func() bool { return !grabs(pid, x.Display()) })
		if d := time.Since(since); d > backWithin {
			t.Errorf("FFmpeg outlived its agent by %s", d)
		}
		pid = p.awaitBack(pid, st.SessionID, since)
	}
	before := st.SupervisorPID
	await(t, func() bool {
		st, err = control.Query(t.Context(), p.spool)
		return err == nil && st.State == control.StateRecording && st.LastFrameTime.After(st.StartTime) && st.Frames > int64(kills)
	})
	if st.SupervisorPID != before || st.EarlierSessions != 0 {
		t.Errorf("status %+v", st)
	}
	if code, out, errs := p.call("stop", "--spool-dir", p.spool, "--wait", "20s"); code != 0 || !strings.Contains(out, st.SessionID) {
		t.Fatalf("stop: exit %d, %q, %q", code, out, errs)
	}
	all := c.all()
	if len(all) != 1 || all[0].end.GetReason() != "stopped by hook" || len(leftFiles(t, p.spool)) != 0 {
		t.Fatalf("%d sessions, end %v, left %v", len(all), all[0].end, leftFiles(t, p.spool))
	}
	checkWhole(t, all[0])
	var lost, longest time.Duration
	for _, e := range all[0].events {
		if g := e.GetGapDeclared(); g != nil {
			d := g.GetEndTime().AsTime().Sub(g.GetStartTime().AsTime())
			lost, longest = lost+d, max(longest, d)
			if g.GetCause() != causeRestarted && g.GetCause() != "frames_late" {
				t.Errorf("gap of %s by %s", d, g.GetCause())
			}
		}
	}
	t.Logf("%d kills cost %s, the worst %s", kills, lost, longest)
	// The last second that was not yet on disk, the restart, and FFmpeg's start; a machine full of tests gets as much again.
	if limit := time.Second + 2*backWithin; longest > limit && !t.Failed() {
		t.Errorf("a gap of %s is longer than %s", longest, limit)
	}
}

// grabs reports whether a child of the process still grabs the display.
func grabs(parent int, display string) bool {
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil || !strings.HasPrefix(string(b), "ffmpeg\x00") || !strings.Contains(string(b), "\x00"+display+"+0,0\x00") {
			continue
		}
		status, err := os.ReadFile(filepath.Join(filepath.Dir(path), "status"))
		// An orphan has another parent: whoever is not of a living agent counts.
		if err == nil && (strings.Contains(string(status), "\nPPid:\t"+itoa(parent)+"\n") || strings.Contains(string(status), "\nPPid:\t1\n")) {
			return true
		}
	}
	return false
}

// A stop that finds the agent dead ends the session all the same, and no other is begun.
func TestStopOfAnAgentThatWasJustKilled(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	p := build(t, c, x.Display())
	for i, pause := range []time.Duration{0, 120 * time.Millisecond, 300 * time.Millisecond} {
		p.mustStart()
		p.kill(p.pid())
		time.Sleep(pause)
		code, out, errs := p.call("stop", "--spool-dir", p.spool, "--wait", "20s")
		if code != 0 || out == "nothing is being recorded\n" || errs != "" {
			t.Errorf("stop after %s: exit %d, %q, %q", pause, code, out, errs)
		}
		all := c.all()
		if len(all) != i+1 || all[i].end.GetReason() != "stopped by hook" || len(leftFiles(t, p.spool)) != 0 || p.pid() != 0 {
			t.Errorf("after %s: %d sessions, end %v, left %v, pid %d", pause, len(all), all[len(all)-1].end, leftFiles(t, p.spool), p.pid())
		}
	}
	if code, out, _ := p.call("stop", "--spool-dir", p.spool); code != 0 || out != "nothing is being recorded\n" {
		t.Errorf("stop again: exit %d, %q", code, out)
	}
}

// An agent that is killed while it hands over goes on handing over.
func TestAgentKilledWhileStoppingDoesNotRecordAgain(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	p := build(t, c, x.Display())
	p.mustStart()
	c.set(func() { c.deaf = true })
	var group sync.WaitGroup
	var code int
	var said string
	group.Go(func() { code, _, said = p.call("stop", "--spool-dir", p.spool, "--wait", "20s") })
	await(t, func() bool {
		st, err := control.Query(t.Context(), p.spool)
		return err == nil && st.State == control.StateStopping
	})
	pid := p.pid()
	p.kill(pid)
	await(t, func() bool { now := p.pid(); return now != 0 && now != pid })
	if st, err := control.Query(t.Context(), p.spool); err != nil || st.State != control.StateStopping || st.Frames != 0 {
		t.Errorf("status %+v, %v", st, err)
	}
	c.set(func() { c.deaf = false })
	group.Wait()
	if all := c.all(); code != 0 || len(all) != 1 || all[0].end.GetReason() != "stopped by hook" || len(leftFiles(t, p.spool)) != 0 {
		t.Errorf("stop: exit %d, %q; %d sessions, end %v", code, said, len(all), all[0].end)
	}
}

// Whatever the two hooks do to one another, the later one has its way, and nothing hangs.
func TestStopWhileStarting(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	p := build(t, c, x.Display())
	for _, pause := range []time.Duration{5, 20, 60, 150, 400, 700} {
		var group sync.WaitGroup
		group.Go(func() {
			if code, out, errs := p.start(); code != 0 && strings.Count(errs, "\n") != 1 {
				t.Errorf("start: exit %d, %q, %q", code, out, errs)
			}
		})
		time.Sleep(pause * time.Millisecond)
		held := func() bool { _, err := os.Stat(filepath.Join(p.spool, "start.lock")); return err == nil }
		await(t, held)
		code, _, errs := p.call("stop", "--spool-dir", p.spool, "--wait", "20s")
		if code != 0 {
			t.Errorf("stop after %d ms: exit %d, %q", pause, code, errs)
		}
		group.Wait()
	}
	if code, _, errs := p.call("stop", "--spool-dir", p.spool); code != 0 || p.pid() != 0 || len(leftFiles(t, p.spool)) != 0 {
		t.Errorf("exit %d, %q, pid %d, left %v", code, errs, p.pid(), leftFiles(t, p.spool))
	}
}

// The desktop's server goes away with the agent: the session is gone on with once it is back.
func TestAgentKilledWhileTheDisplayIsAway(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	p := build(t, c, x.Display())
	p.mustStart()
	st, err := control.Query(t.Context(), p.spool)
	if err != nil {
		t.Fatal(err)
	}
	x.Kill()
	p.kill(st.PID)
	await(t, func() bool { now := p.pid(); return now != 0 && now != st.PID })
	if code, _, errs := p.call("stop", "--spool-dir", p.spool, "--wait", "20s"); code != 0 {
		t.Errorf("stop: exit %d, %q", code, errs)
	}
	if all := c.all(); len(all) != 1 || all[0].end.GetReason() != "stopped by hook" || len(leftFiles(t, p.spool)) != 0 {
		t.Errorf("%d sessions, end %v", len(all), all[0].end)
	} else {
		checkWhole(t, all[0])
	}
}

// Hooks that are run in any order and all at once leave nothing behind but sessions that ended.
func TestStormOfHooks(t *testing.T) {
	const seed, callers, calls = 7, 4, 6
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	p := build(t, c, x.Display())
	var group sync.WaitGroup
	for caller := range callers {
		group.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(caller)))
			for range calls {
				time.Sleep(time.Duration(random.Int64N(int64(300 * time.Millisecond))))
				switch random.IntN(4) {
				case 0, 1:
					// One that loses against a stop may fail, in one line.
					if code, out, errs := p.start(); code != 0 && (code != 1 || strings.Count(errs, "\n") != 1 || out != "") {
						t.Errorf("start: exit %d, %q, %q", code, out, errs)
					}
				case 2:
					if code, _, errs := p.call("stop", "--spool-dir", p.spool, "--wait", "20s"); code != 0 {
						t.Errorf("stop: exit %d, %q", code, errs)
					}
				case 3:
					if st, err := control.Query(t.Context(), p.spool); err == nil {
						_ = syscall.Kill(st.PID, syscall.SIGKILL)
					}
				}
			}
		})
	}
	group.Wait()
	if code, _, errs := p.call("stop", "--spool-dir", p.spool, "--wait", "20s"); code != 0 || p.pid() != 0 || len(leftFiles(t, p.spool)) != 0 {
		t.Errorf("exit %d, %q, pid %d, left %v", code, errs, p.pid(), leftFiles(t, p.spool))
	}
	for _, s := range c.all() {
		if s.end == nil {
			t.Errorf("session of %s has no end", s.start.GetStartTime().AsTime())
		}
	}
	t.Logf("%d sessions", len(c.all()))
}
