package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// AddSegment records that the bus holds a segment and makes its job, both or neither. Where the same segment is recorded
// already it changes nothing; where another one is, it is ErrConflict. An agent's segment of a session that the coordinator
// has taken over is refused with ErrEnded.
func (c *Catalog) AddSegment(ctx context.Context, s Segment, now time.Time) error {
	err := c.update(ctx, func(tx *txn) error {
		in, err := session(ctx, tx, s.Session)
		if err != nil {
			return err
		}
		known, err := segment(ctx, tx, s.Session, s.Segment)
		switch {
		case err == nil && known.ChainEnd == s.ChainEnd && known.Chunks == s.Chunks:
			return nil
		case err == nil:
			return fmt.Errorf("segment is recorded with chain %s: %w", known.ChainEnd, ErrConflict)
		case !errors.Is(err, ErrNotFound):
			return err
		}
		if in.State.Final() || in.EndedBy == PartyCoordinator && s.SealedBy != PartyCoordinator {
			return ErrEnded
		}
		return insertSegment(ctx, tx, in, s, now)
	})
	return wrap("record segment", JobID(s.Session, s.Segment), err)
}

func insertSegment(ctx context.Context, tx *txn, in Session, s Segment, now time.Time) error {
	priority := PriorityNormal
	if in.State.Capturing() {
		priority = PriorityLive
	}
	turn, err := nextTurn(ctx, tx, in.ID, in.Pool, priority)
	if err != nil {
		return err
	}
	if _, err := exec(ctx, tx, `
		INSERT INTO segments (session_id, number, state, sealed_by, epoch, start_time, end_time, width, height, frame_count,
		  chunk_count, byte_count, chain_start, chain_end, purged, object_key, object_version, object_bytes, object_sha256,
		  video_width, video_height, video_frames, video_duration, video_codec, ffmpeg_version, encoder_version, encoder_id)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0, '', '', 0, '', 0, 0, 0, 0, '', '', '', '')`,
		s.Session, s.Segment, SegmentSealed, s.SealedBy, s.Epoch, nanos(s.Start), nanos(s.End), s.Width, s.Height, s.Frames,
		s.Chunks, s.Bytes, s.ChainStart.String(), s.ChainEnd.String()); err != nil {
		return err
	}
	if _, err := exec(ctx, tx, `
		INSERT INTO jobs (id, session_id, segment, state, generation, failures, setbacks, created_time, available_time, lease_end_time,
		  encoder_id, detail, priority, pool, turn)
		VALUES ($1, $2, $3, $4, 0, 0, 0, $5, $5, 0, '', '', $6, $7, $8)`,
		JobID(s.Session, s.Segment), s.Session, s.Segment, JobAvailable, nanos(now), priority, in.Pool, turn); err != nil {
		return err
	}
	if err := addTotals(ctx, tx, s.Session, Totals{Segments: 1, Recorded: s.End.Sub(s.Start)}); err != nil {
		return err
	}
	return tally(ctx, tx, tallySegment, string(s.SealedBy), s.End.Sub(s.Start))
}

// Segment returns one segment, or ErrNotFound.
func (c *Catalog) Segment(ctx context.Context, id string, number int) (s Segment, err error) {
	err = c.view(ctx, func(tx *txn) error {
		s, err = segment(ctx, tx, id, number)
		return err
	})
	return s, wrap("read segment", JobID(id, number), err)
}

// Segments returns the segments of a session by number.
func (c *Catalog) Segments(ctx context.Context, id string) (found []Segment, err error) {
	err = c.view(ctx, func(tx *txn) error {
		found, err = segments(ctx, tx, id)
		return err
	})
	return found, wrap("read segments of session", id, err)
}

// Named is a segment by its session and number.
type Named struct {
	Session string
	Segment int
}

// ToPurge returns at most limit segments that are archived and whose chunks are not marked as purged.
func (c *Catalog) ToPurge(ctx context.Context, limit int) (found []Named, err error) {
	err = c.view(ctx, func(tx *txn) error {
		return rows(ctx, tx, func(row scanner) error {
			var n Named
			err := row.Scan(&n.Session, &n.Segment)
			found = append(found, n)
			return err
		}, `SELECT session_id, number FROM segments WHERE state = 'archived' AND purged = 0 ORDER BY session_id, number LIMIT $1`, limit)
	})
	if err != nil {
		return nil, fmt.Errorf("read segments to purge: %w", err)
	}
	return found, nil
}

// MarkPurged notes that the chunks of archived segments are off the bus.
func (c *Catalog) MarkPurged(ctx context.Context, purged []Named) error {
	err := c.updateLate(ctx, func(tx *txn) error {
		for _, n := range purged {
			if _, err := exec(ctx, tx, `UPDATE segments SET purged = 1 WHERE session_id = $1 AND number = $2 AND state = $3`,
				n.Session, n.Segment, SegmentArchived); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("mark segments purged: %w", err)
	}
	return nil
}

const selectSegment = `
	SELECT session_id, number, state, sealed_by, epoch, start_time, end_time, width, height, frame_count, chunk_count, byte_count,
	  chain_start, chain_end, purged, object_key, object_version, object_bytes, object_sha256, video_width, video_height,
	  video_frames, video_duration, video_codec, ffmpeg_version, encoder_version, encoder_id, quarantine_cause, thumbnails
	FROM segments WHERE session_id = $1`

func segment(ctx context.Context, tx *txn, id string, number int) (Segment, error) {
	s, err := scanSegment(tx.QueryRowContext(ctx, selectSegment+` AND number = $2`, id, number))
	if errors.Is(err, sql.ErrNoRows) {
		return Segment{}, ErrNotFound
	}
	return s, err
}

func segments(ctx context.Context, tx *txn, id string) (found []Segment, err error) {
	err = rows(ctx, tx, func(row scanner) error {
		s, err := scanSegment(row)
		found = append(found, s)
		return err
	}, selectSegment+` ORDER BY number`, id)
	return found, err
}

func scanSegment(row scanner) (Segment, error) {
	var s Segment
	var purged int
	r := &s.Recording
	err := row.Scan(&s.Session, &s.Segment, &s.State, &s.SealedBy, &s.Epoch, instant{&s.Start}, instant{&s.End}, &s.Width,
		&s.Height, &s.Frames, &s.Chunks, &s.Bytes, hexHash{&s.ChainStart}, hexHash{&s.ChainEnd}, &purged, &r.ObjectKey,
		&r.ObjectVersion, &r.Bytes, hexHash{&r.SHA256}, &r.Width, &r.Height, &r.Frames, &r.Duration, &r.Codec,
		&r.FFmpegVersion, &r.EncoderVersion, &r.EncoderID, &s.QuarantineCause, thumbnailsColumn{&r.Thumbnails})
	s.Purged = purged != 0
	return s, err
}

func setSegmentState(ctx context.Context, tx *txn, s Segment, next SegmentState) error {
	if err := s.State.Become(next); err != nil {
		return err
	}
	_, err := exec(ctx, tx, `UPDATE segments SET state = $1 WHERE session_id = $2 AND number = $3`, next, s.Session, s.Segment)
	return err
}
