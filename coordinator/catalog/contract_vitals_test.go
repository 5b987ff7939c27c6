package catalog_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

var vitalsContract = map[string]func(t *testing.T, open opener){
	"vitals are counted":             testVitals,
	"what only grows is tallied":     testTallies,
	"labels are bounded":             testLabels,
	"unrecorded sessions are marked": testUnrecorded,
	"a ping writes":                  testPing,
}

func TestVitalsSQLite(t *testing.T) {
	for name, test := range vitalsContract {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, openAt(t, "sqlite:"+filepath.Join(t.TempDir(), "catalog.db")))
		})
	}
}

func TestVitalsPostgres(t *testing.T) {
	for name, test := range vitalsContract {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, openAt(t, newPostgres(t)))
		})
	}
}

func vitals(t *testing.T, c *catalog.Catalog, now time.Time) catalog.Vitals {
	t.Helper()
	v, err := c.Vitals(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func testVitals(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	v := vitals(t, c, at(0))
	if v.Sessions[catalog.SessionStarting] != 0 || len(v.Sessions) != 3 || len(v.Jobs) != 4 || !v.OldestUnsealed.IsZero() || !v.OldestUnencoded.IsZero() || v.Backlog[""] != 0 {
		t.Errorf("of nothing: %+v", v)
	}
	create(t, c, "a") // nothing sealed
	if v = vitals(t, c, at(0)); !v.OldestUnsealed.Equal(at(0)) || v.Sessions[catalog.SessionStarting] != 1 {
		t.Errorf("%+v", v)
	}
	create(t, c, "b")
	report(t, c, "a", 2)
	report(t, c, "b", 2)
	addSegments(t, c, "a", 1)
	addSegments(t, c, "b", 1, 2)
	if err := c.MarkSilent(ctx, "a", at(3)); err != nil {
		t.Fatal(err)
	}
	v = vitals(t, c, at(3))
	if v.Sessions[catalog.SessionRecording] != 2 || v.Silent != 1 || !v.OldestUnsealed.Equal(at(10)) || !v.OldestUnencoded.Equal(at(10)) ||
		v.Backlog[""] != 30*time.Second || v.Jobs[catalog.JobAvailable] != 3 || v.Expired != 0 {
		t.Errorf("%+v", v)
	}
	l := leaseOne(t, c, "e", at(30))
	if v = vitals(t, c, at(59)); v.Jobs[catalog.JobRunning] != 1 || v.Jobs[catalog.JobAvailable] != 2 || v.Expired != 0 || v.Backlog[""] != 30*time.Second {
		t.Errorf("%+v", v)
	}
	if v = vitals(t, c, at(61)); v.Expired != 1 {
		t.Errorf("%+v", v)
	}
	if err := c.CompleteJob(ctx, l.Job.ID, l.Job.Generation, recording("k", "e")); err != nil {
		t.Fatal(err)
	}
	if v = vitals(t, c, at(61)); v.Jobs[catalog.JobRunning] != 0 || v.Expired != 0 || v.Backlog[""] != 20*time.Second {
		t.Errorf("%+v", v)
	}
	// b has ended and all of it is sealed; a has ended and lacks one.
	for _, id := range []string{"a", "b"} {
		if err := c.EndSession(ctx, id, catalog.End{Time: at(20), LastSegment: 2, LastEvent: 3}); err != nil {
			t.Fatal(err)
		}
	}
	if v = vitals(t, c, at(61)); v.Sessions[catalog.SessionFinalizing] != 2 || !v.OldestUnsealed.Equal(at(10)) || v.Silent != 0 {
		t.Errorf("%+v", v)
	}
	addSegments(t, c, "a", 2)
	if v = vitals(t, c, at(61)); !v.OldestUnsealed.IsZero() {
		t.Errorf("%+v", v)
	}
	if got, err := c.FinalSessions(ctx); err != nil || got[catalog.SessionComplete] != 0 || len(got) != 4 {
		t.Error(got, err)
	}
	if err := c.FinishSession(ctx, "b", catalog.SessionComplete, ""); err != nil {
		t.Fatal(err)
	}
	if got, err := c.FinalSessions(ctx); err != nil || got[catalog.SessionComplete] != 1 {
		t.Error(got, err)
	}
}

func testTallies(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	report(t, c, "a", 2)
	addSegments(t, c, "a", 1, 1, 2) // one twice
	leaseOne(t, c, "e", at(10))
	if _, err := c.RescueJobs(ctx, at(60), rescue); err != nil {
		t.Fatal(err)
	}
	if err := c.EndSession(ctx, "a", catalog.End{Time: at(20), LastSegment: 2, LastEvent: 3}); err != nil {
		t.Fatal(err)
	}
	gaps := []catalog.Gap{{Start: at(1), End: at(3), Cause: "x"}, {Start: at(1), End: at(3), Cause: "x"}, {Start: at(5), End: at(6), Cause: "x"}, {Start: at(5), End: at(7), Cause: "y"}}
	for range 2 { // known ones are passed over
		if err := c.AddGaps(ctx, "a", gaps); err != nil {
			t.Fatal(err)
		}
	}
	v := vitals(t, c, at(60))
	if want := (map[string]catalog.Tally{"x": {2, 3 * time.Second}, "y": {1, 2 * time.Second}}); !maps.Equal(v.Gaps, want) {
		t.Errorf("gaps %v", v.Gaps)
	}
	if want := (map[catalog.Party]catalog.Tally{catalog.PartyAgent: {2, 20 * time.Second}}); !maps.Equal(v.Sealed, want) {
		t.Errorf("sealed %v", v.Sealed)
	}
	if v.Rescues != 1 {
		t.Errorf("%d rescues", v.Rescues)
	}
}

func testLabels(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	if err := c.EndSession(ctx, "a", catalog.End{Time: at(1)}); err != nil {
		t.Fatal(err)
	}
	for n := range 200 {
		if err := c.AddGaps(ctx, "a", []catalog.Gap{{Start: at(0), End: at(1), Cause: fmt.Sprint("c", n)}}); err != nil {
			t.Fatal(err)
		}
	}
	if v := vitals(t, c, at(60)); len(v.Gaps) != 65 || v.Gaps["other"].Times != 136 || v.Gaps["c0"].Times != 1 {
		t.Errorf("%d labels, %+v others", len(v.Gaps), v.Gaps["other"])
	}
}

func testUnrecorded(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	create(t, c, "b")
	mark := func(since time.Time, want string, count int) {
		t.Helper()
		if err := c.MarkUnrecorded(ctx, "a", since); err != nil {
			t.Fatal(err)
		}
		s, err := c.Session(ctx, "a")
		listed, _, listErr := c.ListSessions(ctx, catalog.Filter{}, 10, "")
		if err != nil || listErr != nil || len(listed) != 2 || s.Reason() != want || listed[0].Reason()+listed[1].Reason() != want {
			t.Errorf("%q, %+v, %v, %v", s.Reason(), listed, err, listErr)
		}
		if v := vitals(t, c, at(9)); v.Unrecorded != count {
			t.Errorf("%d unrecorded", v.Unrecorded)
		}
	}
	const since5 = "user active, nothing recorded since 2026-09-03T12:00:05Z"
	mark(at(5), since5, 1)
	mark(at(6), since5, 1)
	mark(time.Time{}, "", 0)
	mark(time.Time{}, "", 0)
	mark(at(5), since5, 1)
	if found, err := c.Unrecorded(ctx); err != nil || len(found) != 1 || !found["a"].Equal(at(5)) {
		t.Error(found, err)
	}
	if err := c.EndSession(ctx, "a", catalog.End{Time: at(20)}); err != nil {
		t.Fatal(err)
	}
	mark(at(7), "", 0)
	if err := c.MarkUnrecorded(ctx, "none", at(1)); err == nil {
		t.Error("a session that is none was marked")
	}
	if err := c.MarkUnrecorded(ctx, "none", time.Time{}); err != nil {
		t.Error(err)
	}
}

func testPing(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	for range 2 {
		if err := c.Ping(ctx); err != nil {
			t.Error(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Ping(ctx); err == nil {
		t.Error("a closed catalog answers")
	}
}
