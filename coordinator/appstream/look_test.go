package appstream

import (
	"slices"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/policy"
)

func (f *fixture) visited(visits ...map[string]any) {
	f.service.set(func(s *service) { s.sessions = visits })
}

func (f *fixture) alarms() (ids []string) {
	for _, u := range f.State().Unrecorded {
		ids = append(ids, u.Session)
	}
	slices.Sort(ids)
	return ids
}

const alarm = "user active, nothing recorded"

func TestUnrecordedUsersRaiseAnAlarm(t *testing.T) {
	f := newFixture(t)
	f.session("a", "p-recorded", same)
	f.session("r", "p-refused", func(s *catalog.Session) { s.State, s.StateReason = catalog.SessionRefused, "no" })
	f.visited(
		visit("p-recorded", "ann", "CONNECTED", f.clock), visit("p-none", "bob", "CONNECTED", f.clock), visit("p-away", "carl", "NOT_CONNECTED", f.clock),
		visit("p-guest", "guest", "CONNECTED", f.clock), visit("p-refused", "dora", "CONNECTED", f.clock),
	)
	f.must(f.pass(55*time.Second, "a"))
	if got := f.alarms(); len(got) != 0 {
		t.Errorf("too early: %v", got)
	}
	f.must(f.pass(5*time.Second, "a"))
	if got := f.alarms(); !slices.Equal(got, []string{"p-none"}) || f.log.count(alarm) != 1 {
		t.Errorf("alarms %v", got)
	}
	f.must(f.pass(65*time.Second, "a"))
	if s := f.State(); f.log.count(alarm) != 1 || s.Connected != 4 || s.Answered.IsZero() || s.Failed != 0 {
		t.Errorf("later %+v", s)
	}
	f.service.set(func(s *service) {
		if slices.Sort(s.asked); !slices.Equal(slices.Compact(s.asked), []string{"API", "SAML", "USERPOOL"}) {
			t.Errorf("asked for %v", s.asked)
		}
	})
	// It is recorded after all, and later it is not.
	f.session("b", "p-none", same)
	f.must(f.pass(5*time.Second, "a", "b"))
	if got := f.alarms(); len(got) != 0 || f.log.count("unrecorded user is recorded") != 1 {
		t.Errorf("recorded: %v", got)
	}
	f.must(f.catalog.MarkSilent(t.Context(), "b", time.Now()))
	f.must(f.pass(55*time.Second, "a"))
	if got := f.alarms(); len(got) != 0 {
		t.Errorf("silent for a moment: %v", got)
	}
	f.must(f.pass(15*time.Second, "a"))
	if got := f.alarms(); !slices.Equal(got, []string{"p-none"}) {
		t.Errorf("silent: %v", got)
	}
	f.visited()
	f.must(f.pass(time.Minute, "a"))
	if got := f.alarms(); len(got) != 0 || f.State().Connected != 0 || f.log.count("unrecorded user left") != 1 {
		t.Errorf("left: %v", got)
	}
}

// Who has been connected for long when this process begins to look is an alarm at once.
func TestAnAlarmDoesNotWaitForASecondLook(t *testing.T) {
	f := newFixture(t)
	f.visited(visit("p", "bob", "CONNECTED", f.clock.Add(-time.Hour)))
	f.must(f.pass(5 * time.Second))
	if got := f.alarms(); len(got) != 1 {
		t.Errorf("alarms %v", got)
	}
}

// A session that has not taken its first picture is not recorded.
func TestAStartingSessionIsNotARecording(t *testing.T) {
	f := newFixture(t)
	f.session("a", "p", func(s *catalog.Session) { s.State = catalog.SessionStarting })
	f.visited(visit("p", "bob", "CONNECTED", f.clock))
	f.must(f.pass(65 * time.Second))
	if got := f.alarms(); len(got) != 1 {
		t.Errorf("alarms %v", got)
	}
}

func TestWhatIsKnownOutlastsAPlatformThatCannotBeAsked(t *testing.T) {
	f := newFixture(t)
	f.visited(visit("p", "bob", "CONNECTED", f.clock.Add(-time.Hour)))
	f.must(f.pass(5 * time.Second))
	answered := f.State().Answered
	f.service.set(func(s *service) { s.broken = "InternalFailure" })
	if err := f.pass(65 * time.Second); err == nil {
		t.Error("a platform that fails is not told")
	}
	if s := f.State(); len(s.Unrecorded) != 1 || s.Failed == 0 || !s.Answered.Equal(answered) {
		t.Errorf("state %+v", s)
	}
	f.service.set(func(s *service) { s.broken, s.throttled = "", 4 })
	f.must(f.pass(time.Minute))
	if s := f.State(); len(s.Unrecorded) != 1 || !s.Answered.After(answered) {
		t.Errorf("state %+v", s)
	}
}

func TestNothingIsAskedWithoutAWatch(t *testing.T) {
	f := newFixture(t)
	f.visited(visit("p", "bob", "CONNECTED", f.clock.Add(-time.Hour)))
	f.must(f.pass(5 * time.Second))
	empty, err := policy.Parse([]byte("rules: []"))
	f.must(err)
	f.cfg.Policy = func() *policy.Policy { return empty }
	f.service.set(func(s *service) { s.calls = 0 })
	f.must(f.pass(65 * time.Second))
	if s := f.State(); s.Connected != 0 || f.service.calls != 0 {
		t.Errorf("state %+v, %d calls", s, f.service.calls)
	}
	if _, err := Dial(t.Context(), "", ""); err == nil {
		t.Error("dialed without a region")
	}
}
