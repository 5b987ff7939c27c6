package catalog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ListSessions returns at most size sessions and the token of the next page, empty where there is none. token is empty for
// the first page; one that was made for another filter is refused with ErrPageToken, a filter that cannot be with a
// *FilterError. A session that is there for as long as the listing lasts, and is not changed in what the filter compares
// or sorts by, comes exactly once, whatever is added meanwhile.
func (c *Catalog) ListSessions(ctx context.Context, f Filter, size int, token string) (found []Session, next string, err error) {
	from, err := f.parseToken(token)
	if err != nil {
		return nil, "", err
	}
	narrow, possible := f.narrowed()
	if !possible || narrow.unstorable() {
		return nil, "", nil
	}
	q, err := narrow.query()
	if err != nil {
		return nil, "", err
	}
	err = c.browse(ctx, func(tx *txn) error {
		// One more than the page has tells whether there is a next one.
		s := search{tx: tx, filter: narrow, query: q, from: from, limit: size + 1, budget: c.budget}
		positions, err := s.positions(ctx)
		if err != nil {
			return err
		}
		more := len(positions) > size
		positions = positions[:min(size, len(positions))]
		if found, err = sessionsAt(ctx, tx, positions); err != nil {
			return err
		}
		if more {
			next = f.token(found[size-1])
		}
		return addUnrecorded(ctx, tx, found)
	})
	if err != nil {
		return nil, "", fmt.Errorf("list sessions: %w", err)
	}
	return found, next, nil
}

// sessionsAt returns the sessions at positions, in their order.
func sessionsAt(ctx context.Context, tx *txn, positions []int64) ([]Session, error) {
	if len(positions) == 0 {
		return nil, nil
	}
	var s statement
	marks := make([]string, len(positions))
	at := make(map[int64]int, len(positions))
	for i, p := range positions {
		marks[i] = s.arg(p)
		at[p] = i
	}
	found := make([]Session, len(positions))
	n := 0
	err := rows(ctx, tx, func(row scanner) error {
		one, err := scanSession(row)
		if err != nil {
			return err
		}
		found[at[one.position]] = one
		n++
		return nil
	}, selectSession+` WHERE position IN (`+strings.Join(marks, ", ")+`)`, s.args...)
	if err == nil && n != len(positions) {
		err = errors.New("the search names sessions that are not there")
	}
	return found, err
}

// cursor is after which session a page begins.
type cursor struct {
	position int64
	end      int64 // in endOrder
}

// pageToken is a cursor as callers hold it, with the filter that it belongs to.
type pageToken struct {
	Filter   string `json:"f"`
	Position int64  `json:"p"`
	End      int64  `json:"e,omitempty"`
}

func (f Filter) token(last Session) string {
	t := pageToken{Filter: f.fingerprint(), Position: last.position}
	if f.Order == OrderEnd {
		t.End = nanos(last.End)
	}
	return writeToken(t)
}

// parseToken returns nil for the first page.
func (f Filter) parseToken(token string) (*cursor, error) {
	if token == "" {
		return nil, nil
	}
	var t pageToken
	if !readToken(token, &t) || t.Filter != f.fingerprint() || t.Position <= 0 || t.End < 0 {
		return nil, ErrPageToken
	}
	if t.End == 0 {
		t.End = endless
	}
	return &cursor{position: t.Position, end: t.End}, nil
}

// descending sorts positions, the greatest first, and keeps limit of them.
func descending(positions []int64, limit int, ascending bool) []int64 {
	slices.Sort(positions)
	if !ascending {
		slices.Reverse(positions)
	}
	return positions[:min(limit, len(positions))]
}
