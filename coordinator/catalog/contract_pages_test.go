package catalog_test

import (
	"testing"

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
