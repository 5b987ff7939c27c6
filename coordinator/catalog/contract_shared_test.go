package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

// several are as many coordinators as share one database in a test.
const several = 4

// openSeveral opens the database several times at once, the first times while it is empty.
func openSeveral(open opener) []*catalog.Catalog {
	out := make([]*catalog.Catalog, several)
	atOnce(several, func(i int) { out[i] = open() })
	return out
}

func atOnce(n int, f func(i int)) {
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { f(i) })
	}
	group.Wait()
}

func testSharedLeases(t *testing.T, open opener) {
	all, ctx := openSeveral(open), t.Context()
	const sessions, each = 5, 8
	for i := range sessions {
		id := fmt.Sprint("s", i)
		create(t, all[0], id)
		for n := 1; n <= each; n++ {
			addSegments(t, all[0], id, n)
		}
	}
	var mu sync.Mutex
	leased := map[string]int{}
	atOnce(several, func(i int) {
		encoder := fmt.Sprint("e", i)
		for {
			got, err := all[i].LeaseJobs(ctx, encoder, 3, at(100), at(130))
			if err != nil {
				t.Error(err)
				return
			}
			if len(got) == 0 {
				return
			}
			for _, l := range got {
				mu.Lock()
				leased[l.Job.ID]++
				mu.Unlock()
				if err := all[(i+1)%several].CompleteJob(ctx, l.Job.ID, l.Job.Generation, recording(l.Job.ID, encoder)); err != nil {
					t.Error(err)
				}
			}
		}
	})
	if len(leased) != sessions*each {
		t.Errorf("%d jobs of %d were leased", len(leased), sessions*each)
	}
	for id, n := range leased {
		if n != 1 {
			t.Errorf("job %s was leased %d times", id, n)
		}
	}
	for i := range sessions {
		if s, err := all[0].Session(ctx, fmt.Sprint("s", i)); err != nil || s.Totals.Archived != each {
			t.Errorf("%+v, %v", s.Totals, err)
		}
	}
}

func testSharedWrites(t *testing.T, open opener) {
	all, ctx := openSeveral(open), t.Context()
	var created atomic.Int64
	const batches, perBatch = 10, 3
	atOnce(several, func(i int) {
		s := newSession(fmt.Sprint("s", i))
		s.RequestID = "the same"
		_, made, err := all[i].CreateSession(ctx, s)
		if err != nil {
			t.Error(err)
		}
		if made {
			created.Add(1)
		}
	})
	s, err := all[0].SessionByRequest(ctx, "the same")
	if err != nil || created.Load() != 1 {
		t.Fatalf("%d sessions were made, %v", created.Load(), err)
	}
	// An agent that hears nothing sends the same again, to another coordinator.
	atOnce(several, func(i int) {
		for b := range batches {
			var events []catalog.Event
			for k := range perBatch {
				n := int64(b*perBatch + k + 1)
				events = append(events, catalog.Event{Number: n, Time: at(float64(n)), Gap: &catalog.Gap{Start: at(float64(n)), End: at(float64(n + 1)), Cause: "x"}})
			}
			for {
				_, err := all[i].AppendEvents(ctx, s.ID, events)
				if errors.Is(err, catalog.ErrEventHole) {
					continue // another one is behind
				}
				if err != nil {
					t.Error(err)
				}
				break
			}
			addMetadata(t, all[i], s.ID)
		}
	})
	d, err := all[1].Detail(ctx, s.ID)
	if err != nil || len(d.Gaps) != batches*perBatch || d.Session.LastEvent != batches*perBatch {
		t.Errorf("%d gaps, last event %d, %v", len(d.Gaps), d.Session.LastEvent, err)
	}
}

// addMetadata stops the session in passing: it reads and writes the same row as events do.
func addMetadata(t *testing.T, c *catalog.Catalog, id string) {
	if err := c.StopSession(t.Context(), id, "because"); err != nil {
		t.Error(err)
	}
}

func testSharedRescue(t *testing.T, open opener) {
	all, ctx := openSeveral(open), t.Context()
	create(t, all[0], "a")
	for n := 1; n <= 20; n++ {
		addSegments(t, all[0], "a", n)
		l := leaseOne(t, all[0], "e", at(100))
		var done, rescued, lost atomic.Int64
		atOnce(several, func(i int) {
			if i == 0 {
				switch err := all[i].CompleteJob(ctx, l.Job.ID, l.Job.Generation, recording(l.Job.ID, "e")); {
				case err == nil:
					done.Add(1)
				case errors.Is(err, catalog.ErrLeaseLost):
					lost.Add(1)
				default:
					t.Error(err)
				}
				return
			}
			got, err := all[i].RescueJobs(ctx, at(200), rescue)
			if err != nil {
				t.Error(err)
			}
			rescued.Add(int64(len(got)))
		})
		if done.Load()+rescued.Load() != 1 || lost.Load() != rescued.Load() {
			t.Fatalf("completed %d times, lost %d times, rescued %d times", done.Load(), lost.Load(), rescued.Load())
		}
		if rescued.Load() == 1 {
			archive(t, all[0], "e", 1, at(201))
		}
	}
}

// Connections break, and the catalog goes on with others.
func TestPostgresConnectionsBreak(t *testing.T) {
	t.Parallel()
	location := newPostgres(t)
	c := openAt(t, location)()
	create(t, c, "a")
	if got := state(t, c, "a"); got != catalog.SessionStarting {
		t.Fatal(got)
	}
	cut(t, location)
	create(t, c, "b")
	if got := state(t, c, "b"); got != catalog.SessionStarting {
		t.Error(got)
	}
}

// A coordinator that stands still in the midst of a transaction loses it; the others wait for no longer.
func TestPostgresFrozenTransactionEnds(t *testing.T) {
	t.Parallel()
	location := newPostgres(t)
	c := openAt(t, location+"&idle_in_transaction_session_timeout=300ms")()
	create(t, c, "a")
	addSegments(t, c, "a", 1)
	l := leaseOne(t, c, "e", at(10))
	other := openAt(t, location)()
	frozen := catalog.Failure{Encoder: "e", Limit: 3, Backoff: func(int) time.Duration {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := other.CompleteJob(ctx, l.Job.ID, l.Job.Generation, recording("k", "e")); err != nil {
			t.Error(err)
		}
		return 0
	}}
	if _, err := c.FailJob(t.Context(), l.Job.ID, l.Job.Generation, frozen, at(11)); err == nil {
		t.Error("a transaction that was ended was committed")
	}
	if g, err := other.Segment(t.Context(), "a", 1); err != nil || g.State != catalog.SegmentArchived {
		t.Errorf("%+v, %v", g, err)
	}
}

func TestLocations(t *testing.T) {
	for in, want := range map[string]string{
		"sqlite:/a/b.db": "/a/b.db", "/a/b.db": "/a/b.db", "c.db": "c.db", "postgres://": "postgres:", "mysql://x": "", "sqlite:": "", "": "",
		"postgres:x": "", "sqlite://a": "", "postgres://u:secret@h:1/db?sslmode=verify-full": "postgres://u@h:1/db?sslmode=verify-full",
		"postgresql://h/db?password=secret": "postgresql://h/db", "postgres://u:%zzsecret@h": "",
	} {
		got, err := catalog.ParseLocation(in)
		if want == "" {
			wantErr(t, err, catalog.ErrLocation)
			continue
		}
		if err != nil || got.String() != want || got.HasPassword() != (in != want && len(in) > 20) {
			t.Errorf("%s: %s, password %v, %v", in, got, got.HasPassword(), err)
		}
	}
}
