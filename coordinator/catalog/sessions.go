package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// CreateSession adds a session that is starting or, where its state says so, one that is refused: then it is over at once for
// its StateReason. Where its request id is known already it changes nothing and returns the
// session of that request id and false.
func (c *Catalog) CreateSession(ctx context.Context, s Session) (stored Session, created bool, err error) {
	metadata, err := marshal(s.Metadata)
	if err != nil {
		return Session{}, false, fmt.Errorf("create session: %w", err)
	}
	terms, err := marshal(s.Policy.PolicyTerms)
	if err != nil {
		return Session{}, false, fmt.Errorf("create session: %w", err)
	}
	err = c.update(ctx, func(tx *txn) error {
		created = false
		stored, err = scanSession(tx.QueryRowContext(ctx, selectSession+` WHERE request_id = $1`, s.RequestID))
		for try := 0; errors.Is(err, ErrNotFound); try++ {
			if try == maxPlaces {
				return fmt.Errorf("session %s or its place is taken: %w", s.ID, ErrConflict)
			}
			n, insertErr := exec(ctx, tx, `
				INSERT INTO sessions (id, request_id, state, state_reason, user_name, stack, fleet, instance, metadata, agent_version,
				  archive_prefix, frame_rate, segment_length, start_time, created_time, end_time, lost_time, stop_reason, end_reason,
				  ended_by, last_segment, last_event, segment_bytes, position, policy_rule, policy_hash, mode, retention, policy, pool, user_groups, agent_id)
				VALUES ($1, $2, $3, '', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, 0, '', '', '', $15, 0, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25)
				ON CONFLICT DO NOTHING`,
				s.ID, s.RequestID, SessionStarting, s.User, s.Stack, s.Fleet, s.Instance, metadata, s.AgentVersion,
				s.ArchivePrefix, s.FrameRate, int64(s.SegmentLength), nanos(s.Start), nanos(s.Created), Unknown, s.SegmentBytes, place(s.Start, try),
				s.Policy.Rule, s.Policy.Hash, s.Policy.Mode, int64(s.Policy.Retention), terms, s.Pool, writeGroups(s.Groups), s.Agent)
			if insertErr != nil {
				return insertErr
			}
			created = n == 1
			stored, err = scanSession(tx.QueryRowContext(ctx, selectSession+` WHERE request_id = $1`, s.RequestID))
		}
		if err != nil || !created {
			return err
		}
		if s.State == "" || s.State == SessionStarting {
			return index(ctx, tx, stored)
		}
		stored, err = refuse(ctx, tx, stored, s)
		return err
	})
	if err != nil {
		return Session{}, false, fmt.Errorf("create session: %w", err)
	}
	return stored, created, nil
}

// refuse ends a session that has just been made.
func refuse(ctx context.Context, tx *txn, stored, asked Session) (Session, error) {
	if asked.State != SessionRefused {
		return Session{}, fmt.Errorf("begin as %q: %w", asked.State, ErrTransition)
	}
	if _, err := exec(ctx, tx, `UPDATE sessions SET end_time = start_time, ended_by = $1, last_segment = 0 WHERE id = $2`,
		PartyCoordinator, stored.ID); err != nil {
		return Session{}, err
	}
	if err := setState(ctx, tx, stored, SessionRefused, asked.StateReason); err != nil {
		return Session{}, err
	}
	return session(ctx, tx, stored.ID)
}

// maxPlaces is how often a place in the order of sessions is looked for.
const maxPlaces = 64

// place is where a session stands among the others: at its start or, where others started in the same nanosecond, right after.
func place(start time.Time, try int) int64 {
	at := nanos(start)
	if try < maxPlaces/2 {
		return at + int64(try)
	}
	return at + rand.Int64N(1<<20)
}

// SessionByRequest returns the session that was made for a request id, or ErrNotFound.
func (c *Catalog) SessionByRequest(ctx context.Context, requestID string) (s Session, err error) {
	err = c.view(ctx, func(tx *txn) error {
		s, err = scanSession(tx.QueryRowContext(ctx, selectSession+` WHERE request_id = $1`, requestID))
		return err
	})
	return s, wrap("read session of request", requestID, err)
}

// Session returns one session, or ErrNotFound.
func (c *Catalog) Session(ctx context.Context, id string) (s Session, err error) {
	err = c.view(ctx, func(tx *txn) error {
		if s, err = session(ctx, tx, id); err != nil {
			return err
		}
		one := []Session{s}
		err = addUnrecorded(ctx, tx, one)
		s = one[0]
		return err
	})
	return s, wrap("read session", id, err)
}

