package catalog

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// RetryJob gives a quarantined job another chance, with nothing held against it: it is available and its segment sealed
// again. One that waits to be tried again need not wait any more; one that is available or runs stays as it is. A completed one
// is ErrTransition, one whose session is being deleted, or is about to be final, ErrConflict. A session that is final stays so:
// its manifest tells of the segment as quarantined, until an addendum tells that it was archived.
func (c *Catalog) RetryJob(ctx context.Context, id string, now time.Time) (j Job, err error) {
	err = c.update(ctx, func(tx *txn) error {
		// The session first: deletions and jobs' retries exclude each other by its lock.
		of, _, _ := strings.Cut(id, ".")
		s, err := session(ctx, tx, of)
		if err != nil {
			return err
		}
		if j, err = job(ctx, tx, id); err != nil {
			return err
		}
		switch j.State {
		case JobAvailable, JobRunning:
			return nil
		case JobRetryable:
			_, err := exec(ctx, tx, `UPDATE jobs SET failures = 0, setbacks = 0, rescues = 0, available_time = $1 WHERE id = $2`, nanos(now), id)
			if err == nil {
				j, err = job(ctx, tx, id)
			}
			return err
		case JobCompleted, JobQuarantined:
		}
		if err := j.State.Become(JobAvailable); err != nil {
			return err
		}
		if !s.Deletion.Ordered.IsZero() {
			return fmt.Errorf("its session is being deleted: %w", ErrConflict)
		}
		if err := notFinishing(ctx, tx, s); err != nil {
			return err
		}
		if j.turn, err = nextTurn(ctx, tx, j.Session, j.Pool, j.Priority); err != nil {
			return err
		}
		j.Failures, j.Setbacks, j.Rescues = 0, 0, 0
		if _, err := exec(ctx, tx, `UPDATE jobs SET turn = $1 WHERE id = $2`, j.turn, id); err != nil {
			return err
		}
		if err := setQuarantineCause(ctx, tx, j, ""); err != nil {
			return err
		}
		if err := giveBack(ctx, tx, j, JobAvailable, now); err != nil {
			return err
		}
		j, err = job(ctx, tx, id)
		return err
	})
	return j, wrap("retry job", id, err)
}

// notFinishing is ErrConflict where nothing is left to do for a session but to write its manifest: that must find the
// segments as they are, however often it is tried.
func notFinishing(ctx context.Context, tx *txn, s Session) error {
	if s.State != SessionFinalizing || s.LastSegment == Unknown {
		return nil
	}
	all, err := segments(ctx, tx, s.ID)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(all, func(g Segment) bool { return !g.State.Final() }) || s.EndedBy != PartyCoordinator && len(all) != s.LastSegment {
		return nil
	}
	return fmt.Errorf("its session is about to be final; try again in a moment: %w", ErrConflict)
}

// JobFilter selects jobs; its zero value selects all.
type JobFilter struct {
	States           []JobState
	Session, Encoder string
	Pool             *string // nil for any
}

type jobToken struct {
	Filter  string `json:"f"`
	Created int64  `json:"c"`
	ID      string `json:"i"`
}

func (f JobFilter) fingerprint() string {
	pool := "any"
	if f.Pool != nil {
		pool = "=" + *f.Pool
	}
	return fingerprint("%q %q %q %q", f.States, f.Session, f.Encoder, pool)
}

// ListJobs returns at most size jobs, the newest first, and the token of the next page, empty where there is none. A token
// that was made for another filter is ErrPageToken.
func (c *Catalog) ListJobs(ctx context.Context, f JobFilter, size int, token string) (found []Job, next string, err error) {
	var s statement
	conditions := []string{"1 = 1"}
	var states []string
	for _, state := range f.States {
		states = append(states, s.arg(state))
	}
	if len(states) > 0 {
		conditions = append(conditions, "state IN ("+strings.Join(states, ", ")+")")
	}
	if f.Session != "" {
		conditions = append(conditions, "session_id = "+s.arg(f.Session))
	}
	if f.Encoder != "" {
		conditions = append(conditions, "encoder_id = "+s.arg(f.Encoder))
	}
	if f.Pool != nil {
		conditions = append(conditions, "pool = "+s.arg(*f.Pool))
	}
	if token != "" {
		var t jobToken
		if !readToken(token, &t) || t.Filter != f.fingerprint() {
			return nil, "", ErrPageToken
		}
		conditions = append(conditions, "(created_time, id) < ("+s.arg(t.Created)+", "+s.arg(t.ID)+")")
	}
	err = c.view(ctx, func(tx *txn) error {
		found, err = jobsWhere(ctx, tx, strings.Join(conditions, " AND ")+" ORDER BY created_time DESC, id DESC LIMIT "+s.arg(size+1), s.args...)
		return err
	})
	if err != nil {
		return nil, "", fmt.Errorf("list jobs: %w", err)
	}
	if len(found) > size {
		found = found[:size]
		last := found[size-1]
		next = writeToken(jobToken{Filter: f.fingerprint(), Created: nanos(last.Created), ID: last.ID})
	}
	return found, next, nil
}
