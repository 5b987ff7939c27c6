package catalog

import (
	"context"
	"errors"
	"fmt"
)

// ErrDutyLost says that a write was refused because another coordinator has taken the duty that it belongs to.
var ErrDutyLost = errors.New("duty was taken over")

type termKey struct{}

type dutyTerm struct {
	duty   string
	number int64
}

// UnderTerm returns a context in which every write is refused with ErrDutyLost once another coordinator has taken the duty
// over: one that was frozen in a step and goes on later can change nothing.
func (c *Catalog) UnderTerm(ctx context.Context, duty string, number int64) context.Context {
	return context.WithValue(ctx, termKey{}, dutyTerm{duty, number})
}

// checkTerm is part of every transaction that writes; until it ends nobody takes the duty over.
func checkTerm(ctx context.Context, tx *txn) error {
	t, ok := ctx.Value(termKey{}).(dutyTerm)
	if !ok {
		return nil
	}
	var now int64
	if err := tx.QueryRowContext(ctx, `SELECT term FROM duties WHERE name = $1`+tx.dialect.share, t.duty).Scan(&now); err != nil {
		return fmt.Errorf("read term of duty %s: %w", t.duty, err)
	}
	if now != t.number {
		return fmt.Errorf("%s, term %d, now %d: %w", t.duty, t.number, now, ErrDutyLost)
	}
	return nil
}
