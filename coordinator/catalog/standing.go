package catalog

import (
	"context"
	"database/sql"
	"errors"
)

// Standing is the little of a session that each Sync of its agent needs.
type Standing struct {
	State      SessionState
	EndedBy    Party
	StopReason string
	LastEvent  int64
}

const selectStanding = `SELECT state, ended_by, stop_reason, last_event FROM sessions WHERE id = $1`

// Standing returns how a session stands, or ErrNotFound. It costs a tenth of what Session does.
func (c *Catalog) Standing(ctx context.Context, id string) (s Standing, err error) {
	err = c.standing.QueryRowContext(ctx, id).Scan(&s.State, &s.EndedBy, &s.StopReason, &s.LastEvent)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return s, wrap("read session", id, err)
}
