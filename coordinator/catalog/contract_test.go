package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/chunk"
)

// opener opens the database of one test; called again in the same test it opens the same database.
type opener func() *catalog.Catalog

// contract is what every database behind a Catalog must do.
var contract = map[string]func(t *testing.T, open opener){
	"session is made once by request":     testCreateSession,
	"session walks its states":            testSessionStates,
	"events join up":                      testEvents,
	"metadata is merged and bounded":      testMetadata,
	"monitors change within an epoch":     testMonitors,
	"books are closed only when complete": testEndSession,
	"segment and job are made together":   testAddSegment,
	"lost session takes no more":          testLost,
	"silence is marked and taken back":    testSilence,
	"leases carry a generation":           testLeases,
	"leases run out and are taken back":   testRescue,
	"leases that run out quarantine":      testRescueLimit,
	"content failures quarantine":         testQuarantine,
	"other failures never count":          testSetbacks,
	"recording is written once":           testComplete,
	"sessions share the encoders":         testFair,
	"finishable needs every segment":      testFinishable,
	"chunks are purged after archiving":   testPurge,
	"sessions are listed by page":         testList,
	"totals are summed":                   testTotals,
	"what is deleted is not listed":       testListDeleted,
	"totals come with an upgrade":         testTotalsUpgrade,
	"nothing is lost by a restart":        testReopen,
	"filters mean what they say":          testFilters,
	"every way finds the same":            testWays,
	"words of some months are found":      testMonths,
	"what is found follows changes":       testFoundByChange,
	"filters that cannot be are named":    testBadFilters,
	"older catalogs are brought up":       testUpgrade,
	"recordings are listed by page":       testListRecordings,
	"a catalog is filled at once":         testLoad,
	"holds win":                           testHold,
	"a hold and a deletion exclude":       testHoldOrDelete,
	"retention ends":                      testRetention,
	"deletion leaves a tombstone":         testDeletion,
	"quarantined jobs are retried":        testRetry,
	"a retry and a deletion exclude":      testRetryOrDelete,
	"encoders are known":                  testEncoders,
	"agents are heard of":                 testAgents,
	"enrollments let in who they say":     testEnrollments,
	"jobs tell of their media":            testJobMedia,
	"a duty has one holder":               testDuties,
	"a lost duty's writes are refused":    testTerms,
	"sessions take turns":                 testTurns,
	"priorities go first":                 testPriorities,
	"pools are kept apart":                testPools,
	"jobs are listed by page":             testListJobs,
	"audit records stay":                  testAudit,
	"digests tell once":                   testDigests,
	"addenda are settled once":            testAddenda,
	"changes at once end each for itself": testAtOnce,
	"texts may be odd":                    testOddTexts,
	"coordinators share the jobs":         testSharedLeases,
	"coordinators share the sessions":     testSharedWrites,
	"coordinators share the rescue":       testSharedRescue,
}

var epoch = time.Date(2026, 9, 3, 12, 0, 0, 123456789, time.UTC)

func at(seconds float64) time.Time { return epoch.Add(time.Duration(seconds * float64(time.Second))) }

func newSession(id string) catalog.Session {
	return catalog.Session{
		ID: id, RequestID: "request-" + id, User: "ann", Stack: "stack", Fleet: "fleet", Instance: "i-1",
		Metadata: map[string]string{"k": "v"}, AgentVersion: "1", ArchivePrefix: id + "/", FrameRate: 5, SegmentLength: time.Minute,
		SegmentBytes: 1 << 30,
		Start:        at(0), Created: at(1),
	}
}

func create(t *testing.T, c *catalog.Catalog, id string) {
	t.Helper()
	if _, _, err := c.CreateSession(t.Context(), newSession(id)); err != nil {
		t.Fatal(err)
	}
}

