package catalog_test

import (
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

func testAgents(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	const n = 7
	var beats []catalog.Beat
	for i := range n {
		s := newSession(fmt.Sprint("s", i))
		s.Instance = fmt.Sprint("i-", n-i)
		if _, _, err := c.CreateSession(ctx, s); err != nil {
			t.Fatal(err)
		}
		if i < 3 {
			beats = append(beats, catalog.Beat{Session: s.ID, Seen: at(float64(i)), LastFrame: at(100), Spooled: 5, Idle: -1})
		}
	}
	if err := c.NoteBeats(ctx, "a", beats); err != nil {
		t.Fatal(err)
	}
	beats[0].Seen, beats[0].Idle, beats[0].Frames = at(50), time.Minute, 9
	if err := c.NoteBeats(ctx, "b", beats[:1]); err != nil {
		t.Fatal(err)
	}
	for who, want := range map[string]int{"a": 1, "b": 2, "c": 3} {
		got, err := c.BeatsOfOthers(ctx, who)
		if err != nil || len(got) != want {
			t.Errorf("%s: %v, %v", who, got, err)
		}
		if want == 1 && got[0] != beats[0] {
			t.Errorf("%+v became %+v", beats[0], got[0])
		}
	}
	if err := c.NoteBeats(ctx, "b", []catalog.Beat{{Session: "s0", Seen: at(50), Idle: -1, Frames: -1}}); err != nil { // says nothing new
		t.Fatal(err)
	}
	if err := c.MarkSilent(ctx, "s1", at(3)); err != nil {
		t.Fatal(err)
	}
	var all []catalog.Agent
	for token := ""; ; {
		page, next, err := c.ListAgents(ctx, catalog.AgentFilter{}, 3, token)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page...)
		if token = next; token == "" {
			break
		}
		_, _, err = c.ListAgents(ctx, catalog.AgentFilter{Silent: true}, 3, token)
		wantErr(t, err, catalog.ErrPageToken)
	}
	if len(all) != n || all[0].Instance != "i-1" || all[0].Idle != -1 || !all[0].Seen.IsZero() {
		t.Fatalf("%+v", all)
	}
	if last := all[n-1]; last.Session != "s0" || last.Idle != time.Minute || !last.Seen.Equal(at(50)) || last.Spooled != 5 || !last.LastFrame.Equal(at(100)) || last.User != "ann" {
		t.Errorf("%+v", last)
	}
	if silent, _, err := c.ListAgents(ctx, catalog.AgentFilter{Silent: true}, 3, ""); err != nil || len(silent) != 1 || silent[0].Session != "s1" {
		t.Errorf("%+v, %v", silent, err)
	}
	refused := newSession("s9")
	refused.State, refused.StateReason = catalog.SessionRefused, "not to be recorded"
	if _, _, err := c.CreateSession(ctx, refused); err != nil {
		t.Fatal(err)
	}
	if err := c.NoteBeats(ctx, "a", []catalog.Beat{{Session: "s9", Seen: at(1)}}); err != nil {
		t.Fatal(err)
	}
	if err := c.ForgetBeats(ctx); err != nil {
		t.Fatal(err)
	}
	if got, err := c.BeatsOfOthers(ctx, "z"); err != nil || len(got) != 3 {
		t.Errorf("%v, %v", got, err)
	}
}

func testJobMedia(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	addSegments(t, c, "a", 1)
	found, _, err := c.ListJobs(ctx, catalog.JobFilter{}, 10, "")
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	g, err := c.Segment(ctx, "a", 1)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.JobMedia(ctx, found); err != nil || got["a.1"] != (catalog.Media{Duration: g.End.Sub(g.Start), Frames: g.Frames}) {
		t.Errorf("%v, %v", got, err)
	}
	_, err = c.Encoder(ctx, "none")
	wantErr(t, err, catalog.ErrNotFound)
	if _, err := c.SeeEncoder(ctx, catalog.Encoder{ID: "e1", Seen: at(1)}, time.Second); err != nil {
		t.Fatal(err)
	}
	if e, err := c.Encoder(ctx, "e1"); err != nil || e.ID != "e1" {
		t.Error(e, err)
	}
}

func testTerms(t *testing.T, open opener) {
	all, ctx := openSeveral(open), t.Context()
	create(t, all[0], "a")
	term, mine, err := all[0].TakeDuty(ctx, "watch", "a", at(0), at(10))
	if err != nil || !mine {
		t.Fatal(mine, err)
	}
	first := all[0].UnderTerm(ctx, "watch", term)
	if err := all[0].MarkSilent(first, "a", at(1)); err != nil {
		t.Fatal(err)
	}
	// The lease has run out, but nobody has taken the duty: nothing is lost yet.
	if err := all[0].MarkSilent(first, "a", at(2)); err != nil {
		t.Fatal(err)
	}
	next, mine, err := all[1].TakeDuty(ctx, "watch", "b", at(20), at(30))
	if err != nil || !mine || next == term {
		t.Fatal(next, mine, err)
	}
	wantErr(t, all[0].LoseSession(first, "a", at(21), "frozen"), catalog.ErrDutyLost)
	if s, err := all[2].Session(ctx, "a"); err != nil || !s.Lost.IsZero() {
		t.Error(s, err)
	}
	if err := all[1].MarkSilent(all[1].UnderTerm(ctx, "watch", next), "a", time.Time{}); err != nil {
		t.Error(err)
	}
	wantErr(t, all[0].MarkSilent(all[0].UnderTerm(ctx, "none", 1), "a", at(3)), sql.ErrNoRows)
}
