package catalog_test

import (
	"testing"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/manifest"
)

// What an addendum says is settled once; when it is written, its gap goes and the digest hears of it.
func testAddenda(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	report(t, c, "a", 1)
	addSegments(t, c, "a", 1)
	f := failure("e", true)
	f.Limit = 1
	l := leaseOne(t, c, "e", at(10))
	if _, err := c.FailJob(ctx, l.Job.ID, 1, f, at(11)); err != nil {
		t.Fatal(err)
	}
	end(t, c, "a", 1)
	if err := c.AddGaps(ctx, "a", []catalog.Gap{{Start: l.Seal.Start, End: l.Seal.End, Cause: "segment_quarantined"}}); err != nil {
		t.Fatal(err)
	}
	_, err := c.SettleAddendum(ctx, "a", 2, []byte("too early"))
	wantErr(t, err, catalog.ErrConflict)
	if err := c.FinishSession(ctx, "a", catalog.SessionComplete, "1 of 1 segments quarantined"); err != nil {
		t.Fatal(err)
	}
	due := func(want int) {
		t.Helper()
		if got, err := c.Amendable(ctx); err != nil || len(got) != want {
			t.Errorf("to amend: %v, %v", got, err)
		}
	}
	due(0)
	if _, err := c.RetryJob(ctx, "a.1", at(20)); err != nil {
		t.Fatal(err)
	}
	due(0)
	archive(t, c, "e", 1, at(30))
	due(1)
	_, err = c.SettleAddendum(ctx, "a", 3, []byte("third"))
	wantErr(t, err, catalog.ErrConflict)
	for _, word := range []string{"first word", "second word"} {
		a, err := c.SettleAddendum(ctx, "a", 2, []byte(word))
		if err != nil || string(a.Content) != "first word" || a.SHA256 != chunk.Sum([]byte("first word")).String() || a.Bytes != 10 || !a.Written.IsZero() {
			t.Errorf("%+v, %v", a, err)
		}
	}
	_, err = c.SettleAddendum(ctx, "a", 3, []byte("before the second is written"))
	wantErr(t, err, catalog.ErrConflict)
	settled, err := c.Addenda(ctx, "a")
	if err != nil || len(settled) != 1 {
		t.Fatal(settled, err)
	}
	told := manifest.Manifest{Addendum: &manifest.Addendum{Number: 2, Segments: []int{1}}}
	for range 2 {
		if err := c.FinishAddendum(ctx, settled[0], told, "v1", at(40)); err != nil {
			t.Fatal(err)
		}
	}
	due(0)
	d, err := c.Detail(ctx, "a")
	if err != nil || len(d.Gaps) != 0 || d.Session.StateReason != "" || d.Session.State != catalog.SessionComplete {
		t.Errorf("%+v, %v", d, err)
	}
	if s, err := c.Session(ctx, "a"); err != nil || s.Totals.Gaps != 0 || s.Totals.Missing != 0 || s.Totals.Archived != 1 {
		t.Errorf("%+v, %v", s.Totals, err)
	}
	if written, err := c.Addenda(ctx, "a"); err != nil || !written[0].Written.Equal(at(40)) || len(written[0].Content) > 0 {
		t.Errorf("%+v, %v", written, err)
	}
	entries, err := c.Untold(ctx, at(50))
	if err != nil || len(entries) != 1 || entries[0].Addendum != 2 || entries[0].Manifest != (catalog.Manifest{SHA256: settled[0].SHA256, Bytes: 10, Version: "v1"}) {
		t.Errorf("%+v, %v", entries, err)
	}
	if err := c.OrderDeletion(ctx, "a", catalog.Deletion{Ordered: at(60)}); err != nil {
		t.Fatal(err)
	}
	_, err = c.SettleAddendum(ctx, "a", 3, []byte("too late"))
	wantErr(t, err, catalog.ErrConflict)
}
