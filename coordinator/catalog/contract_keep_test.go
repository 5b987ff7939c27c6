package catalog_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

// over makes a session with one archived segment that is complete, ended at 10 s and is retained for a minute.
func over(t *testing.T, c *catalog.Catalog, id string) {
	t.Helper()
	s := newSession(id)
	s.Policy.Retention = time.Minute
	if _, _, err := c.CreateSession(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	report(t, c, id, 1)
	addSegments(t, c, id, 1)
	archive(t, c, "e", 1, at(20))
	end(t, c, id, 1)
	if err := c.FinishSession(t.Context(), id, catalog.SessionComplete, ""); err != nil {
		t.Fatal(err)
	}
}

func testHold(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	over(t, c, "a")
	hold := catalog.Hold{Time: at(20), By: "ann", Reason: "case 1"}
	if err := errors.Join(c.HoldSession(ctx, "a", hold), c.HoldSession(ctx, "a", catalog.Hold{Time: at(21), By: "bob"})); err != nil {
		t.Fatal(err)
	}
	if s, err := c.Session(ctx, "a"); err != nil || s.Hold != hold {
		t.Errorf("%+v, %v", s.Hold, err)
	}
	wantErr(t, c.OrderDeletion(ctx, "a", catalog.Deletion{Ordered: at(30)}), catalog.ErrHeld)
	if got, err := c.Expired(ctx, at(9999), 9); err != nil || len(got) != 0 {
		t.Errorf("a held session expired: %v, %v", got, err)
	}
	for range 2 {
		if err := c.ReleaseSession(ctx, "a"); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.OrderDeletion(ctx, "a", catalog.Deletion{Ordered: at(30)}); err != nil {
		t.Fatal(err)
	}
	wantErr(t, c.HoldSession(ctx, "a", hold), catalog.ErrConflict)
	wantErr(t, c.HoldSession(ctx, "none", hold), catalog.ErrNotFound)
	wantErr(t, c.ReleaseSession(ctx, "none"), catalog.ErrNotFound)
	wantErr(t, c.OrderDeletion(ctx, "none", catalog.Deletion{Ordered: at(1)}), catalog.ErrNotFound)
}

// Of a hold and a deletion that come together one is refused.
func testHoldOrDelete(t *testing.T, open opener) {
	all, ctx := openSeveral(open), t.Context()
	for n := range 10 {
		id := "s" + string(rune('0'+n))
		over(t, all[0], id)
		var held, deleted error
		atOnce(2, func(i int) {
			if i == 0 {
				held = all[0].HoldSession(ctx, id, catalog.Hold{Time: at(30)})
			} else {
				deleted = all[1].OrderDeletion(ctx, id, catalog.Deletion{Ordered: at(30)})
			}
		})
		if (held == nil) == (deleted == nil) {
			t.Errorf("hold: %v, deletion: %v", held, deleted)
		}
	}
}

func testRetention(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	over(t, c, "a")
	create(t, c, "forever")
	if err := c.EndSession(ctx, "forever", catalog.End{Time: at(1)}); err != nil {
		t.Fatal(err)
	}
	for now, want := range map[float64]int{69: 0, 70: 0, 71: 1} {
		if got, err := c.Expired(ctx, at(now), 9); err != nil || len(got) != want {
			t.Errorf("at %v: %v, %v", now, got, err)
		}
	}
	s := newSession("long")
	s.Policy.Retention = 1<<63 - 1
	if _, _, err := c.CreateSession(ctx, s); err != nil {
		t.Fatal(err)
	}
	if err := c.EndSession(ctx, "long", catalog.End{Time: at(1)}); err != nil {
		t.Fatal(err)
	}
	if s, err := c.Session(ctx, "long"); err != nil || !s.RetainUntil.IsZero() {
		t.Errorf("%v, %v", s.RetainUntil, err)
	}
}

func testDeletion(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	over(t, c, "a")
	create(t, c, "b")
	wantErr(t, c.OrderDeletion(ctx, "b", catalog.Deletion{Ordered: at(1)}), catalog.ErrTransition)
	wantErr(t, c.FinishDeletion(ctx, "a", at(50)), catalog.ErrTransition)
	order := catalog.Deletion{Ordered: at(40), By: "ann", Reason: "asked for"}
	if err := errors.Join(c.OrderDeletion(ctx, "a", order), c.OrderDeletion(ctx, "a", catalog.Deletion{Ordered: at(41)})); err != nil {
		t.Fatal(err)
	}
	if got, err := c.ToDelete(ctx, 9); err != nil || len(got) != 1 || got[0].ID != "a" || got[0].Deletion != order {
		t.Fatalf("%+v, %v", got, err)
	}
	if got, err := c.Expired(ctx, at(9999), 9); err != nil || len(got) != 0 {
		t.Errorf("a session expired that is being deleted: %v, %v", got, err)
	}
	for range 2 {
		if err := c.FinishDeletion(ctx, "a", at(50)); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := c.ToDelete(ctx, 9); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	order.Done = at(50)
	d, err := c.Detail(ctx, "a")
	if err != nil || d.Session.Deletion != order || len(d.Session.Metadata) != 0 || d.Session.User != "ann" || len(d.Segments) != 1 ||
		d.Segments[0].Recording.SHA256.String() == "" {
		t.Errorf("%+v, %v", d, err)
	}
	for _, f := range []catalog.Filter{{User: "ann"}, {User: "ann", Fleet: "fleet"}, {Text: "ann"}, {}, {Order: catalog.OrderEnd}} {
		if got := listAll(t, c, f, 9); !slices.Equal(got, []string{"b"}) {
			t.Errorf("%+v finds %v", f, got)
		}
		f.Deleted = true
		if got := listAll(t, c, f, 9); len(got) != 2 {
			t.Errorf("%+v finds %v", f, got)
		}
	}
	if got := listAll(t, c, catalog.Filter{Text: "v", Deleted: true}, 9); !slices.Equal(got, []string{"b"}) {
		t.Errorf("what was in the metadata finds %v", got)
	}
}

func testRetry(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	addSegments(t, c, "a", 1)
	now := at(10)
	for range 3 {
		leaseOne(t, c, "e", now)
		now = now.Add(time.Minute)
		if _, err := c.RescueJobs(ctx, now, rescue); err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Minute)
	}
	for range 2 {
		j, err := c.RetryJob(ctx, "a.1", now)
		if err != nil || j.State != catalog.JobAvailable || j.Failures+j.Setbacks+j.Rescues != 0 || !j.Available.Equal(now) {
			t.Fatalf("%+v, %v", j, err)
		}
	}
	if g, err := c.Segment(ctx, "a", 1); err != nil || g.State != catalog.SegmentSealed || g.QuarantineCause != "" {
		t.Errorf("%+v, %v", g, err)
	}
	l := leaseOne(t, c, "e2", now)
	if l.Job.Generation != 4 {
		t.Errorf("generation %d", l.Job.Generation)
	}
	if j, err := c.RetryJob(ctx, "a.1", now); err != nil || j.State != catalog.JobRunning {
		t.Errorf("%+v, %v", j, err)
	}
	if err := c.CompleteJob(ctx, "a.1", 4, recording("k", "e2")); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]error{"a.1": catalog.ErrTransition, "a.2": catalog.ErrNotFound, "none.1": catalog.ErrNotFound, "": catalog.ErrNotFound} {
		_, err := c.RetryJob(ctx, id, now)
		wantErr(t, err, want)
	}
}

// A job that is retried keeps its session from being deleted, and the other way round.
func testRetryOrDelete(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	for _, id := range []string{"a", "b"} {
		create(t, c, id)
		report(t, c, id, 1)
		addSegments(t, c, id, 1)
		f := failure("e", true)
		f.Limit = 1
		l := leaseOne(t, c, "e", at(10))
		if _, err := c.FailJob(ctx, l.Job.ID, 1, f, at(11)); err != nil {
			t.Fatal(err)
		}
		end(t, c, id, 1)
		if err := c.FinishSession(ctx, id, catalog.SessionComplete, ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.RetryJob(ctx, "a.1", at(20)); err != nil {
		t.Fatal(err)
	}
	wantErr(t, c.OrderDeletion(ctx, "a", catalog.Deletion{Ordered: at(21)}), catalog.ErrConflict)
	if err := c.OrderDeletion(ctx, "b", catalog.Deletion{Ordered: at(21)}); err != nil {
		t.Fatal(err)
	}
	_, err := c.RetryJob(ctx, "b.1", at(22))
	wantErr(t, err, catalog.ErrConflict)
}

func testEncoders(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	e := catalog.Encoder{ID: "e1", Host: "h", Version: "1", Labels: []string{"gpu", "eu"}, Slots: 4, Running: 1, Load: 0.5, Seen: at(0)}
	see := func(e catalog.Encoder) catalog.Encoder {
		t.Helper()
		got, err := c.SeeEncoder(ctx, e, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := see(e); !got.First.Equal(at(0)) || !slices.Equal(got.Labels, e.Labels) || got.Load != 0.5 || got.Slots != 4 {
		t.Errorf("%+v", got)
	}
	e.Seen = at(5)
	if got := see(e); !got.Seen.Equal(at(0)) {
		t.Errorf("what has not changed was written: %+v", got)
	}
	wantErr(t, c.DrainEncoder(ctx, "none", "ann", at(6)), catalog.ErrNotFound)
	if err := errors.Join(c.DrainEncoder(ctx, "e1", "ann", at(6)), c.DrainEncoder(ctx, "e1", "bob", at(7))); err != nil {
		t.Fatal(err)
	}
	e.Draining, e.Seen = true, at(8)
	if got := see(e); !got.Draining || !got.DrainOrdered.Equal(at(6)) || got.DrainBy != "ann" || !got.First.Equal(at(0)) || !got.Seen.Equal(at(8)) {
		t.Errorf("%+v", got)
	}
	if err := c.DrainEncoder(ctx, "e1", "", time.Time{}); err != nil {
		t.Fatal(err)
	}
	see(catalog.Encoder{ID: "e2", Seen: at(100)})
	for since, want := range map[time.Time]int{{}: 2, at(8): 2, at(9): 1, at(101): 0} {
		if got, err := c.ListEncoders(ctx, since); err != nil || len(got) != want || want == 2 && !got[0].DrainOrdered.IsZero() {
			t.Errorf("since %v: %+v, %v", since, got, err)
		}
	}
	if n, err := c.ForgetEncoders(ctx, at(50)); err != nil || n != 1 {
		t.Error(n, err)
	}
}

func testDuties(t *testing.T, open opener) {
	all, ctx := openSeveral(open), t.Context()
	take := func(c *catalog.Catalog, who string, now float64, wantTerm int64, want bool) {
		t.Helper()
		term, mine, err := c.TakeDuty(ctx, "retain", who, at(now), at(now+10))
		if err != nil || mine != want || term != wantTerm {
			t.Errorf("%s at %v: term %d, %v, %v", who, now, term, mine, err)
		}
	}
	take(all[0], "a", 0, 1, true)
	take(all[1], "b", 5, 1, false)
	take(all[0], "a", 8, 1, true)
	take(all[1], "b", 17, 1, false)
	take(all[1], "b", 18, 2, true)
	take(all[0], "a", 19, 2, false)
	if err := errors.Join(all[0].LeaveDuty(context.WithoutCancel(ctx), "retain", "a"), all[1].LeaveDuty(ctx, "retain", "b")); err != nil {
		t.Fatal(err)
	}
	take(all[0], "a", 20, 3, true)
	var takers atomic.Int64
	atOnce(several, func(i int) {
		_, mine, err := all[i].TakeDuty(ctx, "new", string(rune('a'+i)), at(0), at(10))
		if err != nil {
			t.Error(err)
		}
		if mine {
			takers.Add(1)
		}
	})
	if takers.Load() != 1 {
		t.Errorf("the duty was taken by %d", takers.Load())
	}
}
