// Package evidence holds the forms in which an installation proves later what it did: the audit's records with their hash
// chain, the files of a day in the archive, and their signatures.
//
// The coordinator writes them, recctl reads them, with or without a coordinator. What always holds: the same content gives the
// same bytes; whoever has the public keys and the archive needs nothing else to find out what was changed; fields may be added,
// none changes its meaning.
package evidence

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/recfleet/recfleet/internal/chunk"
)

// Record says who did, or tried to do, what. Records are never changed; each holds the hash of the one before.
type Record struct {
	Number int64     `json:"number"` // from 1 without holes
	Time   time.Time `json:"time"`
	Who    string    `json:"who"`              // as the access control names the caller
	Auth   string    `json:"auth,omitempty"`   // how the caller proved that, as "token"; empty where it is not known
	Action string    `json:"action"`           // a constant word, as "session.delete"
	Object string    `json:"object,omitempty"` // the id of what was acted on; empty where it is nothing in particular
	Span   Span      `json:"span,omitzero"`    // which part of a session's recording, where it is about one
	Reason string    `json:"reason,omitempty"` // in the caller's words
	Result string    `json:"result"`           // "ok", or the word for why not
	From   string    `json:"from,omitempty"`   // the address of the caller
	Times  int64     `json:"times,omitempty"`  // how often that happened, where the record tells of the last of several; 0 for once

	Previous chunk.Hash `json:"previous"` // of the record before; zero in the first
	Hash     chunk.Hash `json:"hash"`     // of all of the above
}

// Span is a stretch of a session, in milliseconds since its start. The zero Span is none.
type Span struct {
	Start int64 `json:"start_ms"`
	End   int64 `json:"end_ms"`
}

// SpanOf is the stretch from one instant of a session to another, widened to whole milliseconds.
func SpanOf(session, start, end time.Time) Span {
	return Span{start.Sub(session).Milliseconds(), (end.Sub(session) + time.Millisecond - 1).Milliseconds()}
}

// Join returns the shortest span that holds both.
func (s Span) Join(other Span) Span {
	if s == (Span{}) {
		return other
	}
	if other == (Span{}) {
		return s
	}
	return Span{min(s.Start, other.Start), max(s.End, other.End)}
}

// String is the span as people read it: "0:12:00 to 0:17:00".
func (s Span) String() string { return clock(s.Start) + " to " + clock(s.End) }

func clock(ms int64) string {
	sign := ""
	if ms < 0 {
		sign, ms = "-", -ms
	}
	text := fmt.Sprintf("%s%d:%02d:%02d", sign, ms/3_600_000, ms/60_000%60, ms/1000%60)
	if ms%1000 != 0 {
		text += fmt.Sprintf(".%03d", ms%1000)
	}
	return text
}

// Sum is the hash that the record must have: SHA-256 over a JSON list of its fields. Records without Auth, Span and Times are
// hashed as they were before these were known.
func (r Record) Sum() chunk.Hash {
	fields := []any{r.Number, nanos(r.Time), r.Who, r.Action, r.Object, r.Reason, r.Result, r.From}
	if r.Auth != "" || r.Span != (Span{}) || r.Times != 0 {
		fields = append(fields, r.Auth, r.Span.Start, r.Span.End)
	}
	if r.Times != 0 {
		fields = append(fields, r.Times)
	}
	b, err := json.Marshal(append(fields, r.Previous.String()))
	if err != nil {
		return chunk.Hash{} // strings and numbers marshal
	}
	return chunk.Sum(b)
}

// Follows returns what is wrong with a record that comes after another one, the zero Record before the first.
func (r Record) Follows(last Record) error {
	switch {
	case r.Number != last.Number+1:
		return fmt.Errorf("record %d is missing", last.Number+1)
	case r.Previous != last.Hash || r.Hash != r.Sum():
		return fmt.Errorf("record %d was changed, or one before it", r.Number)
	}
	return nil
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
