package catalog_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/chunk"
)

func testLeases(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	addSegments(t, c, "a", 1)
	l := leaseOne(t, c, "e1", at(10))
	if l.Job.Generation != 1 {
		t.Errorf("generation %d", l.Job.Generation)
	}
	if g, _ := c.Segment(ctx, "a", 1); g.State != catalog.SegmentEncoding {
		t.Errorf("segment is %s", g.State)
	}
	if got, err := c.LeaseJobs(ctx, "e2", 1, at(11), at(41)); err != nil || len(got) != 0 {
		t.Errorf("leased twice: %v, %v", got, err)
	}
	if ok, err := c.HasWork(ctx, at(11)); err != nil || ok {
		t.Error(ok, err)
	}
	held := []catalog.Held{{Job: "a.1", Generation: 1, Frames: 12}}
	lost, back, err := c.RenewLeases(ctx, "e1", held, at(30), at(60))
	if err != nil || len(lost) != 0 || len(back) != 0 {
		t.Fatal(lost, back, err)
	}
	if lost, _, err := c.RenewLeases(ctx, "e2", held, at(30), at(90)); err != nil || !slices.Equal(lost, []string{"a.1"}) {
		t.Error("foreign lease renewed", lost, err)
	}
	if j, err := c.Job(ctx, "a.1"); err != nil || j.Job.FramesDone != 12 {
		t.Errorf("progress of %+v, %v", j.Job, err)
	}
	if got, err := c.RescueJobs(ctx, at(59), rescue); err != nil || len(got) != 0 {
		t.Error("renewed lease ran out", got, err)
	}
	for name, f := range map[string]func(generation int64, encoder string) error{
		"complete": func(g int64, e string) error { return c.CompleteJob(ctx, "a.1", g, recording("k", e)) },
		"fail": func(g int64, e string) error {
			_, err := c.FailJob(ctx, "a.1", g, failure(e, true), at(31))
			return err
		},
	} {
		for _, wrong := range []struct {
			generation int64
			encoder    string
		}{{0, "e1"}, {2, "e1"}, {1, "e2"}} {
			if err := f(wrong.generation, wrong.encoder); !errors.Is(err, catalog.ErrLeaseLost) {
				t.Errorf("%s with %v: %v", name, wrong, err)
			}
		}
	}
	_, err = c.FailJob(ctx, "none.1", 1, failure("e1", true), at(1))
	wantErr(t, err, catalog.ErrNotFound)
}

func testRescue(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	addSegments(t, c, "a", 1, 2)
	leaseOne(t, c, "e1", at(10))
	if _, _, err := c.RenewLeases(ctx, "e1", []catalog.Held{{Job: "a.1", Generation: 1, Frames: 3}}, at(10), at(40)); err != nil {
		t.Fatal(err)
	}
	got, err := c.RescueJobs(ctx, at(41), rescue)
	if err != nil || len(got) != 1 || got[0].ID != "a.1" || got[0].Rescues != 1 || got[0].State != catalog.JobAvailable {
		t.Fatal(got, err)
	}
	l := leaseOne(t, c, "e2", at(42))
	second := leaseOne(t, c, "e2", at(42))
	ids := []string{l.Job.ID, second.Job.ID}
	slices.Sort(ids)
	if !slices.Equal(ids, []string{"a.1", "a.2"}) {
		t.Fatal(ids)
	}
	again, err := c.Job(ctx, "a.1")
	if err != nil || again.Job.Generation != 2 || again.Job.Failures != 0 || again.Job.FramesDone != 0 {
		t.Errorf("%+v, %v", again, err)
	}
	wantErr(t, c.CompleteJob(ctx, "a.1", 1, recording("k", "e1")), catalog.ErrLeaseLost)
	// e2 has restarted and names only one of its leases.
	lost, back, err := c.RenewLeases(ctx, "e2", []catalog.Held{{Job: "a.1", Generation: 2}}, at(43), at(73))
	if err != nil || len(lost) != 0 || len(back) != 1 || back[0].ID != "a.2" {
		t.Fatal(lost, back, err)
	}
	if _, back, err := c.RenewLeases(ctx, "e2", nil, at(44), at(74)); err != nil || len(back) != 1 || back[0].ID != "a.1" {
		t.Fatal(back, err)
	}
	if g, _ := c.Segment(ctx, "a", 1); g.State != catalog.SegmentSealed {
		t.Errorf("segment is %s", g.State)
	}
}

