package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"
)

// Priority says which jobs go first; within one, sessions take turns.
type Priority int

// The priorities.
const (
	PriorityBackfill Priority = iota // whenever there is room
	PriorityNormal                   // the session is over
	PriorityLive                     // the session goes on
	PriorityViewer                   // somebody waits to see it
)

// Lease is what an encoder asks for.
type Lease struct {
	Encoder string
	// Pools are the labels of the jobs that it takes; "" is those that any encoder may take. nil is only those.
	Pools []string
	Limit int
	Now   time.Time
	Until time.Time // how long it has them
}

// waiting are the states in which a job can be leased, as the index has them.
const waiting = `state IN ('available', 'retryable')`

// nextTurn is the turn of a new job. The first job of a session that has none in work comes with those that are next; each further one
// comes a turn later, so that however much one session brings, every other one has its turn in between.
func nextTurn(ctx context.Context, tx *txn, session, pool string, p Priority) (int64, error) {
	var own, next, last sql.NullInt64
	for _, q := range []struct {
		into  *sql.NullInt64
		query string
		args  []any
	}{
		{&own, `SELECT MAX(turn) FROM jobs WHERE session_id = $1 AND state IN ('available', 'retryable', 'running')`, []any{session}},
		{&next, `SELECT MIN(turn) FROM jobs WHERE ` + waiting + ` AND pool = $1 AND priority = $2`, []any{pool, p}},
		{&last, `SELECT MAX(turn) FROM jobs WHERE state = 'running' AND pool = $1 AND priority = $2`, []any{pool, p}},
	} {
		if err := tx.QueryRowContext(ctx, q.query, q.args...).Scan(q.into); err != nil {
			return 0, fmt.Errorf("find turn: %w", err)
		}
	}
	turn := last.Int64
	if next.Valid {
		turn = next.Int64
	}
	if own.Valid {
		turn = max(turn, own.Int64+1)
	}
	return turn, nil
}

// Lease leases jobs to an encoder: of the highest priority first, of those whose sessions' turn it is, of those the
// oldest. Each call leases anew: it is not idempotent.
func (c *Catalog) Lease(ctx context.Context, r Lease) (leased []Leased, err error) {
	pools := r.Pools
	if pools == nil {
		pools = []string{""}
	}
	err = c.update(ctx, func(tx *txn) error {
		leased = nil
		var next []Job
		for _, pool := range slices.Compact(slices.Sorted(slices.Values(pools))) {
			some, err := jobsWhere(ctx, tx, waiting+` AND pool = $1 AND available_time <= $2
				ORDER BY priority DESC, turn, available_time, session_id, segment LIMIT $3`+tx.dialect.skip, pool, nanos(r.Now), r.Limit)
			if err != nil {
				return err
			}
			next = append(next, some...)
		}
		slices.SortStableFunc(next, before)
		for _, j := range next[:min(r.Limit, len(next))] {
			l, err := lease(ctx, tx, j, r.Encoder, r.Until)
			if err != nil {
				return err
			}
			leased = append(leased, l)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("lease jobs to encoder %s: %w", r.Encoder, err)
	}
	return leased, nil
}

// before orders jobs of different pools.
func before(a, b Job) int {
	switch {
	case a.Priority != b.Priority:
		return int(b.Priority - a.Priority)
	case a.turn != b.turn:
		return int(min(max(a.turn-b.turn, -1), 1))
	}
	return a.Available.Compare(b.Available)
}

// LeaseJobs is Lease of the jobs that any encoder may take.
func (c *Catalog) LeaseJobs(ctx context.Context, encoder string, limit int, now, until time.Time) ([]Leased, error) {
	return c.Lease(ctx, Lease{Encoder: encoder, Limit: limit, Now: now, Until: until})
}

// HasWork reports whether a job of one of the pools can be leased now, of any where none is named. It only reads.
func (c *Catalog) HasWork(ctx context.Context, now time.Time, pools ...string) (bool, error) {
	var s statement
	s.add("SELECT COUNT(*) FROM (SELECT 1 FROM jobs WHERE %s AND available_time <= %s", waiting, s.arg(nanos(now)))
	for i, pool := range pools {
		s.add("%s pool = %s", []string{" AND (", " OR "}[min(i, 1)], s.arg(pool))
	}
	if len(pools) > 0 {
		s.add(")")
	}
	s.add(" LIMIT 1) AS w")
	var n int
	if err := c.read.QueryRowContext(ctx, s.String(), s.args...).Scan(&n); err != nil {
		return false, fmt.Errorf("look for jobs: %w", err)
	}
	return n > 0, nil
}

// Prioritize gives the jobs of segments another priority, those of all segments of the session where none is named. It
// returns how many jobs it concerned: what is over has none.
func (c *Catalog) Prioritize(ctx context.Context, session string, p Priority, segments ...int) (changed int, err error) {
	err = c.update(ctx, func(tx *txn) error {
		changed = 0
		of, err := jobsWhere(ctx, tx, `session_id = $1 AND state IN ('available', 'retryable', 'running') ORDER BY id`+tx.lock, session)
		if err != nil {
			return err
		}
		for _, j := range of {
			if len(segments) > 0 && !slices.Contains(segments, j.Segment) {
				continue
			}
			if _, err := exec(ctx, tx, `UPDATE jobs SET priority = $1 WHERE id = $2`, p, j.ID); err != nil {
				return err
			}
			changed++
		}
		return nil
	})
	return changed, wrap("prioritize jobs of session", session, err)
}
