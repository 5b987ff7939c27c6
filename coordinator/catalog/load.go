package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Load fills a catalog that has no sessions with sessions that are over, as they can be had from an archive. fill adds
// them in the order of their starts, as many at a time as it likes; they may have epochs, segments and gaps. Indexes are
// dropped and made again, so that nothing else is to use the catalog meanwhile. What was added before an error is kept.
func (c *Catalog) Load(ctx context.Context, fill func(add func(some []Detail) error) error) error {
	var before []indexSQL
	err := c.update(ctx, func(tx *txn) error {
		var n int
		if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM sessions`).Scan(&n); err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("%d sessions are there: %w", n, ErrConflict)
		}
		var err error
		if before, err = indexes(ctx, tx); err != nil {
			return err
		}
		for _, i := range before {
			if _, err := exec(ctx, tx, `DROP INDEX `+i.name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("load catalog: %w", err)
	}
	if err := errors.Join(c.keep(ctx, cacheLoad), c.gather(ctx, gatherLoad, mergeLoad)); err != nil {
		return fmt.Errorf("load catalog: %w", err)
	}
	var last int64
	err = fill(func(some []Detail) error {
		return c.update(ctx, func(tx *txn) error { return load(ctx, tx, some, &last) })
	})
	err = errors.Join(err, c.gather(ctx, gatherUsual, mergeUsual))
	for _, i := range before {
		err = errors.Join(err, c.update(ctx, func(tx *txn) error {
			_, err := exec(ctx, tx, i.sql)
			return err
		}))
	}
	if err = errors.Join(err, c.keep(ctx, cacheWrite)); err != nil {
		return fmt.Errorf("load catalog: %w", err)
	}
	return c.Tidy(ctx)
}

// What SQLite's text index gathers in memory before it writes, in bytes, and how many of its pieces it merges as it goes; as it is in a new
// one, and while a catalog is loaded, which ends with all of it merged.
const (
	gatherUsual, mergeUsual = 1 << 20, 4
	gatherLoad, mergeLoad   = 64 << 20, 0
)

// gather says how the text index is written.
func (c *Catalog) gather(ctx context.Context, bytes, merge int) error {
	if c.dialect.name != "sqlite" {
		return nil
	}
	return c.update(ctx, func(tx *txn) error {
		_, err := exec(ctx, tx, `INSERT INTO session_search (session_search, rank) VALUES ('hashsize', $1), ('automerge', $2)`, bytes, merge)
		return err
	})
}

type indexSQL struct{ name, sql string }

// indexes returns the indexes that hold nothing together.
func indexes(ctx context.Context, tx *txn) (found []indexSQL, err error) {
	from := `SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL AND tbl_name NOT LIKE 'session_search%'`
	if tx.dialect.name == "postgres" {
		from = `SELECT CAST(indexname AS TEXT), indexdef FROM pg_indexes
			WHERE schemaname = current_schema() AND indexname NOT IN (SELECT conname FROM pg_constraint)`
	}
	err = rows(ctx, tx, func(row scanner) error {
		var i indexSQL
		err := row.Scan(&i.name, &i.sql)
		found = append(found, i)
		return err
	}, from)
	return found, err
}

func load(ctx context.Context, tx *txn, some []Detail, last *int64) error {
	sessions := insertion{table: "sessions", columns: `id, request_id, state, state_reason, user_name, stack, fleet, instance, metadata, agent_version,
		archive_prefix, frame_rate, segment_length, segment_bytes, start_time, created_time, end_time, lost_time, stop_reason, end_reason,
		ended_by, last_segment, last_event, position, length_class, deleted_time, user_groups, ` + totalsColumns}
	words := insertion{table: "session_search", columns: "rowid, terms"}
	if tx.dialect.name == "postgres" {
		words.columns, words.cast = "position, terms", map[int]string{1: "CAST(CAST(%s AS TEXT) AS TSVECTOR)"}
	}
	epochs := insertion{table: "epochs", columns: "session_id, number, start_time, width, height, monitors, cause"}
	gaps := insertion{table: "gaps", columns: "session_id, start_time, end_time, cause, detail"}
	segments := insertion{table: "segments", columns: `session_id, number, state, sealed_by, epoch, start_time, end_time, width, height, frame_count,
		chunk_count, byte_count, chain_start, chain_end, purged, object_key, object_version, object_bytes, object_sha256,
		video_width, video_height, video_frames, video_duration, video_codec, ffmpeg_version, encoder_version, encoder_id, quarantine_cause, thumbnails`}
	at := *last
	for _, d := range some {
		s := d.Session
		metadata, err := marshal(s.Metadata)
		if err != nil {
			return err
		}
		s.position = max(nanos(s.Start), at+1)
		at = s.position
		sessions.add(append([]any{s.ID, s.RequestID, string(s.State), s.StateReason, s.User, s.Stack, s.Fleet, s.Instance, metadata, s.AgentVersion,
			s.ArchivePrefix, s.FrameRate, int64(s.SegmentLength), s.SegmentBytes, nanos(s.Start), nanos(s.Created), nanos(s.End), nanos(s.Lost),
			s.StopReason, s.EndReason, string(s.EndedBy), s.LastSegment, s.LastEvent, s.position, lengthClass(s.Start, s.End), nanos(s.Deletion.Done), writeGroups(s.Groups)}, d.totals().values()...)...)
		words.add(s.position, tx.dialect.terms(termsOf(s)))
		for _, e := range d.Epochs {
			monitors, err := marshal(e.Geometry.Monitors)
			if err != nil {
				return err
			}
			epochs.add(s.ID, e.Number, nanos(e.Start), e.Geometry.Width, e.Geometry.Height, monitors, e.Cause)
		}
		for _, g := range d.Gaps {
			gaps.add(s.ID, nanos(g.Start), nanos(g.End), g.Cause, g.Detail)
		}
		for _, g := range d.Segments {
			r := g.Recording
			thumbnails, err := r.Thumbnails.column()
			if err != nil {
				return err
			}
			segments.add(s.ID, g.Segment, string(g.State), string(g.SealedBy), g.Epoch, nanos(g.Start), nanos(g.End), g.Width, g.Height, g.Frames,
				g.Chunks, g.Bytes, g.ChainStart.String(), g.ChainEnd.String(), 1, r.ObjectKey, r.ObjectVersion, r.Bytes, r.SHA256.String(),
				r.Width, r.Height, r.Frames, int64(r.Duration), r.Codec, r.FFmpegVersion, r.EncoderVersion, r.EncoderID, string(g.QuarantineCause),
				thumbnails)
		}
	}
	for _, in := range []insertion{sessions, words, epochs, gaps, segments} {
		if err := in.run(ctx, tx); err != nil {
			return fmt.Errorf("into %s: %w", in.table, err)
		}
	}
	*last = at
	return nil
}

// each inserts the rows one by one, which is quick where no server is asked.
func (in *insertion) each(ctx context.Context, tx *txn) error {
	marks := make([]string, len(in.rows[0]))
	for i := range marks {
		marks[i] = "?"
	}
	one, err := tx.PrepareContext(ctx, fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", in.table, in.columns, strings.Join(marks, ", ")))
	if err != nil {
		return err
	}
	for _, row := range in.rows {
		if _, err := one.ExecContext(ctx, row...); err != nil {
			return errors.Join(err, one.Close())
		}
	}
	return one.Close()
}

// insertion is many rows of one table.
type insertion struct {
	table, columns string
	cast           map[int]string // of columns that take something else than a value
	rows           [][]any        // of texts and numbers
}

func (in *insertion) add(values ...any) { in.rows = append(in.rows, values) }

// run inserts the rows.
func (in *insertion) run(ctx context.Context, tx *txn) error {
	if len(in.rows) == 0 {
		return nil
	}
	if tx.dialect.name == "sqlite" {
		return in.each(ctx, tx)
	}
	// A list for each column: a server that is handed every value by itself spends its time on reading the statement.
	var q statement
	var lists, names, selected []string
	for k := range in.rows[0] {
		list, err := in.column(&q, k)
		if err != nil {
			return err
		}
		name := fmt.Sprint("c", k)
		lists, names = append(lists, list), append(names, name)
		if cast, ok := in.cast[k]; ok {
			name = fmt.Sprintf(cast, name)
		}
		selected = append(selected, name)
	}
	q.add("INSERT INTO %s (%s) SELECT %s FROM unnest(%s) AS these (%s)",
		in.table, in.columns, strings.Join(selected, ", "), strings.Join(lists, ", "), strings.Join(names, ", "))
	_, err := exec(ctx, tx, q.String(), q.args...)
	return err
}

// column adds a column of all rows to a statement as a list.
func (in *insertion) column(q *statement, k int) (string, error) {
	if _, ok := in.rows[0][k].(string); ok {
		list := make([]string, len(in.rows))
		for i, row := range in.rows {
			list[i], _ = row[k].(string)
		}
		return "CAST(" + q.arg(list) + " AS TEXT[])", nil
	}
	list := make([]int64, len(in.rows))
	for i, row := range in.rows {
		switch v := row[k].(type) {
		case int64:
			list[i] = v
		case int:
			list[i] = int64(v)
		default:
			return "", fmt.Errorf("column %d is a %T", k, v)
		}
	}
	return "CAST(" + q.arg(list) + " AS BIGINT[])", nil
}
