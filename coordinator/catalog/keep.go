package catalog

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrHeld says that a session is held: nothing of it may be deleted.
var ErrHeld = errors.New("session is held")

// Hold is an order that nothing of a session is deleted, whatever its retention; zero where there is none.
type Hold struct {
	Time       time.Time
	By, Reason string
}

// Deletion is how a session's recordings go; zero where they stay.
type Deletion struct {
	Ordered    time.Time
	Done       time.Time // when nothing was left but the tombstone; zero before
	By, Reason string
}

// HoldSession holds a session from now on. The first hold stays. It is ErrConflict where the deletion was ordered before.
func (c *Catalog) HoldSession(ctx context.Context, id string, h Hold) error {
	err := c.update(ctx, func(tx *txn) error {
		s, err := session(ctx, tx, id)
		if err != nil || !s.Hold.Time.IsZero() {
			return err
		}
		if !s.Deletion.Ordered.IsZero() {
			return fmt.Errorf("its deletion was ordered at %s: %w", s.Deletion.Ordered.UTC().Format(time.RFC3339), ErrConflict)
		}
		_, err = exec(ctx, tx, `UPDATE sessions SET hold_time = $1, hold_by = $2, hold_reason = $3 WHERE id = $4`, nanos(h.Time), h.By, h.Reason, id)
		return err
	})
	return wrap("hold session", id, err)
}

// ReleaseSession ends the hold of a session; where there is none it changes nothing.
func (c *Catalog) ReleaseSession(ctx context.Context, id string) error {
	err := c.update(ctx, func(tx *txn) error {
		if _, err := session(ctx, tx, id); err != nil {
			return err
		}
		_, err := exec(ctx, tx, `UPDATE sessions SET hold_time = 0, hold_by = '', hold_reason = '' WHERE id = $1`, id)
		return err
	})
	return wrap("release session", id, err)
}

// Expired returns at most limit sessions whose retention has ended and that nobody holds, the longest expired first.
func (c *Catalog) Expired(ctx context.Context, now time.Time, limit int) ([]Session, error) {
	found, err := c.sessionsWhere(ctx, `retain_until > 0 AND hold_time = 0 AND delete_ordered_time = 0 AND retain_until < $1
		AND state IN ('complete', 'interrupted', 'empty', 'refused') ORDER BY retain_until LIMIT $2`, nanos(now), limit)
	if err != nil {
		return nil, fmt.Errorf("read expired sessions: %w", err)
	}
	return found, nil
}

// OrderDeletion notes that a session's recordings are to go, after which nothing holds it any more. The first order stays. It
// is ErrHeld where the session is held, ErrTransition where it is not over, and ErrConflict where a job of it is not.
func (c *Catalog) OrderDeletion(ctx context.Context, id string, d Deletion) error {
	err := c.update(ctx, func(tx *txn) error {
		s, err := session(ctx, tx, id)
		if err != nil || !s.Deletion.Ordered.IsZero() {
			return err
		}
		if !s.Hold.Time.IsZero() {
			return ErrHeld
		}
		if !s.State.Final() {
			return fmt.Errorf("delete in state %q: %w", s.State, ErrTransition)
		}
		open, err := jobsWhere(ctx, tx, `session_id = $1 AND state NOT IN ($2, $3) LIMIT 1`, id, JobCompleted, JobQuarantined)
		if err != nil {
			return err
		}
		if len(open) > 0 {
			return fmt.Errorf("job %s is %s: %w", open[0].ID, open[0].State, ErrConflict)
		}
		_, err = exec(ctx, tx, `UPDATE sessions SET delete_ordered_time = $1, deleted_by = $2, delete_reason = $3 WHERE id = $4`,
			nanos(d.Ordered), d.By, d.Reason, id)
		return err
	})
	return wrap("order deletion of session", id, err)
}

// ToDelete returns at most limit sessions whose deletion was ordered and is not done, the oldest order first.
func (c *Catalog) ToDelete(ctx context.Context, limit int) ([]Session, error) {
	found, err := c.sessionsWhere(ctx, `delete_ordered_time > 0 AND deleted_time = 0 ORDER BY delete_ordered_time LIMIT $1`, limit)
	if err != nil {
		return nil, fmt.Errorf("read sessions to delete: %w", err)
	}
	return found, nil
}

// FinishDeletion leaves the tombstone of a session whose objects are gone: who it was, when, what was deleted with its hashes,
// by whom and why; its metadata and events go. It is ErrTransition where no deletion was ordered, and changes nothing
// where it is done.
func (c *Catalog) FinishDeletion(ctx context.Context, id string, done time.Time) error {
	err := c.update(ctx, func(tx *txn) error {
		s, err := session(ctx, tx, id)
		if err != nil || !s.Deletion.Done.IsZero() {
			return err
		}
		if s.Deletion.Ordered.IsZero() {
			return fmt.Errorf("no deletion was ordered: %w", ErrTransition)
		}
		if _, err := exec(ctx, tx, `DELETE FROM events WHERE session_id = $1`, id); err != nil {
			return err
		}
		if _, err := exec(ctx, tx, `UPDATE sessions SET deleted_time = $1, metadata = '{}' WHERE id = $2`, nanos(done), id); err != nil {
			return err
		}
		if err := addEntry(ctx, tx, id, entryDeleted, done); err != nil {
			return err
		}
		return refresh(ctx, tx, id)
	})
	return wrap("finish deletion of session", id, err)
}

func (c *Catalog) sessionsWhere(ctx context.Context, where string, args ...any) (found []Session, err error) {
	err = c.view(ctx, func(tx *txn) error {
		return rows(ctx, tx, func(row scanner) error {
			s, err := scanSession(row)
			found = append(found, s)
			return err
		}, selectSession+` WHERE `+where, args...)
	})
	return found, err
}

// retainUntil is when the retention of a session ends; zero where it does not, or is not known yet.
func retainUntil(s Session) time.Time {
	if s.End.IsZero() || s.Policy.Retention <= 0 {
		return time.Time{}
	}
	until := s.End.Add(s.Policy.Retention)
	if until.Year() > lastYear {
		return time.Time{}
	}
	return until
}

// lastYear is the last one whose times fit into the tables.
const lastYear = 2261
