package catalog

import (
	"context"
	"math/bits"
	"strings"
	"time"
)

// week is the nanoseconds of a stretch of positions that is searched at once where matches do not come in their order.
const week = int64(7 * 24 * time.Hour)

// lengthClass sorts sessions by their length: into 0 go those that are shorter than 68 minutes, into each further one those
// that are up to four times as long as the ones before.
func lengthClass(start, end time.Time) int {
	if end.IsZero() {
		return classOpen
	}
	seconds := uint64(max(end.Sub(start), 0) / time.Second)
	return max(bits.Len64(seconds)-classBits+1, 0) / 2
}

const (
	classOpen = -1 // it is not over
	classBits = 12 // of the seconds in class 0
)

// classLength is longer than any session of a class.
func classLength(class int) time.Duration { return time.Second << min(classBits+2*class, 33) }

// terms renders what a session is found by.
func (d dialect) terms(terms []string) string {
	if d.name == "sqlite" {
		return strings.Join(terms, " ")
	}
	return "'" + strings.Join(terms, "' '") + "'"
}

// match renders a query.
func (d dialect) match(q query) string {
	if d.name == "sqlite" {
		return q.join(" AND ", " OR ", func(t term) string {
			if t.stem {
				return `"` + t.text + `"*`
			}
			return `"` + t.text + `"`
		})
	}
	return q.join(" & ", " | ", func(t term) string {
		if t.stem {
			return "'" + t.text + "':*"
		}
		return "'" + t.text + "'"
	})
}

// refresh brings what a session is found by, and when its retention ends, to the present form; every change of a session's state, metadata, end or
// deletion ends with it.
func refresh(ctx context.Context, tx *txn, id string) error {
	s, err := scanSession(tx.QueryRowContext(ctx, selectSession+` WHERE id = $1`, id))
	if err != nil {
		return err
	}
	class, until := lengthClass(s.Start, s.End), nanos(retainUntil(s))
	if _, err := exec(ctx, tx, `UPDATE sessions SET length_class = $1, retain_until = $2 WHERE id = $3 AND (length_class <> $1 OR retain_until <> $2)`,
		class, until, id); err != nil {
		return err
	}
	return index(ctx, tx, s)
}

// index writes what a session is found by.
func index(ctx context.Context, tx *txn, s Session) error {
	statement := `INSERT OR REPLACE INTO session_search (rowid, terms) VALUES ($1, $2)`
	if tx.dialect.name == "postgres" {
		statement = `
			INSERT INTO session_search (position, terms) VALUES ($1, CAST(CAST($2 AS TEXT) AS TSVECTOR))
			ON CONFLICT (position) DO UPDATE SET terms = EXCLUDED.terms`
	}
	_, err := exec(ctx, tx, statement, s.position, tx.dialect.terms(termsOf(s)))
	return err
}
