package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
)

// MaxMetadata is how many entries of metadata a session may have.
const MaxMetadata = 64

// AppendEvents adds a batch of events with consecutive numbers to a session and does what they say: epochs, seals, gaps,
// metadata and monitors. Events whose number is known are passed over. It returns the number up to which every event is known.
//
// It is refused whole, with ErrEventHole where it does not join the known events, with ErrConflict where a seal or an epoch
// does not follow the one before or monitors come with another size than the present epoch's, with ErrLimit where metadata would grow over MaxMetadata, and with ErrEnded where it
// brings new events and the books of the session are closed.
func (c *Catalog) AppendEvents(ctx context.Context, id string, events []Event) (known int64, err error) {
	err = c.update(ctx, func(tx *txn) error {
		s, err := session(ctx, tx, id)
		if err != nil {
			return err
		}
		known = s.LastEvent
		for _, e := range events {
			if e.Number <= known {
				continue
			}
			if e.Number != known+1 {
				return fmt.Errorf("event %d follows %d: %w", e.Number, known, ErrEventHole)
			}
			if !s.State.Capturing() {
				return fmt.Errorf("event %d: %w", e.Number, ErrEnded)
			}
			if err := appendEvent(ctx, tx, &s, e); err != nil {
				return fmt.Errorf("event %d: %w", e.Number, err)
			}
			known = e.Number
		}
		_, err = exec(ctx, tx, `UPDATE sessions SET last_event = $1 WHERE id = $2`, known, id)
		return err
	})
	if err != nil {
		return 0, wrap("append events of session", id, err)
	}
	return known, nil
}

func appendEvent(ctx context.Context, tx *txn, s *Session, e Event) error {
	body, err := e.body()
	if err != nil {
		return err
	}
	if _, err := exec(ctx, tx, `INSERT INTO events (session_id, number, event_time, kind, body) VALUES ($1, $2, $3, $4, $5)`,
		s.ID, e.Number, nanos(e.Time), e.Kind(), body); err != nil {
		return err
	}
	switch e.Kind() {
	case EventEpochStarted:
		return startEpoch(ctx, tx, s, *e.Epoch)
	case EventSegmentSealed:
		return addSeal(ctx, tx, s.ID, *e.Seal)
	case EventGapDeclared:
		return addGap(ctx, tx, s.ID, *e.Gap)
	case EventMetadataChanged:
		return mergeMetadata(ctx, tx, s, e.Metadata)
	case EventMonitorsChanged:
		return checkMonitors(ctx, tx, s.ID, *e.Monitors)
	}
	return nil
}

func startEpoch(ctx context.Context, tx *txn, s *Session, e Epoch) error {
	var last int
	if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(number), 0) FROM epochs WHERE session_id = $1`, s.ID).Scan(&last); err != nil {
		return err
	}
	if e.Number != last+1 {
		return fmt.Errorf("epoch %d follows %d: %w", e.Number, last, ErrConflict)
	}
	monitors, err := marshal(e.Geometry.Monitors)
	if err != nil {
		return err
	}
	if _, err := exec(ctx, tx, `INSERT INTO epochs (session_id, number, start_time, width, height, monitors, cause) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
		s.ID, e.Number, nanos(e.Start), e.Geometry.Width, e.Geometry.Height, monitors, e.Cause); err != nil {
		return err
	}
	if s.State != SessionStarting {
		return nil
	}
	if err := setState(ctx, tx, *s, SessionRecording, ""); err != nil {
		return err
	}
	s.State = SessionRecording
	return nil
}

// checkMonitors makes sure that a change of monitors belongs to the present epoch; the event itself is its record.
func checkMonitors(ctx context.Context, tx *txn, id string, g Geometry) error {
	var number, width, height int
	err := tx.QueryRowContext(ctx, `SELECT number, width, height FROM epochs WHERE session_id = $1 ORDER BY number DESC LIMIT 1`, id).
		Scan(&number, &width, &height)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("monitors change before the first epoch: %w", ErrConflict)
	case err != nil:
		return err
	case g.Width != width || g.Height != height:
		return fmt.Errorf("monitors change on a desktop of %dx%d, epoch %d has %dx%d: %w", g.Width, g.Height, number, width, height, ErrConflict)
	}
	return nil
}

