package catalog

import (
	"context"
	"fmt"
	"time"
)

// TakeDuty gives a duty to a coordinator until a time, or makes the time longer that it has it for. It returns false where
// another coordinator has it. Terms grow whenever a duty changes hands: what was begun in one is not to be ended in another.
//
// Both times are the caller's; coordinators whose clocks differ by more than a lease lasts can have a duty at once, which is
// why every step of a duty must bear being done twice.
func (c *Catalog) TakeDuty(ctx context.Context, name, holder string, now, until time.Time) (term int64, mine bool, err error) {
	err = c.update(ctx, func(tx *txn) error {
		term, mine = 0, false
		if _, err := exec(ctx, tx, `INSERT INTO duties (name, holder, term, until_time) VALUES ($1, '', 0, 0) ON CONFLICT (name) DO NOTHING`, name); err != nil {
			return err
		}
		var by string
		var ends time.Time
		if err := tx.QueryRowContext(ctx, `SELECT holder, term, until_time FROM duties WHERE name = $1`+tx.lock, name).Scan(&by, &term, instant{&ends}); err != nil {
			return err
		}
		if by != holder && now.Before(ends) {
			return nil
		}
		if by != holder {
			term++
		}
		mine = true
		_, err := exec(ctx, tx, `UPDATE duties SET holder = $1, term = $2, until_time = $3 WHERE name = $4`, holder, term, nanos(until), name)
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("take duty %s: %w", name, err)
	}
	return term, mine, nil
}

// LeaveDuty lets others have a duty at once; it changes nothing where the coordinator does not have it.
func (c *Catalog) LeaveDuty(ctx context.Context, name, holder string) error {
	err := c.update(ctx, func(tx *txn) error {
		_, err := exec(ctx, tx, `UPDATE duties SET holder = '', until_time = 0 WHERE name = $1 AND holder = $2`, name, holder)
		return err
	})
	return wrap("leave duty", name, err)
}