// rescue waits a second more with every lease that ran out but the first.
var rescue = catalog.Rescue{Limit: 3, Backoff: func(n int) time.Duration { return time.Duration(n-1) * time.Second }}

func testRescueLimit(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	addSegments(t, c, "a", 1)
	now := at(10)
	for n := 1; n <= 3; n++ {
		l := leaseOne(t, c, "e", now)
		// What an encoder says of itself, or takes back, does not count.
		j, err := c.FailJob(ctx, l.Job.ID, l.Job.Generation, failure("e", n == 1), now)
		if err != nil || j.Rescues != n-1 {
			t.Fatalf("%+v, %v", j, err)
		}
		leaseOne(t, c, "e", j.Available)
		if _, back, err := c.RenewLeases(ctx, "e", nil, j.Available, j.Available); err != nil || len(back) != 1 {
			t.Fatal(back, err)
		}
		leaseOne(t, c, "e", j.Available)
		now = j.Available.Add(31 * time.Second)
		got, err := c.RescueJobs(ctx, now, rescue)
		want := catalog.JobAvailable
		if n == 3 {
			want = catalog.JobQuarantined
		}
		if err != nil || len(got) != 1 || got[0].Rescues != n || got[0].State != want {
			t.Fatalf("rescue %d: %+v, %v", n, got, err)
		}
		now = now.Add(time.Duration(n-1) * time.Second)
		if stored, err := c.Job(ctx, "a.1"); err != nil || stored.Job != got[0] || !stored.Job.Available.Equal(now) {
			t.Errorf("%+v, %v, returned %+v", stored.Job, err, got[0])
		}
	}
	g, err := c.Segment(ctx, "a", 1)
	if err != nil || g.State != catalog.SegmentQuarantined || g.QuarantineCause != catalog.CauseEncoderLost {
		t.Errorf("%+v, %v", g, err)
	}
	if j, err := c.Job(ctx, "a.1"); err != nil || j.Job.Detail != "encoder_lost: 3 leases ran out without a word, the last one with encoder e" {
		t.Errorf("%+v, %v", j, err)
	}
	if got, err := c.LeaseJobs(ctx, "e", 1, at(9999), at(9999)); err != nil || len(got) != 0 {
		t.Errorf("leased out of quarantine: %v, %v", got, err)
	}
}

func failure(encoder string, content bool) catalog.Failure {
	return catalog.Failure{
		Encoder: encoder, Content: content, Detail: "because", Limit: 3,
		Backoff: func(n int) time.Duration { return time.Duration(n) * time.Second },
	}
}

func testQuarantine(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	addSegments(t, c, "a", 1)
	now := at(10)
	for attempt := 1; attempt <= 3; attempt++ {
		l := leaseOne(t, c, "e", now)
		j, err := c.FailJob(ctx, l.Job.ID, l.Job.Generation, failure("e", true), now)
		if err != nil || j.Failures != attempt || j.Detail != "because" {
			t.Fatalf("%+v, %v", j, err)
		}
		if attempt == 3 {
			if j.State != catalog.JobQuarantined {
				t.Errorf("state %s", j.State)
			}
			break
		}
		wait := time.Duration(attempt) * time.Second
		if j.State != catalog.JobRetryable || !j.Available.Equal(now.Add(wait)) {
			t.Errorf("attempt %d: %+v", attempt, j)
		}
		if got, err := c.LeaseJobs(ctx, "e", 1, now, now.Add(time.Minute)); err != nil || len(got) != 0 {
			t.Errorf("leased before its time: %v, %v", got, err)
		}
		now = now.Add(wait)
	}
	if g, _ := c.Segment(ctx, "a", 1); g.State != catalog.SegmentQuarantined || g.QuarantineCause != catalog.CauseContent {
		t.Errorf("segment is %s for %q", g.State, g.QuarantineCause)
	}
	if got, err := c.LeaseJobs(ctx, "e", 1, at(9999), at(9999)); err != nil || len(got) != 0 {
		t.Errorf("leased out of quarantine: %v, %v", got, err)
	}
}

