package catalog

import (
	"context"
	"fmt"
	"time"
)

// MarkSilent notes when the agent of a session was last heard of; the zero time says that it is not silent any more. It
// changes nothing where the coordinator has taken the session over or its state is final.
func (c *Catalog) MarkSilent(ctx context.Context, id string, since time.Time) error {
	err := c.updateLate(ctx, func(tx *txn) error {
		s, err := session(ctx, tx, id)
		if err != nil || s.State.Final() || s.EndedBy == PartyCoordinator {
			return err
		}
		_, err = exec(ctx, tx, `UPDATE sessions SET silent_time = $1 WHERE id = $2`, nanos(since), id)
		return err
	})
	return wrap("mark silence of session", id, err)
}

// LoseSession notes that the agent has disappeared: from here on only the coordinator adds to the session, and its books
// are open until CloseLost. It changes nothing where that is noted already or the state is final.
func (c *Catalog) LoseSession(ctx context.Context, id string, found time.Time, reason string) error {
	err := c.update(ctx, func(tx *txn) error {
		s, err := session(ctx, tx, id)
		if err != nil || s.State.Final() || s.EndedBy == PartyCoordinator {
			return err
		}
		if _, err := exec(ctx, tx, `UPDATE sessions SET lost_time = $1, ended_by = $2, last_segment = $3 WHERE id = $4`,
			nanos(found), PartyCoordinator, Unknown, id); err != nil {
			return err
		}
		if s.State == SessionFinalizing {
			_, err := exec(ctx, tx, `UPDATE sessions SET state_reason = $1 WHERE id = $2`, reason, id)
			return err
		}
		return setState(ctx, tx, s, SessionFinalizing, reason)
	})
	return wrap("lose session", id, err)
}

// CloseLost closes the books of a lost session: its end, and the gaps that explain what is missing. It changes nothing
// where they are closed already.
func (c *Catalog) CloseLost(ctx context.Context, id string, end time.Time, missing []Gap) error {
	err := c.update(ctx, func(tx *txn) error {
		s, err := session(ctx, tx, id)
		if err != nil || s.LastSegment != Unknown {
			return err
		}
		if s.EndedBy != PartyCoordinator || s.State != SessionFinalizing {
			return fmt.Errorf("session %s was not lost: %w", id, ErrConflict)
		}
		for _, g := range missing {
			if err := addGap(ctx, tx, id, g); err != nil {
				return err
			}
		}
		if _, err := exec(ctx, tx, `
			UPDATE sessions SET end_time = $1, last_segment = (SELECT COALESCE(MAX(number), 0) FROM segments WHERE session_id = $2)
			WHERE id = $2`, nanos(end), id); err != nil {
			return err
		}
		return refresh(ctx, tx, id)
	})
	return wrap("close lost session", id, err)
}
