package catalog

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// addTotals fills in the totals of sessions, and since when nothing is recorded of them.
func addTotals(ctx context.Context, tx *txn, sessions []Session) error {
	if len(sessions) == 0 {
		return nil
	}
	if err := addUnrecorded(ctx, tx, sessions); err != nil {
		return err
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