func testSetbacks(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	addSegments(t, c, "a", 1)
	now := at(10)
	for n := 1; n <= 10; n++ {
		l := leaseOne(t, c, "e", now)
		j, err := c.FailJob(ctx, l.Job.ID, l.Job.Generation, failure("e", false), now)
		if err != nil || j.State != catalog.JobRetryable || j.Failures != 0 || !j.Available.Equal(now.Add(time.Duration(n)*time.Second)) {
			t.Fatalf("setback %d: %+v, %v", n, j, err)
		}
		now = j.Available
	}
}

func testComplete(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	addSegments(t, c, "a", 1)
	l := leaseOne(t, c, "e", at(10))
	r := recording("a/video-000001.mp4", "e")
	for range 2 {
		if err := c.CompleteJob(ctx, "a.1", l.Job.Generation, r); err != nil {
			t.Fatal(err)
		}
	}
	other := r
	other.SHA256 = chunk.Sum([]byte("other"))
	wantErr(t, c.CompleteJob(ctx, "a.1", l.Job.Generation, other), catalog.ErrLeaseLost)
	_, err := c.FailJob(ctx, "a.1", l.Job.Generation, failure("e", true), at(11))
	wantErr(t, err, catalog.ErrLeaseLost)
	if g, err := c.Segment(ctx, "a", 1); err != nil || g.State != catalog.SegmentArchived || g.Recording != r {
		t.Errorf("%+v, %v", g, err)
	}
}

func testFair(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	for _, id := range []string{"a", "b", "c"} {
		create(t, c, id)
	}
	addSegments(t, c, "a", 1, 2, 3, 4)
	addSegments(t, c, "b", 5)
	addSegments(t, c, "c", 6, 7)
	got, err := c.LeaseJobs(ctx, "e", 4, at(100), at(130))
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, l := range got {
		ids = append(ids, l.Job.ID)
	}
	if want := []string{"a.1", "b.5", "c.6", "a.2"}; !slices.Equal(ids, want) {
		t.Errorf("leased %v, want %v", ids, want)
	}
	if l := leaseOne(t, c, "e", at(101)); l.Job.ID != "c.7" {
		t.Errorf("then %s", l.Job.ID)
	}
}

func testPurge(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	addSegments(t, c, "a", 1, 2)
	archive(t, c, "e", 1, at(20))
	if err := c.MarkPurged(ctx, []catalog.Named{{Session: "a", Segment: 2}}); err != nil {
		t.Fatal(err)
	}
	got, err := c.ToPurge(ctx, 10)
	if want := []catalog.Named{{Session: "a", Segment: 1}}; err != nil || !slices.Equal(got, want) {
		t.Fatal(got, err)
	}
	if err := c.MarkPurged(ctx, got); err != nil {
		t.Fatal(err)
	}
	if got, err := c.ToPurge(ctx, 10); err != nil || len(got) != 0 {
		t.Fatal(got, err)
	}
	archive(t, c, "e", 1, at(20))
	if got, err := c.ToPurge(ctx, 10); err != nil || len(got) != 1 {
		t.Fatal("a segment that was not archived was marked", got, err)
	}
}
