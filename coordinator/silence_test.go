package coordinator_test

import (
	"strings"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// A network that is cut for a while, and a coordinator that is started anew meanwhile, lose nothing.
func TestSilentAgentIsWaitedFor(t *testing.T) {
	w := newWorld(t, coordinator.Config{Patience: time.Second, GiveUp: time.Hour})
	a, e := newAgent(w), newEncoder(w)
	a.segment(10)
	heard := time.Now()
	silent := func() bool {
		return strings.HasPrefix(w.session(a.session).GetStateReason(), "agent silent since ")
	}
	logged := func(message string, want int) {
		t.Helper()
		if got := strings.Count(w.log.String(), message); got != want {
			t.Errorf("%q was logged %d times instead of %d", message, got, want)
		}
	}
	w.until("silence", silent)
	s := w.session(a.session)
	since, err := time.Parse(time.RFC3339, strings.TrimPrefix(s.GetStateReason(), "agent silent since "))
	if err != nil || s.GetState() != recfleetv1.SessionState_SESSION_STATE_RECORDING || heard.Sub(since).Abs() > 2*time.Second {
		t.Errorf("%v, %v", s, err)
	}
	w.stop()
	w.start()
	if !silent() {
		t.Error("the restart took it for a sign of life")
	}
	seal, chunks := a.record(10)
	a.publish(chunks...)
	a.report(sealed(seal))
	w.until("the agent's return", func() bool { return w.session(a.session).GetStateReason() == "" })
	logged("agent fell silent", 1)
	logged("agent is back", 1)

	if got := a.sync(2); len(got.GetReceipts()) != 1 {
		t.Fatalf("%v", got)
	}
	w.until("silence", silent)
	logged("agent fell silent", 2)
	a.end(40 * time.Second)
	e.work(2)
	s = w.await(a.session, recfleetv1.SessionState_SESSION_STATE_COMPLETE)
	if s.GetStateReason() != "" || s.GetGapCount() != 0 {
		t.Errorf("%v", s)
	}
	logged("interrupted", 0)
}

// One that has ended and lacks a segment is waited for as well; one that has brought everything may be silent.
func TestSilenceAfterTheEnd(t *testing.T) {
	w := newWorld(t, coordinator.Config{Patience: time.Second, GiveUp: time.Hour})
	done, owing := newAgent(w), newAgent(w)
	done.segment(1)
	done.end(2 * time.Second)
	seal, chunks := owing.record(2)
	owing.publish(chunks[0])
	owing.report(sealed(seal))
	owing.end(4 * time.Second)
	w.until("silence", func() bool { return w.session(owing.session).GetStateReason() != "" })
	if s := w.session(done.session); s.GetStateReason() != "" || s.GetState() != recfleetv1.SessionState_SESSION_STATE_FINALIZING {
		t.Errorf("%v", s)
	}
	owing.publish(chunks[1])
	if got := owing.sync(1); len(got.GetReceipts()) != 1 {
		t.Errorf("%v", got)
	}
	newEncoder(w).work(2)
	for _, a := range []*agent{done, owing} {
		if s := w.await(a.session, recfleetv1.SessionState_SESSION_STATE_COMPLETE); s.GetStateReason() != "" {
			t.Errorf("%v", s)
		}
	}
}
