package catalog

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Encoder returns an encoder as it was last heard of, or ErrNotFound.
func (c *Catalog) Encoder(ctx context.Context, id string) (Encoder, error) {
	found, err := c.encoders(ctx, `id = $1`, id)
	if err == nil && len(found) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Encoder{}, wrap("read encoder", id, err)
	}
	return found[0], nil
}

// Media is how much there is of a segment.
type Media struct {
	Duration time.Duration
	Frames   int64
}

// JobMedia returns, by job, how much media each of some jobs is about.
func (c *Catalog) JobMedia(ctx context.Context, jobs []Job) (media map[string]Media, err error) {
	media = map[string]Media{}
	if len(jobs) == 0 {
		return media, nil
	}
	var s statement
	var ids []string
	for _, j := range jobs {
		ids = append(ids, s.arg(j.ID))
	}
	err = c.view(ctx, func(tx *txn) error {
		return rows(ctx, tx, func(row scanner) error {
			var id string
			var m Media
			err := row.Scan(&id, &m.Duration, &m.Frames)
			media[id] = m
			return err
		}, `SELECT j.id, g.end_time - g.start_time, g.frame_count FROM jobs j JOIN segments g ON g.session_id = j.session_id AND g.number = j.segment
			WHERE j.id IN (`+strings.Join(ids, ", ")+`)`, s.args...)
	})
	if err != nil {
		return nil, fmt.Errorf("read media of jobs: %w", err)
	}
	return media, nil
}