func seal(id string, n int) catalog.Seal {
	start := chunk.Genesis(id)
	for range n - 1 {
		start = start.Next(chunk.Sum([]byte("x")))
	}
	return catalog.Seal{
		Segment: n, Epoch: 1, Start: at(float64(10 * (n - 1))), End: at(float64(10 * n)), Width: 801, Height: 600, Frames: 50, Chunks: 1,
		Bytes: 1, ChainStart: start, ChainEnd: start.Next(chunk.Sum([]byte("x"))),
	}
}

func addSegments(t *testing.T, c *catalog.Catalog, id string, numbers ...int) {
	t.Helper()
	for _, n := range numbers {
		s := catalog.Segment{Session: id, Seal: seal(id, n), SealedBy: catalog.PartyAgent}
		if err := c.AddSegment(t.Context(), s, at(float64(n))); err != nil {
			t.Fatal(err)
		}
	}
}

// report appends one event for the epoch and one for each seal.
func report(t *testing.T, c *catalog.Catalog, id string, segments int) {
	t.Helper()
	events := []catalog.Event{{Number: 1, Time: at(0), Epoch: &catalog.Epoch{Number: 1, Start: at(0), Geometry: catalog.Geometry{Width: 801, Height: 600}, Cause: "start"}}}
	for n := 1; n <= segments; n++ {
		s := seal(id, n)
		events = append(events, catalog.Event{Number: int64(n + 1), Time: s.End, Seal: &s})
	}
	if known, err := c.AppendEvents(t.Context(), id, events); err != nil || known != int64(segments+1) {
		t.Fatalf("append events: %d, %v", known, err)
	}
}

func end(t *testing.T, c *catalog.Catalog, id string, segments int) {
	t.Helper()
	e := catalog.End{Reason: "stopped by hook", Time: at(float64(10 * segments)), LastSegment: segments, LastEvent: int64(segments + 1)}
	if err := c.EndSession(t.Context(), id, e); err != nil {
		t.Fatal(err)
	}
}

func leaseOne(t *testing.T, c *catalog.Catalog, encoder string, now time.Time) catalog.Leased {
	t.Helper()
	got, err := c.LeaseJobs(t.Context(), encoder, 1, now, now.Add(30*time.Second))
	if err != nil || len(got) != 1 {
		t.Fatalf("lease: %v, %v", got, err)
	}
	return got[0]
}

func recording(key, encoder string) catalog.Recording {
	return catalog.Recording{
		ObjectKey: key, Bytes: 1000, SHA256: chunk.Sum([]byte(key)), Width: 802, Height: 600, Frames: 50, Duration: 10 * time.Second,
		Codec: "libx264", FFmpegVersion: "5.1.9", EncoderVersion: "1", EncoderID: encoder,
		Thumbnails: catalog.Thumbnails{
			Sprite: catalog.Object{Key: key + ".jpg", Version: "v1", Bytes: 10, SHA256: chunk.Sum([]byte("sprite"))},
			Index:  catalog.Object{Key: key + ".vtt", Bytes: 11, SHA256: chunk.Sum([]byte("index"))},
		},
	}
}

func archive(t *testing.T, c *catalog.Catalog, encoder string, count int, now time.Time) {
	t.Helper()
	for range count {
		l := leaseOne(t, c, encoder, now)
		if err := c.CompleteJob(t.Context(), l.Job.ID, l.Job.Generation, recording(l.Job.ID, encoder)); err != nil {
			t.Fatal(err)
		}
	}
}

