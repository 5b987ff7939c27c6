package appstream

import (
	"slices"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

func (f *fixture) silence(id string) {
	f.t.Helper()
	f.must(f.catalog.MarkSilent(f.t.Context(), id, time.Now()))
}

func TestSilentStrictSessionsAreEnded(t *testing.T) {
	f := newFixture(t)
	f.session("silent", "p-1", same)
	f.session("grace", "p-2", func(s *catalog.Session) { s.Policy.Mode = "grace" })
	f.session("lenient", "p-3", func(s *catalog.Session) { s.Policy.Enforce = "" })
	f.session("elsewhere", "", same)
	f.session("recorded", "p-5", same)
	for _, id := range []string{"silent", "grace", "lenient", "elsewhere"} {
		f.silence(id)
	}
	f.must(f.pass(55*time.Second, "recorded"))
	if got := f.service.ended(); len(got) != 0 {
		t.Fatalf("ended too early: %v", got)
	}
	f.must(f.pass(time.Minute, "recorded"))
	if got := f.service.ended(); !slices.Equal(got, []string{"p-1"}) {
		t.Errorf("ended %v", got)
	}
	if f.State().Expired != 1 || f.log.count("strict session was ended on the platform") != 1 || f.log.count("reason=\"the agent is silent\"") == 0 {
		t.Errorf("state %+v", f.State())
	}
	records, _, err := f.catalog.ListAudit(t.Context(), catalog.AuditFilter{}, 10, "")
	if err != nil || len(records) != 1 || records[0].Object != "silent" || records[0].Action != "session.expire_on_platform" {
		t.Errorf("audited %+v, %v", records, err)
	}
}

func TestAnAgentThatComesBackIsForgiven(t *testing.T) {
	f := newFixture(t)
	f.session("a", "p-1", same)
	for range 3 {
		f.silence("a")
		f.must(f.pass(50 * time.Second))
		f.must(f.catalog.MarkSilent(t.Context(), "a", time.Time{}))
		f.must(f.pass(5*time.Second, "a"))
	}
	if got := f.service.ended(); len(got) != 0 || f.log.count("strict session is no longer unrecorded") != 3 {
		t.Errorf("ended %v", got)
	}
}

func TestLostSessionsAreEndedAlsoWhenTheyAreOver(t *testing.T) {
	f := newFixture(t)
	f.session("a", "p-1", same)
	f.session("b", "p-2", same)
	f.silence("a")
	f.must(f.pass(20 * time.Second))
	f.must(f.catalog.LoseSession(t.Context(), "a", time.Now(), "gone"))
	f.must(f.catalog.CloseLost(t.Context(), "a", f.clock, nil))
	if err := f.catalog.FinishSession(t.Context(), "a", catalog.SessionEmpty, ""); err != nil {
		t.Fatal(err)
	}
	// One that ends in order is none of this.
	f.silence("b")
	f.must(f.pass(20 * time.Second))
	f.must(f.catalog.EndSession(t.Context(), "b", catalog.End{Reason: "stopped by hook", Time: f.clock.Add(time.Hour)}))
	f.must(f.pass(80 * time.Second))
	if got := f.service.ended(); !slices.Equal(got, []string{"p-1"}) {
		t.Errorf("ended %v", got)
	}
}

// An agent that speaks and takes no pictures, as with a full spool or a display that is gone, does not record.
func TestSessionsWithoutPicturesAreEnded(t *testing.T) {
	f := newFixture(t)
	f.session("a", "p-1", same)
	f.session("b", "p-2", same)
	f.must(f.pass(30*time.Second, "a", "b"))
	for range 16 {
		f.Framed("a", 7)
		f.must(f.pass(5*time.Second, "b"))
	}
	if got := f.service.ended(); !slices.Equal(got, []string{"p-1"}) {
		t.Errorf("ended %v", got)
	}
}

func TestSessionsThatTheCatalogCallsUnrecordedAreEnded(t *testing.T) {
	f := newFixture(t)
	f.session("a", "p-1", same)
	f.must(f.catalog.MarkUnrecorded(t.Context(), "a", time.Now()))
	f.must(f.pass(90*time.Second, "a"))
	if got := f.service.ended(); !slices.Equal(got, []string{"p-1"}) {
		t.Errorf("ended %v", got)
	}
}

// An agent that was given up begins another session of ours for the same session of the platform: that one is recorded.
func TestASessionInPlaceOfALostOneIsNotEnded(t *testing.T) {
	f := newFixture(t)
	f.session("a", "p-1", same)
	f.must(f.catalog.LoseSession(t.Context(), "a", time.Now(), "gone"))
	f.must(f.pass(30 * time.Second))
	f.session("b", "p-1", same)
	f.must(f.pass(90*time.Second, "b"))
	if got := f.service.ended(); len(got) != 0 {
		t.Errorf("ended %v", got)
	}
}

func TestAStandstillOfTheCoordinatorEndsNobody(t *testing.T) {
	f := newFixture(t)
	f.session("a", "p-1", same)
	f.silence("a")
	f.must(f.pass(10 * time.Second))
	f.clock = f.clock.Add(time.Hour)
	f.must(f.pass(50 * time.Second))
	if got := f.service.ended(); len(got) != 0 {
		t.Errorf("ended %v", got)
	}
	f.must(f.pass(20 * time.Second))
	if got := f.service.ended(); len(got) != 1 {
		t.Errorf("ended %v", got)
	}
}

func TestThrottlingAndErrorsAreOutlasted(t *testing.T) {
	f := newFixture(t)
	f.session("a", "p-1", same)
	f.silence("a")
	f.must(f.pass(50 * time.Second))
	f.service.set(func(s *service) { s.throttled = 3 }) // fewer than the client tries
	f.must(f.pass(15 * time.Second))
	if got := f.service.ended(); len(got) != 1 {
		t.Errorf("throttled: ended %v", got)
	}
	f.session("b", "p-2", same)
	f.silence("b")
	f.service.set(func(s *service) { s.broken = "OperationNotPermittedException" })
	if err := f.pass(100 * time.Second); err == nil {
		t.Error("a platform that refuses is not told")
	}
	f.service.set(func(s *service) { s.broken = "" })
	f.must(f.pass(90 * time.Second))
	if got := f.service.ended(); !slices.Equal(got, []string{"p-1", "p-2"}) {
		t.Errorf("ended %v", got)
	}
	if f.log.count("strict session goes on unrecorded") != 1 || f.State().Failed < 2 || f.log.count("because of this") == 0 {
		t.Errorf("state %+v, log\n%s", f.State(), &f.log.text)
	}
}

func TestASessionThatThePlatformDoesNotKnowIsOver(t *testing.T) {
	f := newFixture(t)
	f.session("a", "unknown", same)
	f.silence("a")
	f.must(f.pass(80 * time.Second))
	if f.State().Expired != 0 || f.State().Failed != 0 || f.log.count("strict session is over on the platform") != 1 {
		t.Errorf("state %+v, log\n%s", f.State(), &f.log.text)
	}
}