// Detail returns one session with its epochs, segments and gaps, all of one instant, or ErrNotFound.
func (c *Catalog) Detail(ctx context.Context, id string) (d Detail, err error) {
	err = c.view(ctx, func(tx *txn) error {
		if d.Session, err = session(ctx, tx, id); err != nil {
			return err
		}
		if d.Epochs, err = epochs(ctx, tx, id); err != nil {
			return err
		}
		if d.Segments, err = segments(ctx, tx, id); err != nil {
			return err
		}
		if d.Gaps, err = gaps(ctx, tx, id); err != nil {
			return err
		}
		if d.MonitorChanges, err = monitorChanges(ctx, tx, id); err != nil {
			return err
		}
		one := []Session{d.Session}
		err = addUnrecorded(ctx, tx, one)
		d.Session = one[0]
		return err
	})
	return d, wrap("read session", id, err)
}

// Unfinished returns every session whose state is not final, oldest first.
func (c *Catalog) Unfinished(ctx context.Context) (found []Session, err error) {
	err = c.view(ctx, func(tx *txn) error {
		return rows(ctx, tx, func(row scanner) error {
			s, err := scanSession(row)
			found = append(found, s)
			return err
		}, selectSession+` WHERE state IN ($1, $2, $3) ORDER BY position`, SessionStarting, SessionRecording, SessionFinalizing)
	})
	if err != nil {
		return nil, fmt.Errorf("read unfinished sessions: %w", err)
	}
	return found, nil
}

// Finishable returns the ids of the sessions whose books are closed and of which every segment is archived or
// quarantined, oldest first.
func (c *Catalog) Finishable(ctx context.Context) (ids []string, err error) {
	err = c.view(ctx, func(tx *txn) error {
		return rows(ctx, tx, func(row scanner) error {
			var id string
			err := row.Scan(&id)
			ids = append(ids, id)
			return err
		}, `
			SELECT s.id FROM sessions s
			WHERE s.state = $1 AND s.last_segment >= 0
			  AND NOT EXISTS (SELECT 1 FROM segments g WHERE g.session_id = s.id AND g.state NOT IN ($2, $3))
			  AND (s.ended_by = $4 OR s.last_segment = (SELECT COUNT(*) FROM segments g WHERE g.session_id = s.id))
			ORDER BY s.position`, SessionFinalizing, SegmentArchived, SegmentQuarantined, PartyCoordinator)
	})
	if err != nil {
		return nil, fmt.Errorf("read sessions to finish: %w", err)
	}
	return ids, nil
}

// MarkRecording notes that the agent of a starting session captures. In any other state it changes nothing.
func (c *Catalog) MarkRecording(ctx context.Context, id string) error {
	err := c.update(ctx, func(tx *txn) error {
		s, err := session(ctx, tx, id)
		if err != nil || s.State != SessionStarting {
			return err
		}
		return setState(ctx, tx, s, SessionRecording, "")
	})
	return wrap("mark session recording", id, err)
}

// StopSession notes the order to stop. The first order stays; a session that is over is left as it is.
func (c *Catalog) StopSession(ctx context.Context, id, reason string) error {
	err := c.update(ctx, func(tx *txn) error {
		s, err := session(ctx, tx, id)
		if err != nil || !s.State.Capturing() || s.StopReason != "" {
			return err
		}
		_, err = exec(ctx, tx, `UPDATE sessions SET stop_reason = $1 WHERE id = $2`, reason, id)
		return err
	})
	return wrap("stop session", id, err)
}

// End is how an agent closes the books of its session.
type End struct {
	Reason      string
	Time        time.Time
	LastSegment int
	LastEvent   int64
}

// EndSession closes the books: the session is finalizing and takes no more events. It is refused with ErrEventHole where
// events up to End.LastEvent are missing and with ErrConflict where the sealed segments are not End.LastSegment in number.
// For a session whose books are closed it changes nothing.
func (c *Catalog) EndSession(ctx context.Context, id string, end End) error {
	err := c.update(ctx, func(tx *txn) error {
		s, err := session(ctx, tx, id)
		if err != nil || !s.State.Capturing() {
			return err
		}
		if end.LastEvent > s.LastEvent {
			return fmt.Errorf("event %d is the last one known: %w", s.LastEvent, ErrEventHole)
		}
		if end.LastEvent < s.LastEvent {
			return fmt.Errorf("event %d is known already: %w", s.LastEvent, ErrConflict)
		}
		last, err := lastSeal(ctx, tx, id)
		if err != nil {
			return err
		}
		if last.Segment != end.LastSegment {
			return fmt.Errorf("segment %d is the last one reported as sealed: %w", last.Segment, ErrConflict)
		}
		if _, err := exec(ctx, tx, `UPDATE sessions SET end_reason = $1, end_time = $2, ended_by = $3, last_segment = $4 WHERE id = $5`,
			end.Reason, nanos(end.Time), PartyAgent, end.LastSegment, id); err != nil {
			return err
		}
		return setState(ctx, tx, s, SessionFinalizing, "")
	})
	return wrap("end session", id, err)
}