func state(t *testing.T, c *catalog.Catalog, id string) catalog.SessionState {
	t.Helper()
	s, err := c.Session(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return s.State
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

func testCreateSession(t *testing.T, open opener) {
	c := open()
	first, created, err := c.CreateSession(t.Context(), newSession("a"))
	if err != nil || !created {
		t.Fatal(created, err)
	}
	again := newSession("b")
	again.RequestID = first.RequestID
	second, created, err := c.CreateSession(t.Context(), again)
	if err != nil || created || second.ID != "a" {
		t.Fatalf("second try made %q, %v, %v", second.ID, created, err)
	}
	if _, err := c.Session(t.Context(), "b"); !errors.Is(err, catalog.ErrNotFound) {
		t.Error(err)
	}
	if s, err := c.SessionByRequest(t.Context(), first.RequestID); err != nil || s.ID != "a" {
		t.Error(s.ID, err)
	}
	if first.State != catalog.SessionStarting || first.LastSegment != catalog.Unknown || !first.Start.Equal(at(0)) || !first.End.IsZero() ||
		first.Metadata["k"] != "v" || first.SegmentLength != time.Minute || first.SegmentBytes != 1<<30 {
		t.Errorf("%+v", first)
	}
}

func testSessionStates(t *testing.T, open opener) {
	c := open()
	create(t, c, "a")
	if err := c.MarkRecording(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if got := state(t, c, "a"); got != catalog.SessionRecording {
		t.Errorf("state %s", got)
	}
	wantErr(t, c.FinishSession(t.Context(), "a", catalog.SessionComplete, ""), catalog.ErrTransition)
	wantErr(t, c.MarkRecording(t.Context(), "none"), catalog.ErrNotFound)
	for range 2 {
		if err := c.StopSession(t.Context(), "a", "first"); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.StopSession(t.Context(), "a", "second"); err != nil {
		t.Fatal(err)
	}
	if s, _ := c.Session(t.Context(), "a"); s.StopReason != "first" {
		t.Errorf("stop reason %q", s.StopReason)
	}
	one, err := c.Standing(t.Context(), "a")
	if err != nil || one.ID != "a" || one.State != catalog.SessionRecording || one.StopReason != "first" || one.LastSegment != catalog.Unknown {
		t.Errorf("%+v, %v", one, err)
	}
	if all, err := c.Standings(t.Context()); err != nil || len(all) != 1 || all[0] != one {
		t.Errorf("%+v, %v", all, err)
	}
	if err := c.EndSession(t.Context(), "a", catalog.End{Reason: "r", Time: at(5)}); err != nil {
		t.Fatal(err)
	}
	if err := c.FinishSession(t.Context(), "a", catalog.SessionEmpty, "nothing was captured"); err != nil {
		t.Fatal(err)
	}
	if err := c.FinishSession(t.Context(), "a", catalog.SessionEmpty, ""); err != nil {
		t.Error(err)
	}
	wantErr(t, c.FinishSession(t.Context(), "a", catalog.SessionComplete, ""), catalog.ErrTransition)
	if got, err := c.Unfinished(t.Context()); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
	if got, err := c.Standings(t.Context()); err != nil || len(got) != 0 {
		t.Error(got, err)
	}
}

func testEndSession(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	report(t, c, "a", 1)
	wantErr(t, c.EndSession(ctx, "a", catalog.End{LastSegment: 1, LastEvent: 3}), catalog.ErrEventHole)
	wantErr(t, c.EndSession(ctx, "a", catalog.End{LastSegment: 1, LastEvent: 1}), catalog.ErrConflict)
	wantErr(t, c.EndSession(ctx, "a", catalog.End{LastSegment: 2, LastEvent: 2}), catalog.ErrConflict)
	end(t, c, "a", 1)
	end(t, c, "a", 1)
	if s, _ := c.Session(ctx, "a"); s.State != catalog.SessionFinalizing || s.EndReason != "stopped by hook" || !s.End.Equal(at(10)) || s.LastSegment != 1 {
		t.Errorf("%+v", s)
	}
	report(t, c, "a", 1)
	_, err := c.AppendEvents(ctx, "a", []catalog.Event{{Number: 3, Gap: &catalog.Gap{}}})
	wantErr(t, err, catalog.ErrEnded)
}

func testAddSegment(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	addSegments(t, c, "a", 1, 1)
	got, err := c.LeaseJobs(ctx, "e", 9, at(5), at(9))
	if err != nil || len(got) != 1 || got[0].Job.ID != "a.1" || got[0].Seal != seal("a", 1) || got[0].FrameRate != 5 || got[0].ArchivePrefix != "a/" {
		t.Fatalf("%+v, %v", got, err)
	}
	other := catalog.Segment{Session: "a", Seal: seal("a", 1), SealedBy: catalog.PartyAgent}
	other.ChainEnd = chunk.Sum([]byte("other"))
	wantErr(t, c.AddSegment(ctx, other, at(0)), catalog.ErrConflict)
	other.Session = "none"
	wantErr(t, c.AddSegment(ctx, other, at(0)), catalog.ErrNotFound)
}

func testLost(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	report(t, c, "a", 1)
	wantErr(t, c.CloseLost(ctx, "a", at(20), nil), catalog.ErrConflict)
	for range 2 {
		if err := c.LoseSession(ctx, "a", at(40), "the agent disappeared"); err != nil {
			t.Fatal(err)
		}
	}
	wantErr(t, c.AddSegment(ctx, catalog.Segment{Session: "a", Seal: seal("a", 1), SealedBy: catalog.PartyAgent}, at(0)), catalog.ErrEnded)
	if ids, err := c.Finishable(ctx); err != nil || len(ids) != 0 {
		t.Error("open books finish", ids, err)
	}
	if err := c.AddSegment(ctx, catalog.Segment{Session: "a", Seal: seal("a", 1), SealedBy: catalog.PartyCoordinator}, at(0)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.CloseLost(ctx, "a", at(20), []catalog.Gap{{Start: at(10), End: at(20), Cause: "agent_lost"}}); err != nil {
			t.Fatal(err)
		}
	}
	d, err := c.Detail(ctx, "a")
	if s := d.Session; err != nil || s.State != catalog.SessionFinalizing || s.LastSegment != 1 || !s.End.Equal(at(20)) || !s.Lost.Equal(at(40)) ||
		s.StateReason != "the agent disappeared" || len(d.Gaps) != 1 {
		t.Errorf("%+v, %v", d, err)
	}
	archive(t, c, "e", 1, at(50))
	if ids, err := c.Finishable(ctx); err != nil || !slices.Equal(ids, []string{"a"}) {
		t.Error(ids, err)
	}
}

func testFinishable(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	want := func(want ...string) {
		t.Helper()
		if got, err := c.Finishable(ctx); err != nil || !slices.Equal(got, want) {
			t.Fatalf("finishable %v, %v, want %v", got, err, want)
		}
	}
	create(t, c, "a")
	create(t, c, "b")
	report(t, c, "a", 2)
	addSegments(t, c, "a", 1)
	archive(t, c, "e", 1, at(20))
	want()
	end(t, c, "a", 2)
	want() // segment 2 has not come yet
	addSegments(t, c, "a", 2)
	want()
	archive(t, c, "e", 1, at(20))
	want("a")
	if err := c.EndSession(ctx, "b", catalog.End{Time: at(1)}); err != nil {
		t.Fatal(err)
	}
	want("a", "b")
	if err := c.AddGaps(ctx, "a", []catalog.Gap{{Start: at(1), End: at(2), Cause: "unexplained"}}); err != nil {
		t.Fatal(err)
	}
	if err := c.FinishSession(ctx, "a", catalog.SessionComplete, ""); err != nil {
		t.Fatal(err)
	}
	want("b")
	wantErr(t, c.AddGaps(ctx, "a", []catalog.Gap{{}}), catalog.ErrTransition)
	wantErr(t, c.AddSegment(ctx, catalog.Segment{Session: "a", Seal: seal("a", 3), SealedBy: catalog.PartyCoordinator}, at(0)), catalog.ErrEnded)
}

func testList(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	for i := range 25 {
		s := newSession(fmt.Sprintf("s%02d", i))
		s.Start = at(float64(i / 2)) // pairs start together
		s.User = []string{"ann", "bob"}[i%2]
		s.Fleet = []string{"f0", "f1", "f2"}[i%3]
		if _, _, err := c.CreateSession(ctx, s); err != nil {
			t.Fatal(err)
		}
		if i%5 == 0 {
			if err := c.MarkRecording(ctx, s.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		name   string
		filter catalog.Filter
		match  func(i int) bool
	}{
		{"all", catalog.Filter{}, func(int) bool { return true }},
		{"user", catalog.Filter{User: "bob"}, func(i int) bool { return i%2 == 1 }},
		{"fleet and state", catalog.Filter{Fleet: "f0", States: []catalog.SessionState{catalog.SessionRecording, catalog.SessionEmpty}},
			func(i int) bool { return i%15 == 0 }},
		{"stack", catalog.Filter{Stack: "stack"}, func(int) bool { return true }},
		{"none", catalog.Filter{Instance: "' OR 1=1 --"}, func(int) bool { return false }},
	} {
		t.Run(test.name, func(t *testing.T) {
			var want, got []string
			for i := 24; i >= 0; i-- {
				if test.match(i) {
					want = append(want, fmt.Sprintf("s%02d", i))
				}
			}
			token, pages := "", 0
			for {
				page, next, err := c.ListSessions(ctx, test.filter, 4, token)
				if err != nil || len(page) > 4 {
					t.Fatal(len(page), err)
				}
				for _, s := range page {
					got = append(got, s.ID)
				}
				pages++
				if next == "" {
					break
				}
				token = next
			}
			if !slices.Equal(got, want) || pages > len(want)/4+1 {
				t.Errorf("got %v on %d pages, want %v", got, pages, want)
			}
			if token != "" {
				other := test.filter
				other.User = "eve"
				if _, _, err := c.ListSessions(ctx, other, 4, token); !errors.Is(err, catalog.ErrPageToken) {
					t.Errorf("token of another query: %v", err)
				}
			}
		})
	}
	for _, token := range []string{"x", "====", "e30", string(make([]byte, 1000))} {
		_, _, err := c.ListSessions(ctx, catalog.Filter{}, 4, token)
		wantErr(t, err, catalog.ErrPageToken)
	}
}

func testTotals(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	create(t, c, "b")
	report(t, c, "a", 2)
	addSegments(t, c, "a", 1, 2)
	archive(t, c, "e", 1, at(20))
	if _, err := c.AppendEvents(ctx, "a", []catalog.Event{{Number: 4, Gap: &catalog.Gap{Start: at(20), End: at(23), Cause: "x"}}}); err != nil {
		t.Fatal(err)
	}
	want := catalog.Totals{Recorded: 20 * time.Second, Missing: 3 * time.Second, Segments: 2, Archived: 1, Gaps: 1, ArchivedBytes: 1000}
	list, _, err := c.ListSessions(ctx, catalog.Filter{}, 10, "")
	if err != nil || len(list) != 2 || list[1].Totals != want || list[0].Totals != (catalog.Totals{}) {
		t.Errorf("%+v, %v", list, err)
	}
	if s, err := c.Session(ctx, "a"); err != nil || s.Totals != want {
		t.Errorf("%+v, %v", s.Totals, err)
	}
}

func testReopen(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	report(t, c, "a", 1)
	addSegments(t, c, "a", 1)
	leaseOne(t, c, "e", at(10))
	before, err := c.Detail(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	again := open()
	after, err := again.Detail(context.WithoutCancel(ctx), "a")
	if err != nil || fmt.Sprintf("%+v", after) != fmt.Sprintf("%+v", before) {
		t.Errorf("%+v\nbefore %+v, %v", after, before, err)
	}
	if err := again.CompleteJob(ctx, "a.1", 1, recording("k", "e")); err != nil {
		t.Error(err)
	}
}