func addSeal(ctx context.Context, tx *txn, id string, seal Seal) error {
	last, err := lastSeal(ctx, tx, id)
	if err != nil {
		return err
	}
	if seal.Segment != last.Segment+1 {
		return fmt.Errorf("segment %d follows %d: %w", seal.Segment, last.Segment, ErrConflict)
	}
	_, err = exec(ctx, tx, `
		INSERT INTO seals (session_id, segment, epoch, start_time, end_time, width, height, frame_count, chunk_count, byte_count,
		  chain_start, chain_end)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		id, seal.Segment, seal.Epoch, nanos(seal.Start), nanos(seal.End), seal.Width, seal.Height, seal.Frames, seal.Chunks,
		seal.Bytes, seal.ChainStart.String(), seal.ChainEnd.String())
	return err
}

func mergeMetadata(ctx context.Context, tx *txn, s *Session, add map[string]string) error {
	merged := maps.Clone(s.Metadata)
	if merged == nil {
		merged = make(map[string]string, len(add))
	}
	maps.Copy(merged, add)
	if len(merged) > MaxMetadata {
		return fmt.Errorf("metadata of %d entries: %w", len(merged), ErrLimit)
	}
	text, err := marshal(merged)
	if err != nil {
		return err
	}
	s.Metadata = merged
	if _, err := exec(ctx, tx, `UPDATE sessions SET metadata = $1 WHERE id = $2`, text, s.ID); err != nil {
		return err
	}
	return refresh(ctx, tx, s.ID)
}

const selectSeal = `
	SELECT segment, epoch, start_time, end_time, width, height, frame_count, chunk_count, byte_count, chain_start, chain_end
	FROM seals WHERE session_id = $1`

func scanSeal(row scanner) (Seal, error) {
	var s Seal
	err := row.Scan(&s.Segment, &s.Epoch, instant{&s.Start}, instant{&s.End}, &s.Width, &s.Height, &s.Frames, &s.Chunks,
		&s.Bytes, hexHash{&s.ChainStart}, hexHash{&s.ChainEnd})
	if errors.Is(err, sql.ErrNoRows) {
		return Seal{}, ErrNotFound
	}
	return s, err
}

// lastSeal returns the seal with the highest number, the zero one where there is none.
func lastSeal(ctx context.Context, tx *txn, id string) (Seal, error) {
	s, err := scanSeal(tx.QueryRowContext(ctx, selectSeal+` ORDER BY segment DESC LIMIT 1`, id))
	if errors.Is(err, ErrNotFound) {
		return Seal{}, nil
	}
	return s, err
}

// Seal returns what the agent said of a segment that it sealed, or ErrNotFound.
func (c *Catalog) Seal(ctx context.Context, id string, segment int) (s Seal, err error) {
	err = c.view(ctx, func(tx *txn) error {
		s, err = scanSeal(tx.QueryRowContext(ctx, selectSeal+` AND segment = $2`, id, segment))
		return err
	})
	return s, wrap("read seal of segment", JobID(id, segment), err)
}

func epochs(ctx context.Context, tx *txn, id string) (found []Epoch, err error) {
	err = rows(ctx, tx, func(row scanner) error {
		var e Epoch
		var monitors string
		if err := row.Scan(&e.Number, instant{&e.Start}, &e.Geometry.Width, &e.Geometry.Height, &monitors, &e.Cause); err != nil {
			return err
		}
		found = append(found, e)
		return json.Unmarshal([]byte(monitors), &found[len(found)-1].Geometry.Monitors)
	}, `SELECT number, start_time, width, height, monitors, cause FROM epochs WHERE session_id = $1 ORDER BY number`, id)
	return found, err
}

func monitorChanges(ctx context.Context, tx *txn, id string) (found []MonitorChange, err error) {
	err = rows(ctx, tx, func(row scanner) error {
		var m MonitorChange
		var body string
		if err := row.Scan(instant{&m.Time}, &body); err != nil {
			return err
		}
		b := eventBody{Geometry: &m.Geometry}
		err := json.Unmarshal([]byte(body), &b)
		found = append(found, m)
		return err
	}, `SELECT event_time, body FROM events WHERE session_id = $1 AND kind = $2 ORDER BY number`, id, EventMonitorsChanged)
	return found, err
}

func gaps(ctx context.Context, tx *txn, id string) (found []Gap, err error) {
	err = rows(ctx, tx, func(row scanner) error {
		var g Gap
		if err := row.Scan(instant{&g.Start}, instant{&g.End}, &g.Cause, &g.Detail); err != nil {
			return err
		}
		found = append(found, g)
		return nil
	}, `SELECT start_time, end_time, cause, detail FROM gaps WHERE session_id = $1 ORDER BY start_time, end_time, cause`, id)
	return found, err
}
