package catalog

import (
	"context"
	"fmt"
	"time"
)

// Rescue is what becomes of jobs whose leases ran out.
type Rescue struct {
	Limit int // leases that ran out that quarantine the segment
	// Backoff is how long the job waits after the nth lease that ran out.
	Backoff func(n int) time.Duration
}

// RescueJobs takes the jobs back whose lease ran out before now, and returns them as they are then: available again after a
// while, or quarantined with their segments.
func (c *Catalog) RescueJobs(ctx context.Context, now time.Time, r Rescue) (rescued []Job, err error) {
	var n int
	if err := c.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM jobs WHERE state = 'running' AND lease_end_time < $1`, nanos(now)).Scan(&n); err != nil {
		return nil, fmt.Errorf("rescue jobs: %w", err)
	}
	if n == 0 {
		return nil, nil
	}
	err = c.update(ctx, func(tx *txn) error {
		if rescued, err = jobsWhere(ctx, tx, `state = 'running' AND lease_end_time < $1 ORDER BY id`+tx.lock, nanos(now)); err != nil {
			return err
		}
		for i := range rescued {
			if err := rescue(ctx, tx, &rescued[i], r, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("rescue jobs: %w", err)
	}
	return rescued, nil
}

func rescue(ctx context.Context, tx *txn, j *Job, r Rescue, now time.Time) error {
	j.Rescues++
	next := JobAvailable
	if j.Rescues >= r.Limit {
		next = JobQuarantined
		j.Detail = fmt.Sprintf("%s: %d leases ran out without a word, the last one with encoder %s", CauseEncoderLost, j.Rescues, j.Encoder)
		if err := setQuarantineCause(ctx, tx, *j, CauseEncoderLost); err != nil {
			return err
		}
	}
	j.Available, j.LeaseEnd = now.Add(r.Backoff(j.Rescues)), time.Time{}
	if err := giveBack(ctx, tx, *j, next, j.Available); err != nil {
		return err
	}
	j.State = next
	return tally(ctx, tx, tallyRescue, "", 0)
}

func setQuarantineCause(ctx context.Context, tx *txn, j Job, cause QuarantineCause) error {
	_, err := exec(ctx, tx, `UPDATE segments SET quarantine_cause = $1 WHERE session_id = $2 AND number = $3`, cause, j.Session, j.Segment)
	return err
}
