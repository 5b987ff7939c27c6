package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Standing is the little of a session that each Sync of its agent needs, and the watch over all of them every second.
type Standing struct {
	ID, Instance string
	State        SessionState
	EndedBy      Party
	StopReason   string
	LastEvent    int64
	LastSegment  int // Unknown while more may come
	Silent       time.Time
}

const selectStanding = `SELECT id, instance, state, ended_by, stop_reason, last_event, last_segment, silent_time FROM sessions`

func scanStanding(row scanner) (s Standing, err error) {
	err = row.Scan(&s.ID, &s.Instance, &s.State, &s.EndedBy, &s.StopReason, &s.LastEvent, &s.LastSegment, instant{&s.Silent})
	return s, err
}

// Standing returns how a session stands, or ErrNotFound. It costs a tenth of what Session does.
func (c *Catalog) Standing(ctx context.Context, id string) (Standing, error) {
	s, err := scanStanding(c.standing.QueryRowContext(ctx, id))
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return s, wrap("read session", id, err)
}

// standingsMore is for how many sessions more than the last time there is room from the start: growing by the way, again and again
// each second, is nearly half of what reading them throws away.
const standingsMore = 64

// Standings returns how the sessions stand that are not over, in no order.
func (c *Catalog) Standings(ctx context.Context) (found []Standing, err error) {
	err = c.view(ctx, func(tx *txn) error {
		found = make([]Standing, 0, c.unfinished.Load()+standingsMore)
		return rows(ctx, tx, func(row scanner) error {
			s, err := scanStanding(row)
			found = append(found, s)
			return err
		}, selectStanding+` WHERE state IN ($1, $2, $3)`, SessionStarting, SessionRecording, SessionFinalizing)
	})
	if err != nil {
		return nil, fmt.Errorf("read unfinished sessions: %w", err)
	}
	c.unfinished.Store(int64(len(found)))
	return found, nil
}
