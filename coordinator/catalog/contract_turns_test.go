package catalog_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

// leaseIDs leases up to count jobs one by one and returns their ids.
func leaseIDs(t *testing.T, c *catalog.Catalog, count int, now float64, pools ...string) (ids []string) {
	t.Helper()
	for range count {
		got, err := c.Lease(t.Context(), catalog.Lease{Encoder: "e", Pools: pools, Limit: 1, Now: at(now), Until: at(now + 30)})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			return ids
		}
		ids = append(ids, got[0].Job.ID)
	}
	return ids
}

func wantIDs(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("leased %v, want %v", got, want)
	}
}

// However much one session brings, and has running, the others have their turns.
func testTurns(t *testing.T, open opener) {
	c := open()
	create(t, c, "a")
	for n := 1; n <= 300; n++ {
		addSegments(t, c, "a", n)
	}
	wantIDs(t, leaseIDs(t, c, 3, 1000), "a.1", "a.2", "a.3")
	create(t, c, "b")
	addSegments(t, c, "b", 301, 302)
	wantIDs(t, leaseIDs(t, c, 4, 1000), "a.4", "b.301", "a.5", "b.302")
	// One that comes while others have been served for long does not come before all of theirs.
	create(t, c, "c")
	addSegments(t, c, "c", 303, 304, 305)
	wantIDs(t, leaseIDs(t, c, 6, 1000), "a.6", "c.303", "a.7", "c.304", "a.8", "c.305")
	leaseIDs(t, c, 300, 1000)
	create(t, c, "d")
	addSegments(t, c, "d", 400, 401, 402)
	addSegments(t, c, "a", 403)
	wantIDs(t, leaseIDs(t, c, 4, 1000), "d.400", "d.401", "a.403", "d.402")
}

func testPriorities(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	report(t, c, "a", 2)
	addSegments(t, c, "a", 1)
	end(t, c, "a", 2)
	addSegments(t, c, "a", 2) // it is over
	create(t, c, "b")
	addSegments(t, c, "b", 3, 4) // it goes on
	wantIDs(t, leaseIDs(t, c, 2, 100), "a.1", "b.3")
	if n, err := c.Prioritize(ctx, "a", catalog.PriorityViewer, 2, 9); err != nil || n != 1 {
		t.Fatal(n, err)
	}
	wantIDs(t, leaseIDs(t, c, 1, 100), "a.2")
	create(t, c, "c")
	addSegments(t, c, "c", 5)
	if n, err := c.Prioritize(ctx, "b", catalog.PriorityBackfill); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	wantIDs(t, leaseIDs(t, c, 3, 100), "c.5", "b.4")
	if n, err := c.Prioritize(ctx, "none", catalog.PriorityViewer); err != nil || n != 0 {
		t.Error(n, err)
	}
}

func testPools(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	addSegments(t, c, "a", 1)
	gpu := newSession("g")
	gpu.Pool = "gpu"
	if _, _, err := c.CreateSession(ctx, gpu); err != nil {
		t.Fatal(err)
	}
	addSegments(t, c, "g", 2, 3)
	has := func(want bool, pools ...string) {
		t.Helper()
		if got, err := c.HasWork(ctx, at(100), pools...); err != nil || got != want {
			t.Errorf("work for %q: %v, %v", pools, got, err)
		}
	}
	has(true, "gpu")
	has(true)
	has(false, "eu", "us")
	wantIDs(t, leaseIDs(t, c, 5, 100), "a.1")
	has(false, "")
	has(true, "", "gpu")
	wantIDs(t, leaseIDs(t, c, 5, 100, "eu"))
	addSegments(t, c, "a", 4)
	wantIDs(t, leaseIDs(t, c, 5, 100, "", "gpu", "gpu"), "g.2", "g.3", "a.4")
	if l, err := c.Job(ctx, "g.2"); err != nil || l.Job.Pool != "gpu" || l.Job.Priority != catalog.PriorityLive {
		t.Errorf("%+v, %v", l.Job, err)
	}
}

func testListJobs(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	create(t, c, "b")
	for n := 1; n <= 7; n++ {
		addSegments(t, c, "a", n)
		addSegments(t, c, "b", n)
	}
	archive(t, c, "e", 3, at(20))
	list := func(f catalog.JobFilter) (ids []string) {
		t.Helper()
		for token, first := "", true; first || token != ""; first = false {
			page, next, err := c.ListJobs(ctx, f, 2, token)
			if err != nil || len(page) > 2 {
				t.Fatal(page, err)
			}
			for _, j := range page {
				ids = append(ids, j.ID)
			}
			token = next
		}
		return ids
	}
	wantIDs(t, list(catalog.JobFilter{Session: "a"}), "a.7", "a.6", "a.5", "a.4", "a.3", "a.2", "a.1")
	wantIDs(t, list(catalog.JobFilter{States: []catalog.JobState{catalog.JobCompleted}}), "a.2", "b.1", "a.1")
	wantIDs(t, list(catalog.JobFilter{Encoder: "e", Session: "b"}), "b.1")
	none, any := "gpu", ""
	wantIDs(t, list(catalog.JobFilter{Pool: &none}))
	if got := list(catalog.JobFilter{Pool: &any}); len(got) != 14 {
		t.Errorf("%v", got)
	}
	_, next, err := c.ListJobs(ctx, catalog.JobFilter{}, 2, "")
	if err != nil || next == "" {
		t.Fatal(next, err)
	}
	for _, token := range []string{"x", strings.Repeat("x", 999), next} {
		_, _, err = c.ListJobs(ctx, catalog.JobFilter{Session: "a"}, 2, token)
		wantErr(t, err, catalog.ErrPageToken)
	}
}
