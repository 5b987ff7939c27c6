package agent

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/recfleet/recfleet/agent/control"
	"github.com/recfleet/recfleet/test/desktop"
)

// hangWithin is how soon a hanging agent must have been replaced: 5 s of silence, the kill and the restart.
const hangWithin = 5*time.Second + 2*backWithin

// recording starts the program and returns its status once it records.
func (p *program) recording() control.Status {
	p.t.Helper()
	p.mustStart()
	st, err := control.Query(p.t.Context(), p.spool)
	if err != nil || st.SupervisorPID < 2 {
		p.t.Fatalf("status %+v, %v", st, err)
	}
	return st
}

// awaitOther waits until another agent records the session under a supervisor, and returns its status.
func (p *program) awaitOther(st control.Status, within time.Duration) control.Status {
	p.t.Helper()
	since := time.Now()
	var now control.Status
	await(p.t, func() bool {
		var err error
		now, err = control.Query(p.t.Context(), p.spool)
		return err == nil && now.PID != st.PID && now.SessionID != "" && now.State == control.StateRecording && now.SupervisorPID > 1
	})
	if d := time.Since(since); d > within {
		p.t.Errorf("back after %s", d)
	}
	if now.SessionID != st.SessionID {
		p.t.Errorf("session %s goes on as %s", st.SessionID, now.SessionID)
	}
	return now
}

// awaitSupervisor waits until the agent has a supervisor other than that one, and returns it.
func (p *program) awaitSupervisor(other int) int {
	p.t.Helper()
	var pid int
	await(p.t, func() bool {
		st, err := control.Query(p.t.Context(), p.spool)
		pid = st.SupervisorPID
		return err == nil && pid > 1 && pid != other
	})
	return pid
}

// finishOnly stops the program and checks that there was one session without a hole.
func (p *program) finishOnly(c *coordinator) told {
	p.t.Helper()
	if code, _, errs := p.call("stop", "--spool-dir", p.spool, "--wait", "20s"); code != 0 {
		p.t.Fatalf("stop: exit %d, %q", code, errs)
	}
	all := c.all()
	if len(all) != 1 || all[0].end.GetReason() != "stopped by hook" || len(leftFiles(p.t, p.spool)) != 0 || p.pid() != 0 {
		p.t.Fatalf("%d sessions, end %v, left %v, pid %d", len(all), all[0].end, leftFiles(p.t, p.spool), p.pid())
	}
	checkWhole(p.t, all[0])
	return all[0]
}

func send(t *testing.T, pid int, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(pid, sig); err != nil {
		t.Fatal(err)
	}
}

// Nothing is heard from an agent that is stopped: it is killed, and another goes on with the session.
func TestHangingAgentIsReplaced(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	p := build(t, c, x.Display())
	st := p.recording()
	// A moment is no hang.
	send(t, st.PID, syscall.SIGSTOP)
	<-time.After(2 * time.Second)
	send(t, st.PID, syscall.SIGCONT)
	await(t, func() bool {
		now, err := control.Query(t.Context(), p.spool)
		return err == nil && now.PID == st.PID && now.Frames > st.Frames+10
	})
	send(t, st.PID, syscall.SIGSTOP)
	now := p.awaitOther(st, hangWithin)
	if now.SupervisorPID != st.SupervisorPID {
		t.Errorf("supervisor %d, was %d", now.SupervisorPID, st.SupervisorPID)
	}
	s := p.finishOnly(c)
	if !strings.Contains(s.gaps(), causeRestarted) {
		t.Errorf("gaps %s", s.gaps())
	}
}

// Where both stood still, as when the machine was suspended, it is not the agent's silence.
func TestSupervisorThatStoodStillTooKillsNobody(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	p := build(t, c, x.Display())
	st := p.recording()
	for _, pid := range []int{st.PID, st.SupervisorPID} {
		send(t, pid, syscall.SIGSTOP)
	}
	<-time.After(hangWithin)
	// The supervisor is up first, and has to wait.
	send(t, st.SupervisorPID, syscall.SIGCONT)
	<-time.After(1500 * time.Millisecond)
	send(t, st.PID, syscall.SIGCONT)
	await(t, func() bool {
		now, err := control.Query(t.Context(), p.spool)
		return err == nil && now.PID == st.PID && now.Frames > st.Frames+10
	})
	p.finishOnly(c)
}

// The pair is whole again whichever of the two is killed, and the recording goes on through all of it.
func TestKilledSupervisorIsReplaced(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	p := build(t, c, x.Display())
	st := p.recording()
	for range 2 {
		send(t, st.SupervisorPID, syscall.SIGKILL)
		supervisor := p.awaitSupervisor(st.SupervisorPID)
		if now, err := control.Query(t.Context(), p.spool); err != nil || now.PID != st.PID {
			t.Fatalf("status %+v, %v: the agent was not taken over", now, err)
		}
		since := p.kill(st.PID)
		pid := p.awaitBack(st.PID, st.SessionID, since)
		if st.PID = pid; p.awaitSupervisor(st.SupervisorPID) != supervisor {
			t.Error("another supervisor than that which took over")
		}
		st.SupervisorPID = supervisor
		p.awaitOther(control.Status{SessionID: st.SessionID}, hangWithin)
	}
	// One that was taken over is replaced when it hangs, too.
	send(t, st.SupervisorPID, syscall.SIGKILL)
	p.awaitSupervisor(st.SupervisorPID)
	send(t, st.PID, syscall.SIGSTOP)
	p.awaitOther(st, hangWithin)
	if n := grabbers(x.Display()); n > 1 {
		t.Errorf("%d grabbers: two agents record", n)
	}
	p.finishOnly(c)
}

// A stop ends the pair, also where the supervisor was killed just before, and whichever gets the signal.
func TestStopAfterTheSupervisorWasKilled(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	p := build(t, c, x.Display())
	st := p.recording()
	send(t, st.SupervisorPID, syscall.SIGKILL)
	p.finishOnly(c)
	st = p.recording()
	send(t, st.SupervisorPID, syscall.SIGKILL)
	send(t, p.awaitSupervisor(st.SupervisorPID), syscall.SIGTERM)
	await(t, func() bool { return p.pid() == 0 })
	await(t, func() bool { return len(leftFiles(t, p.spool)) == 0 })
	if all := c.all(); len(all) != 2 || all[1].end.GetReason() != "stopped by signal" {
		t.Errorf("%d sessions, end %v", len(all), all[len(all)-1].end)
	}
}

// A supervisor that is killed while the hook waits is a failed start, after which nothing records.
func TestSupervisorKilledWhileStarting(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	c.set(func() { c.deaf = true })
	p := build(t, c, x.Display())
	var group sync.WaitGroup
	var code int
	var errs string
	group.Go(func() { code, _, errs = p.start() })
	var st control.Status
	await(t, func() bool {
		var err error
		st, err = control.Query(t.Context(), p.spool)
		return err == nil && st.SupervisorPID > 1
	})
	send(t, st.SupervisorPID, syscall.SIGKILL)
	group.Wait()
	if code != 1 || strings.Count(errs, "\n") != 1 || p.pid() != 0 {
		t.Errorf("exit %d, %q, pid %d", code, errs, p.pid())
	}
	for _, name := range []string{"run.json", "ready.sock"} {
		if _, err := os.Stat(filepath.Join(p.spool, name)); err == nil {
			t.Errorf("%s was left", name)
		}
	}
}
