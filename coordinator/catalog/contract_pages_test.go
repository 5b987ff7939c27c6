package catalog_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

// Sessions from before totals were kept have them afterwards.
func testTotalsUpgrade(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	for _, id := range []string{"a", "b", "c"} {
		create(t, c, id)
		report(t, c, id, 2)
	}
	addSegments(t, c, "a", 1, 2)
	addSegments(t, c, "b", 1)
	archive(t, c, "e", 2, at(20))
	for _, id := range []string{"b", "c"} {
		if _, err := c.AppendEvents(ctx, id, []catalog.Event{{Number: 4, Gap: &catalog.Gap{Start: at(20), End: at(23), Cause: "x"}}}); err != nil {
			t.Fatal(err)
		}
	}
	before, _, err := c.ListSessions(ctx, catalog.Filter{}, 10, "")
	if err != nil || len(before) != 3 {
		t.Fatal(before, err)
	}
	for _, column := range []string{"segment_count", "recorded", "archived_count", "archived_bytes", "gap_count", "missing"} {
		if err := c.Run(ctx, "ALTER TABLE sessions DROP COLUMN "+column); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Run(ctx, "DELETE FROM migrations WHERE number = 28"); err != nil {
		t.Fatal(err)
	}
	after, _, err := open().ListSessions(ctx, catalog.Filter{}, 10, "")
	if err != nil || len(after) != 3 {
		t.Fatal(after, err)
	}
	for i := range before {
		if after[i].Totals != before[i].Totals || after[i].Totals == (catalog.Totals{}) {
			t.Errorf("%s: %+v, want %+v", after[i].ID, after[i].Totals, before[i].Totals)
		}
	}
}

// Where most sessions were deleted the few that are kept are found, in every order, and all where all are asked for.
func testListDeleted(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	for i, s := range stock(t, c, rand.New(rand.NewPCG(3, 4)), 90) {
		if i%9 == 4 || !s.State.Final() {
			continue
		}
		if err := errors.Join(c.OrderDeletion(ctx, s.ID, catalog.Deletion{Ordered: at(1), By: "ann"}), c.FinishDeletion(ctx, s.ID, at(2))); err != nil {
			t.Fatal(err)
		}
	}
	all, _, err := c.ListSessions(ctx, catalog.Filter{Ascending: true, Deleted: true}, 100, "")
	if err != nil || len(all) != 90 {
		t.Fatal(len(all), err)
	}
	kept := slices.DeleteFunc(slices.Clone(all), func(s catalog.Session) bool { return !s.Deletion.Done.IsZero() })
	if len(kept) < 5 || len(kept) > 60 {
		t.Fatalf("%d are kept", len(kept))
	}
	for _, f := range []catalog.Filter{
		{}, {Fleet: "f1"}, {Fleet: "f1", Stack: "t1"}, {User: "Ann"}, {Text: "example"}, {Text: "f1 t0"}, {Text: "exam*"}, {States: []catalog.SessionState{catalog.SessionComplete}},
		{ActiveAt: all[45].Start.Add(time.Minute)}, {ActiveAt: all[45].Start, Text: "f1"}, {EndedAfter: at(3 * 86400), EndedBefore: at(20 * 86400)},
		{EndedAfter: at(3 * 86400), EndedBefore: at(20 * 86400), Stack: "t1"}, {EndedAfter: at(3 * 86400), Fleet: "f2", Text: "t1"},
		{Scope: &catalog.Scope{Parts: []catalog.Part{{Groups: []string{"g0"}}}}}, {Scope: &catalog.Scope{Parts: []catalog.Part{{Fleets: []string{"f0", "f2"}}, {Users: []string{"Bob"}}}}},
		{Scope: fleets("f0", "f2")}, {Scope: fleets("f0", "f2"), EndedAfter: at(3 * 86400), EndedBefore: at(20 * 86400)}, {Scope: fleets("f0", "f2"), Text: "exam*"},
	} {
		for _, f.Deleted = range []bool{false, true} {
			for _, f.Order = range []catalog.Order{catalog.OrderStart, catalog.OrderEnd, catalog.OrderUser} {
				for _, f.Ascending = range []bool{false, true} {
					for _, budget := range []int{1, 2000} {
						c.SetBudget(budget)
						from := kept
						if f.Deleted {
							from = all
						}
						if got, want := listAll(t, c, f, 3), expected(f, from); !slices.Equal(got, want) {
							t.Errorf("%+v with budget %d:\n%v, want\n%v", f, budget, got, want)
						}
					}
				}
			}
		}
	}
}
