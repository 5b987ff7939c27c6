package watch

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

// An agent that speaks every two seconds, and what the catalog says of its session.
type speaker struct {
	t      *testing.T
	w      *Watch
	c      *catalog.Catalog
	frames int64
}

// speak goes on for a while; grows says whether pictures are taken, idle how idle the user is at each moment.
func (s *speaker) speak(d time.Duration, grows bool, idle func() time.Duration) {
	s.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(2 * time.Second) {
		if grows {
			s.frames += 10
		}
		s.w.Seen("a")
		s.w.Frames("a", s.frames, idle())
		if err := s.w.Step(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *speaker) want(alarm bool) {
	s.t.Helper()
	got, err := s.c.Session(s.t.Context(), "a")
	if err != nil || !got.Unrecorded.IsZero() != alarm || strings.Contains(got.Reason(), "user active, nothing recorded since") != alarm {
		s.t.Errorf("alarm is %v, %q, %v", !got.Unrecorded.IsZero(), got.Reason(), err)
	}
}

func active() time.Duration { return time.Second }

func spoken(t *testing.T, test func(s *speaker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w, c := watched(t)
		defer c.Close()
		test(&speaker{t: t, w: w, c: c})
	})
}

func TestActiveUserOfWhomNothingIsRecorded(t *testing.T) {
	spoken(t, func(s *speaker) {
		s.speak(time.Minute, true, active)
		s.want(false)
		stopped := time.Now()
		s.speak(20*time.Second, false, active)
		s.want(false)
		s.speak(16*time.Second, false, active)
		s.want(true)
		if got, _ := s.c.Session(s.t.Context(), "a"); stopped.Sub(got.Unrecorded).Abs() > 3*time.Second {
			s.t.Errorf("since %v, pictures ended at %v", got.Unrecorded, stopped)
		}
		// It stays when the user rests, and over the coordinator's own restart.
		rest := time.Now()
		s.speak(time.Minute, false, func() time.Duration { return time.Since(rest) })
		s.want(true)
		s.w = New(s.w.cfg)
		s.speak(time.Minute, false, active)
		s.want(true)
		s.speak(4*time.Second, true, active)
		s.want(false)
	})
}

func TestIdleUserIsNoAlarm(t *testing.T) {
	spoken(t, func(s *speaker) {
		s.speak(10*time.Second, true, active)
		rest := time.Now()
		s.speak(2*time.Minute, false, func() time.Duration { return time.Since(rest) })
		s.want(false)
		s.speak(2*time.Second, false, active) // back, and nothing is recorded all the same
		s.want(true)
	})
}

func TestNoPictureFromTheBeginning(t *testing.T) {
	spoken(t, func(s *speaker) {
		s.speak(28*time.Second, false, active)
		s.want(false)
		s.speak(6*time.Second, false, active)
		s.want(true)
		// A stop that was ordered ends it.
		if err := s.c.StopSession(s.t.Context(), "a", "by admin"); err != nil {
			s.t.Fatal(err)
		}
		s.speak(2*time.Second, false, active)
		s.want(false)
	})
}

func TestAlarmEndsWithItsSession(t *testing.T) {
	spoken(t, func(s *speaker) {
		s.speak(40*time.Second, false, active)
		s.want(true)
		if err := s.c.EndSession(s.t.Context(), "a", catalog.End{Time: time.Now()}); err != nil {
			s.t.Fatal(err)
		}
		if err := s.w.Step(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		s.want(false)
		if left, err := s.c.Unrecorded(s.t.Context()); err != nil || len(left) != 0 {
			s.t.Error(left, err)
		}
	})
}

// A process that stood still heard nobody; that is no alarm.
func TestStandstillIsNoAlarm(t *testing.T) {
	spoken(t, func(s *speaker) {
		s.speak(10*time.Second, true, active)
		time.Sleep(time.Hour)
		s.speak(20*time.Second, false, active)
		s.want(false)
		s.speak(16*time.Second, false, active)
		s.want(true)
	})
}
