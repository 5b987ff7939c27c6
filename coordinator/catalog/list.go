package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/recfleet/recfleet/internal/chunk"
)

// Filter selects sessions; its zero value selects all.
type Filter struct {
	States                       []SessionState
	User, Stack, Fleet, Instance string
}

// ListSessions returns at most size sessions, the newest start first, and the token of the next page, empty where there is
// none. token is empty for the first page; one that was made for another filter is refused with ErrPageToken. A session
// that is there for as long as the listing lasts comes exactly once, whatever is added meanwhile.
func (c *Catalog) ListSessions(ctx context.Context, f Filter, size int, token string) (found []Session, next string, err error) {
	query, args, err := f.query(size, token)
	if err != nil {
		return nil, "", err
	}
	err = c.view(ctx, func(tx *txn) error {
		if err := rows(ctx, tx, func(row scanner) error {
			s, err := scanSession(row)
			found = append(found, s)
			return err
		}, query, args...); err != nil {
			return err
		}
		if len(found) > size {
			found = found[:size]
			next = f.token(found[size-1])
		}
		return addTotals(ctx, tx, found)
	})
	if err != nil {
		return nil, "", fmt.Errorf("list sessions: %w", err)
	}
	return found, next, nil
}

// query asks for one row more than the page has, which tells whether there is a next one.
func (f Filter) query(size int, token string) (string, []any, error) {
	var where []string
	var args []any
	arg := func(v any) string {
		args = append(args, v)
		return fmt.Sprintf("$%d", len(args))
	}
	if len(f.States) > 0 {
		var states []string
		for _, s := range f.States {
			states = append(states, arg(s))
		}
		where = append(where, "state IN ("+strings.Join(states, ", ")+")")
	}
	for _, field := range []struct{ column, value string }{
		{"user_name", f.User}, {"stack", f.Stack}, {"fleet", f.Fleet}, {"instance", f.Instance},
	} {
		if field.value != "" {
			where = append(where, field.column+" = "+arg(field.value))
		}
	}
	if token != "" {
		start, id, err := f.parseToken(token)
		if err != nil {
			return "", nil, err
		}
		where = append(where, "(start_time, id) < ("+arg(start)+", "+arg(id)+")")
	}
	query := selectSession
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	return query + " ORDER BY start_time DESC, id DESC LIMIT " + arg(size+1), args, nil
}

// pageToken says after which session to go on, and for which filter.
type pageToken struct {
	Filter string `json:"f"`
	Start  int64  `json:"s"`
	ID     string `json:"i"`
}

const maxPageToken = 512

func (f Filter) token(last Session) string {
	b, err := json.Marshal(pageToken{Filter: f.fingerprint(), Start: nanos(last.Start), ID: last.ID})
	if err != nil {
		return "" // strings and numbers marshal
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func (f Filter) parseToken(token string) (start int64, id string, err error) {
	if len(token) > maxPageToken {
		return 0, "", ErrPageToken
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return 0, "", ErrPageToken
	}
	var t pageToken
	if json.Unmarshal(b, &t) != nil || t.Filter != f.fingerprint() || !chunk.ValidSession(t.ID) {
		return 0, "", ErrPageToken
	}
	return t.Start, t.ID, nil
}

// fingerprint is the same for filters that select the same.
func (f Filter) fingerprint() string {
	states := slices.Compact(slices.Sorted(slices.Values(f.States)))
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %q %q", states, f.User, f.Stack, f.Fleet, f.Instance)
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// addTotals fills in the totals of sessions.
func addTotals(ctx context.Context, tx *txn, sessions []Session) error {
	if len(sessions) == 0 {
		return nil
	}
	at := make(map[string]*Totals, len(sessions))
	marks := make([]string, 0, len(sessions))
	args := make([]any, 0, len(sessions)+1)
	for i := range sessions {
		at[sessions[i].ID] = &sessions[i].Totals
		args = append(args, sessions[i].ID)
		marks = append(marks, fmt.Sprintf("$%d", len(args)))
	}
	in := "session_id IN (" + strings.Join(marks, ", ") + ")"
	if err := rows(ctx, tx, func(row scanner) error {
		var id string
		var missing time.Duration
		var n int
		if err := row.Scan(&id, &n, &missing); err != nil {
			return err
		}
		at[id].Gaps, at[id].Missing = n, missing
		return nil
	}, `SELECT session_id, COUNT(*), CAST(SUM(end_time - start_time) AS BIGINT) FROM gaps WHERE `+in+` GROUP BY session_id`, args...); err != nil {
		return err
	}
	args = append(args, SegmentArchived)
	return rows(ctx, tx, func(row scanner) error {
		var id string
		var t Totals
		if err := row.Scan(&id, &t.Segments, &t.Recorded, &t.Archived, &t.ArchivedBytes); err != nil {
			return err
		}
		into := at[id]
		into.Segments, into.Recorded, into.Archived, into.ArchivedBytes = t.Segments, t.Recorded, t.Archived, t.ArchivedBytes
		return nil
	}, fmt.Sprintf(`
		SELECT session_id, COUNT(*), CAST(SUM(end_time - start_time) AS BIGINT),
		  CAST(SUM(CASE WHEN state = $%d THEN 1 ELSE 0 END) AS BIGINT), CAST(SUM(object_bytes) AS BIGINT)
		FROM segments WHERE `, len(args))+in+` GROUP BY session_id`, args...)
}
