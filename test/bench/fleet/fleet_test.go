package main

import (
	"context"
	"os"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == serveArgument {
		if err := serve(os.Stdin, os.Stdout); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// Every segment gets its receipt, nothing is refused, every session ends complete and nothing is left, while sessions begin and
// end and more is published than an agent would.
func TestASmallFleet(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cfg := config{
		sessions: 50, active: 15, churn: 1, segment: 5 * time.Second, duration: 10 * time.Second, warm: time.Second,
		turn: time.Second, turns: 1, inFlight: 16, dir: t.TempDir(), logLevel: "warn",
	}
	r, err := measure(ctx, cfg, variant{}, t.Logf)
	if err != nil {
		t.Fatal(err)
	}
	if r.complaints > 0 {
		t.Errorf("%d calls or chunks had to be tried again", r.complaints)
	}
	if due := r.offered; due < 15 || r.delivered < 0.8*due {
		t.Errorf("%.1f of %.1f chunks a second", r.delivered, due)
	}
	if r.segments < 50 || r.started < 5 {
		t.Errorf("only %d segments and %d new sessions were seen", r.segments, r.started)
	}
	if r.driven[0] == 0 || r.limits[0] == 0 {
		t.Errorf("%v chunks a second driven, %v by the bus alone", r.driven, r.limits)
	}
}

// The hash chain of a tape runs on from segment to segment, from the session's id on.
func TestATapeGoesOnAcrossSegments(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	tape := newTape("s1", 1, start)
	first := tape.cut([]byte("a"), start.Add(time.Second))
	tape.cut([]byte("bc"), start.Add(2*time.Second))
	one := tape.seal(start.Add(2 * time.Second))
	third := tape.cut([]byte("d"), start.Add(3*time.Second))
	two := tape.seal(start.Add(3 * time.Second))
	if one.chunks != 2 || one.bytes != 3 || one.frames != 10 || two.number != 2 || two.start != one.end || two.before != one.after {
		t.Errorf("%+v then %+v", one, two)
	}
	if first.Chain != one.before.Next(first.Sum) || third.Seq != 0 || third.Offset != 0 || third.Chain != one.after.Next(third.Sum) {
		t.Errorf("%+v then %+v", first, third)
	}
}