// AddGaps adds gaps to a session that is finalizing. Gaps that are known are passed over.
func (c *Catalog) AddGaps(ctx context.Context, id string, found []Gap) error {
	err := c.update(ctx, func(tx *txn) error {
		s, err := session(ctx, tx, id)
		if err != nil {
			return err
		}
		if s.State != SessionFinalizing {
			return fmt.Errorf("add gaps in state %q: %w", s.State, ErrTransition)
		}
		for _, g := range found {
			if err := addGap(ctx, tx, id, g); err != nil {
				return err
			}
		}
		return nil
	})
	return wrap("add gaps to session", id, err)
}

// FinishSession moves a finalizing session to a final state. It changes nothing where it stands there already.
func (c *Catalog) FinishSession(ctx context.Context, id string, state SessionState, reason string) error {
	err := c.updateLate(ctx, func(tx *txn) error {
		s, err := session(ctx, tx, id)
		if err != nil || s.State == state {
			return err
		}
		if err := setState(ctx, tx, s, state, reason); err != nil {
			return err
		}
		return addEntry(ctx, tx, id, entryClosed, time.Now())
	})
	return wrap("finish session", id, err)
}

func setState(ctx context.Context, tx *txn, s Session, next SessionState, reason string) error {
	if err := s.State.Become(next); err != nil {
		return err
	}
	if _, err := exec(ctx, tx, `UPDATE sessions SET state = $1, state_reason = $2 WHERE id = $3`, next, reason, s.ID); err != nil {
		return err
	}
	return refresh(ctx, tx, s.ID)
}

func addGap(ctx context.Context, tx *txn, id string, g Gap) error {
	n, err := exec(ctx, tx, `
		INSERT INTO gaps (session_id, start_time, end_time, cause, detail) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (session_id, start_time, end_time, cause) DO NOTHING`,
		id, nanos(g.Start), nanos(g.End), g.Cause, g.Detail)
	if err != nil || n == 0 {
		return err
	}
	if err := addTotals(ctx, tx, id, Totals{Gaps: 1, Missing: g.End.Sub(g.Start)}); err != nil {
		return err
	}
	return tally(ctx, tx, tallyGap, g.Cause, g.End.Sub(g.Start))
}

const selectSession = `
	SELECT id, request_id, state, state_reason, user_name, stack, fleet, instance, metadata, agent_version, archive_prefix,
	  frame_rate, segment_length, start_time, created_time, end_time, lost_time, stop_reason, end_reason, ended_by,
	  last_segment, last_event, silent_time, segment_bytes, position, deleted_time, policy_rule, policy_hash, mode, retention, policy,
	  pool, hold_time, hold_by, hold_reason, retain_until, delete_ordered_time, deleted_by, delete_reason, user_groups, agent_id, ` + totalsColumns + `
	FROM sessions`

func session(ctx context.Context, tx *txn, id string) (Session, error) {
	return scanSession(tx.QueryRowContext(ctx, selectSession+` WHERE id = $1`+tx.lock, id))
}

// lockSession waits until nobody else changes a session, and keeps others from it.
func lockSession(ctx context.Context, tx *txn, id string) error {
	var one int
	err := tx.QueryRowContext(ctx, `SELECT 1 FROM sessions WHERE id = $1`+tx.lock, id).Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

func scanSession(row scanner) (Session, error) {
	var s Session
	var metadata, groups string
	err := row.Scan(append([]any{&s.ID, &s.RequestID, &s.State, &s.StateReason, &s.User, &s.Stack, &s.Fleet, &s.Instance, &metadata,
		&s.AgentVersion, &s.ArchivePrefix, &s.FrameRate, &s.SegmentLength, instant{&s.Start}, instant{&s.Created},
		instant{&s.End}, instant{&s.Lost}, &s.StopReason, &s.EndReason, &s.EndedBy, &s.LastSegment, &s.LastEvent, instant{&s.Silent}, &s.SegmentBytes,
		&s.position, instant{&s.Deletion.Done}, &s.Policy.Rule, &s.Policy.Hash, &s.Policy.Mode, &s.Policy.Retention, policyTerms{&s.Policy.PolicyTerms},
		&s.Pool, instant{&s.Hold.Time}, &s.Hold.By, &s.Hold.Reason, instant{&s.RetainUntil}, instant{&s.Deletion.Ordered}, &s.Deletion.By, &s.Deletion.Reason, &groups, &s.Agent}, s.Totals.dest()...)...)
	if errors.Is(err, sql.ErrNoRows) {
		return Session{}, ErrNotFound
	}
	if err != nil {
		return Session{}, err
	}
	s.Groups = readGroups(groups)
	if err := json.Unmarshal([]byte(metadata), &s.Metadata); err != nil {
		return Session{}, fmt.Errorf("read metadata of session %s: %w", s.ID, err)
	}
	return s, nil
}

func wrap(what, id string, err error) error {
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, id, err)
	}
	return nil
}
