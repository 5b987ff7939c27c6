package catalog_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

func testEvents(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	_, err := c.AppendEvents(ctx, "a", []catalog.Event{{Number: 2, Gap: &catalog.Gap{}}})
	wantErr(t, err, catalog.ErrEventHole)
	report(t, c, "a", 2)
	report(t, c, "a", 2)
	if got := state(t, c, "a"); got != catalog.SessionRecording {
		t.Errorf("state %s", got)
	}
	s9 := seal("a", 9)
	_, err = c.AppendEvents(ctx, "a", []catalog.Event{{Number: 4, Gap: &catalog.Gap{Start: at(1), End: at(2), Cause: "x"}}, {Number: 5, Seal: &s9}})
	wantErr(t, err, catalog.ErrConflict)
	d, err := c.Detail(ctx, "a")
	if err != nil || len(d.Gaps) != 0 || d.Session.LastEvent != 3 || len(d.Epochs) != 1 {
		t.Fatalf("a refused batch left something: %+v, %v", d, err)
	}
	known, err := c.AppendEvents(ctx, "a", []catalog.Event{
		{Number: 3, Gap: &catalog.Gap{Start: at(8), End: at(9), Cause: "old"}},
		{Number: 4, Time: at(3), Gap: &catalog.Gap{Start: at(1), End: at(2), Cause: "capture_restarted", Detail: "d"}},
	})
	if err != nil || known != 4 {
		t.Fatal(known, err)
	}
	d, err = c.Detail(ctx, "a")
	if err != nil || len(d.Gaps) != 1 || d.Gaps[0] != (catalog.Gap{Start: at(1), End: at(2), Cause: "capture_restarted", Detail: "d"}) {
		t.Errorf("%+v, %v", d.Gaps, err)
	}
	if got, err := c.Seal(ctx, "a", 2); err != nil || got != seal("a", 2) {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = c.Seal(ctx, "a", 3)
	wantErr(t, err, catalog.ErrNotFound)
	_, err = c.AppendEvents(ctx, "a", []catalog.Event{{Number: 5, Epoch: &catalog.Epoch{Number: 1}}})
	wantErr(t, err, catalog.ErrConflict)
	_, err = c.AppendEvents(ctx, "none", nil)
	wantErr(t, err, catalog.ErrNotFound)
}

func testMetadata(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	if _, err := c.AppendEvents(ctx, "a", []catalog.Event{{Number: 1, Metadata: map[string]string{"k": "new", "l": "w"}}}); err != nil {
		t.Fatal(err)
	}
	if s, _ := c.Session(ctx, "a"); len(s.Metadata) != 2 || s.Metadata["k"] != "new" {
		t.Errorf("%v", s.Metadata)
	}
	many := map[string]string{}
	for i := range catalog.MaxMetadata {
		many[fmt.Sprint(i)] = ""
	}
	_, err := c.AppendEvents(ctx, "a", []catalog.Event{{Number: 2, Metadata: many}})
	wantErr(t, err, catalog.ErrLimit)
}

func testMonitors(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	change := func(number int64, width int, monitors ...catalog.Monitor) error {
		_, err := c.AppendEvents(ctx, "a", []catalog.Event{{
			Number: number, Time: at(float64(number)), Monitors: &catalog.Geometry{Width: width, Height: 600, Monitors: monitors},
		}})
		return err
	}
	wantErr(t, change(1, 801), catalog.ErrConflict)
	report(t, c, "a", 0)
	wantErr(t, change(2, 800), catalog.ErrConflict)
	left, right := catalog.Monitor{Name: "l", Width: 400, Height: 600, Primary: true}, catalog.Monitor{Name: "r", X: 400, Width: 401, Height: 600}
	for range 2 {
		if err := errors.Join(change(2, 801, left, right), change(3, 801)); err != nil {
			t.Fatal(err)
		}
	}
	d, err := c.Detail(ctx, "a")
	if err != nil || d.Session.LastEvent != 3 || len(d.Epochs) != 1 || len(d.MonitorChanges) != 2 || !d.MonitorChanges[0].Time.Equal(at(2)) ||
		!slices.Equal(d.MonitorChanges[0].Geometry.Monitors, []catalog.Monitor{left, right}) || d.MonitorChanges[1].Geometry.Width != 801 ||
		len(d.MonitorChanges[1].Geometry.Monitors) != 0 {
		t.Errorf("%+v, %v", d, err)
	}
}

func testSilence(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	mark := func(since time.Time, want string) {
		t.Helper()
		if err := c.MarkSilent(ctx, "a", since); err != nil {
			t.Fatal(err)
		}
		if s, err := c.Session(ctx, "a"); err != nil || s.Reason() != want || s.StateReason != "" && s.StateReason != want {
			t.Errorf("%q, %+v, %v", s.Reason(), s, err)
		}
	}
	mark(at(5), "agent silent since 2026-09-03T12:00:05Z")
	mark(time.Time{}, "")
	mark(at(6), "agent silent since 2026-09-03T12:00:06Z")
	if err := c.LoseSession(ctx, "a", at(40), "the agent disappeared"); err != nil {
		t.Fatal(err)
	}
	mark(at(7), "the agent disappeared")
	if s, err := c.Session(ctx, "a"); err != nil || !s.Silent.Equal(at(6)) {
		t.Errorf("%+v, %v", s, err)
	}
	wantErr(t, c.MarkSilent(ctx, "none", at(1)), catalog.ErrNotFound)
}
