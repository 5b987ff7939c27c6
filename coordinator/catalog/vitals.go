package catalog

import (
	"context"
	"fmt"
	"time"
)

// Vitals is how all sessions and jobs together stand.
type Vitals struct {
	Sessions   map[SessionState]int // by state that is not final
	Silent     int                  // sessions that capture and whose agent is silent
	Unrecorded int                  // sessions of which nothing is recorded though their users are active

	Jobs    map[JobState]int         // by state, without completed ones
	Expired int                      // leases that have run out and were not taken back yet
	Backlog map[string]time.Duration // of media that is to be encoded, by pool; any encoder's under the empty name

	OldestUnsealed  time.Time // the end of what is sealed of the session that is furthest behind; zero where there is none
	OldestUnencoded time.Time // the end of the oldest segment that is to be encoded; zero where there is none

	// What follows only grows.

	Gaps    map[string]Tally // by cause
	Sealed  map[Party]Tally  // segments by who sealed them
	Rescues int64            // leases that ran out
}

// Tally is how often something happened and how much media it was about.
type Tally struct {
	Times  int64
	Amount time.Duration
}

// Vitals returns how everything stands at one instant. It only reads, and what it costs grows with the sessions and jobs that
// are not over, not with those that are.
func (c *Catalog) Vitals(ctx context.Context, now time.Time) (v Vitals, err error) {
	v = Vitals{
		Sessions: map[SessionState]int{SessionStarting: 0, SessionRecording: 0, SessionFinalizing: 0},
		Jobs:     map[JobState]int{JobAvailable: 0, JobRunning: 0, JobRetryable: 0, JobQuarantined: 0},
		Backlog:  map[string]time.Duration{"": 0}, Gaps: map[string]Tally{}, Sealed: map[Party]Tally{},
	}
	err = c.view(ctx, func(tx *txn) error {
		for _, read := range []func(context.Context, *txn, time.Time) error{v.readSessions, v.readJobs, v.readTallies} {
			if err := read(ctx, tx, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Vitals{}, fmt.Errorf("read vitals: %w", err)
	}
	return v, nil
}

func (v *Vitals) readSessions(ctx context.Context, tx *txn, _ time.Time) error {
	if err := rows(ctx, tx, func(row scanner) error {
		var state SessionState
		var n, silent int
		if err := row.Scan(&state, &n, &silent); err != nil {
			return err
		}
		v.Sessions[state] = n
		if state.Capturing() {
			v.Silent += silent
		}
		return nil
	}, `SELECT state, COUNT(*), CAST(SUM(CASE WHEN silent_time <> 0 THEN 1 ELSE 0 END) AS BIGINT) FROM sessions WHERE state IN ($1, $2, $3) GROUP BY state`,
		SessionStarting, SessionRecording, SessionFinalizing); err != nil {
		return err
	}
	if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM unrecorded u JOIN sessions s ON s.id = u.session_id WHERE s.state IN ($1, $2)`,
		SessionStarting, SessionRecording).Scan(&v.Unrecorded); err != nil {
		return err
	}
	// Of a session that has ended, all is sealed once its last segment is.
	return tx.QueryRowContext(ctx, `
		SELECT COALESCE(MIN(sealed), 0) FROM (
		  SELECT COALESCE((SELECT g.end_time FROM segments g WHERE g.session_id = s.id ORDER BY g.number DESC LIMIT 1), s.start_time) AS sealed
		  FROM sessions s WHERE s.state IN ($1, $2, $3)
		    AND (s.last_segment < 0 OR s.last_segment > COALESCE((SELECT MAX(g.number) FROM segments g WHERE g.session_id = s.id), 0))
		) AS behind`, SessionStarting, SessionRecording, SessionFinalizing).Scan(instant{&v.OldestUnsealed})
}

func (v *Vitals) readJobs(ctx context.Context, tx *txn, now time.Time) error {
	if err := rows(ctx, tx, func(row scanner) error {
		var state JobState
		var pool string
		var n, expired int
		var media time.Duration
		var oldest time.Time
		if err := row.Scan(&state, &pool, &n, &media, instant{&oldest}, &expired); err != nil {
			return err
		}
		v.Jobs[state] += n
		v.Backlog[pool] += media
		if v.OldestUnencoded.IsZero() || oldest.Before(v.OldestUnencoded) {
			v.OldestUnencoded = oldest
		}
		v.Expired += expired
		return nil
	}, `
		SELECT j.state, j.pool, COUNT(*), CAST(SUM(g.end_time - g.start_time) AS BIGINT), MIN(g.end_time),
		  CAST(SUM(CASE WHEN j.state = $1 AND j.lease_end_time < $4 THEN 1 ELSE 0 END) AS BIGINT)
		FROM jobs j JOIN segments g ON g.session_id = j.session_id AND g.number = j.segment
		WHERE j.state IN ($1, $2, $3) GROUP BY j.state, j.pool`, JobRunning, JobAvailable, JobRetryable, nanos(now)); err != nil {
		return err
	}
	var quarantined int
	err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM jobs WHERE state = $1`, JobQuarantined).Scan(&quarantined)
	v.Jobs[JobQuarantined] = quarantined
	return err
}

func (v *Vitals) readTallies(ctx context.Context, tx *txn, _ time.Time) error {
	return rows(ctx, tx, func(row scanner) error {
		var name, label string
		var t Tally
		if err := row.Scan(&name, &label, &t.Times, &t.Amount); err != nil {
			return err
		}
		switch name {
		case tallyGap:
			v.Gaps[label] = t
		case tallySegment:
			v.Sealed[Party(label)] = t
		case tallyRescue:
			v.Rescues += t.Times
		}
		return nil
	}, `SELECT name, label, CAST(SUM(times) AS BIGINT), CAST(SUM(amount) AS BIGINT) FROM tally_parts GROUP BY name, label`)
}

// FinalSessions counts the sessions whose state is final, by state. What it costs grows with their number: some 40 ms for a
// million.
func (c *Catalog) FinalSessions(ctx context.Context) (count map[SessionState]int, err error) {
	count = map[SessionState]int{SessionComplete: 0, SessionInterrupted: 0, SessionEmpty: 0, SessionRefused: 0}
	err = c.view(ctx, func(tx *txn) error {
		return rows(ctx, tx, func(row scanner) error {
			var state SessionState
			var n int
			err := row.Scan(&state, &n)
			count[state] = n
			return err
		}, `SELECT state, COUNT(*) FROM sessions WHERE state IN ($1, $2, $3, $4) GROUP BY state`,
			SessionComplete, SessionInterrupted, SessionEmpty, SessionRefused)
	})
	if err != nil {
		return nil, fmt.Errorf("count final sessions: %w", err)
	}
	return count, nil
}

// Ping writes, to see that the catalog can be written to and that what it is told is kept. It changes nothing.
func (c *Catalog) Ping(ctx context.Context) error {
	err := c.update(ctx, func(tx *txn) error {
		n, err := exec(ctx, tx, `UPDATE migrations SET number = number WHERE number = 1`)
		if err == nil && n != 1 {
			err = fmt.Errorf("migration 1: %w", ErrNotFound)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("write to catalog: %w", err)
	}
	return nil
}
