package evidence_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/recfleet/recfleet/internal/evidence"
)

func record() evidence.Record {
	r := evidence.Record{Number: 1, Time: time.Unix(0, 1234567890123456789).UTC(), Who: "ann", Action: "session.delete", Object: "a", Reason: "<&>\n\u2028", Result: "ok", From: "[::1]:1"}
	r.Hash = r.Sum()
	return r
}

// What was written once must be verified for ever: these sums never change.
func TestSumsAreFixed(t *testing.T) {
	r := record()
	if got := r.Sum().String(); got != "3d196cc2867caee6b3595865c1849b342b8c630f7f3780be548c6a71a1ed9dc4" {
		t.Errorf("without new fields %s", got)
	}
	r.Auth, r.Span = "oidc", evidence.Span{Start: 1000, End: 2000}
	if got := r.Sum().String(); got != "68a4c9855f2c89d23d665fe186794cbced50aecfb62aca53de73ba9a6ce063a9" {
		t.Errorf("with all fields %s", got)
	}
}

func TestEveryFieldIsInTheSum(t *testing.T) {
	for name, change := range map[string]func(*evidence.Record){
		"number": func(r *evidence.Record) { r.Number++ }, "time": func(r *evidence.Record) { r.Time = r.Time.Add(1) },
		"who": func(r *evidence.Record) { r.Who = "bob" }, "auth": func(r *evidence.Record) { r.Auth = "x" },
		"action": func(r *evidence.Record) { r.Action = "x" }, "object": func(r *evidence.Record) { r.Object = "x" },
		"span start": func(r *evidence.Record) { r.Span.Start = 1 }, "span end": func(r *evidence.Record) { r.Span.End = 1 },
		"reason": func(r *evidence.Record) { r.Reason = "x" }, "result": func(r *evidence.Record) { r.Result = "x" },
		"from": func(r *evidence.Record) { r.From = "x" }, "times": func(r *evidence.Record) { r.Times = 2 }, "previous": func(r *evidence.Record) { r.Previous[0] = 1 },
	} {
		r := record()
		if change(&r); r.Sum() == r.Hash || r.Follows(evidence.Record{}) == nil {
			t.Errorf("another %s is not seen", name)
		}
	}
	if err := record().Follows(evidence.Record{}); err != nil {
		t.Error(err)
	}
}

func TestRecordsSurviveJSON(t *testing.T) {
	r := record()
	r.Auth, r.Span = "oidc", evidence.Span{Start: 1000, End: 2500}
	r.Hash = r.Sum()
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var again evidence.Record
	if err := json.Unmarshal(raw, &again); err != nil || again.Follows(evidence.Record{}) != nil || again != r {
		t.Errorf("%s\n%+v, %v", raw, again, err)
	}
}

func TestSentences(t *testing.T) {
	span := evidence.Span{Start: 720_000, End: 1_020_500}
	for want, r := range map[string]evidence.Record{
		"ann played a video (0:12:00 to 0:17:00.500)":                  {Action: "recording.play", Object: "a", Span: span},
		"ann downloaded a video of segment 3 (0:12:00 to 0:17:00.500)": {Action: "recording.download", Object: "a.3", Span: span},
		"ann downloaded entire session: a (0:12:00 to 0:17:00.500)":    {Action: "session.download", Object: "a", Span: span},
		"ann deleted session a, refused: not_found":                    {Action: "session.delete", Object: "a", Result: "not_found"},
		"ann made token t":                    {Action: "token.create", Object: "t", Result: "ok"},
		"ann had encoder e take no more work": {Action: "encoder.drain", Object: "e", Result: "ok"},
		"ann key.made k":                      {Action: "key.made", Object: "k", Result: "ok"},
	} {
		r.Who = "ann"
		if got := r.Sentence(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
