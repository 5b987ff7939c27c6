package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

func lease(ctx context.Context, tx *txn, j Job, encoder string, until time.Time) (Leased, error) {
	if err := j.State.Become(JobRunning); err != nil {
		return Leased{}, err
	}
	j.State, j.Encoder, j.LeaseEnd = JobRunning, encoder, until
	j.Generation++
	j.FramesDone = 0
	if _, err := exec(ctx, tx, `UPDATE jobs SET state = $1, generation = $2, encoder_id = $3, lease_end_time = $4, frames_done = 0 WHERE id = $5`,
		j.State, j.Generation, encoder, nanos(until), j.ID); err != nil {
		return Leased{}, err
	}
	s, err := scanSession(tx.QueryRowContext(ctx, selectSession+` WHERE id = $1`, j.Session)) // what is needed of it never changes
	if err != nil {
		return Leased{}, err
	}
	g, err := segment(ctx, tx, j.Session, j.Segment)
	if err != nil {
		return Leased{}, err
	}
	if err := setSegmentState(ctx, tx, g, SegmentEncoding); err != nil {
		return Leased{}, err
	}
	return Leased{Job: j, Seal: g.Seal, FrameRate: s.FrameRate, Encode: s.Policy.Encode, ArchivePrefix: s.ArchivePrefix}, nil
}

// Held is a lease as an encoder names it, and how many pictures of it are done.
type Held struct {
	Job                string
	Generation, Frames int64
}

// RenewLeases makes the held leases of an encoder last until a time, and notes with that how far they are. It returns the jobs of held that the encoder does not
// hold any more, and makes the jobs available that are leased to it and that it did not name.
func (c *Catalog) RenewLeases(ctx context.Context, encoder string, held []Held, now, until time.Time) (lost []string, takenBack []Job, err error) {
	// Most encoders have nothing to say most of the time; they cost no commit.
	if len(held) == 0 {
		var n int
		if err := c.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM jobs WHERE encoder_id = $1 AND state = 'running'`, encoder).Scan(&n); err != nil {
			return nil, nil, fmt.Errorf("renew leases of encoder %s: %w", encoder, err)
		}
		if n == 0 {
			return nil, nil, nil
		}
	}
	err = c.update(ctx, func(tx *txn) error {
		lost = nil
		mine, err := jobsWhere(ctx, tx, `encoder_id = $1 AND state = 'running' ORDER BY id`+tx.lock, encoder)
		if err != nil {
			return err
		}
		for _, h := range held {
			i := slices.IndexFunc(mine, func(j Job) bool { return j.ID == h.Job && j.Generation == h.Generation })
			if i < 0 {
				lost = append(lost, h.Job)
				continue
			}
			if _, err := exec(ctx, tx, `UPDATE jobs SET lease_end_time = $1, frames_done = $2 WHERE id = $3`, nanos(until), h.Frames, h.Job); err != nil {
				return err
			}
			mine = slices.Delete(mine, i, i+1)
		}
		for _, j := range mine {
			if err := giveBack(ctx, tx, j, JobAvailable, now); err != nil {
				return err
			}
		}
		takenBack = mine
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("renew leases of encoder %s: %w", encoder, err)
	}
	return lost, takenBack, nil
}

// CompleteJob records the recording of a job's segment, under the lease's generation; otherwise it is ErrLeaseLost. Where
// the job was completed under the same generation with the same recording it changes nothing.
func (c *Catalog) CompleteJob(ctx context.Context, id string, generation int64, r Recording) error {
	err := c.update(ctx, func(tx *txn) error {
		// The session first, as those do who retry jobs: its totals change.
		of, _, _ := strings.Cut(id, ".")
		if err := lockSession(ctx, tx, of); err != nil {
			return err
		}
		j, err := job(ctx, tx, id)
		if err != nil {
			return err
		}
		g, err := segment(ctx, tx, j.Session, j.Segment)
		if err != nil {
			return err
		}
		if j.State == JobCompleted && j.Generation == generation && g.Recording.SHA256 == r.SHA256 && g.Recording.ObjectKey == r.ObjectKey {
			return nil
		}
		if j.State != JobRunning || j.Generation != generation || j.Encoder != r.EncoderID {
			return ErrLeaseLost
		}
		if err := j.State.Become(JobCompleted); err != nil {
			return err
		}
		if _, err := exec(ctx, tx, `UPDATE jobs SET state = $1, lease_end_time = 0, detail = '' WHERE id = $2`, JobCompleted, id); err != nil {
			return err
		}
		thumbnails, err := r.Thumbnails.column()
		if err != nil {
			return err
		}
		if _, err := exec(ctx, tx, `
			UPDATE segments SET object_key = $1, object_version = $2, object_bytes = $3, object_sha256 = $4, video_width = $5, video_height = $6,
			  video_frames = $7, video_duration = $8, video_codec = $9, ffmpeg_version = $10, encoder_version = $11, encoder_id = $12,
			  thumbnails = $15
			WHERE session_id = $13 AND number = $14`,
			r.ObjectKey, r.ObjectVersion, r.Bytes, r.SHA256.String(), r.Width, r.Height, r.Frames, int64(r.Duration), r.Codec,
			r.FFmpegVersion, r.EncoderVersion, r.EncoderID, j.Session, j.Segment, thumbnails); err != nil {
			return err
		}
		if err := addTotals(ctx, tx, j.Session, Totals{Archived: 1, ArchivedBytes: r.Bytes}); err != nil {
			return err
		}
		return setSegmentState(ctx, tx, g, SegmentArchived)
	})
	return wrap("complete job", id, err)
}

// Failure is an attempt that came to nothing.
type Failure struct {
	Encoder string
	Content bool   // the segment is at fault, which counts
	Detail  string // one line for a person
	Limit   int    // failures on content that quarantine the segment
	// Backoff is how long to wait after the nth failure or setback in a row.
	Backoff func(n int) time.Duration
}

// FailJob ends an attempt under the lease's generation, otherwise it is ErrLeaseLost. The job can be leased again after a
// while, or is quarantined with its segment. It returns the job as it is then.
func (c *Catalog) FailJob(ctx context.Context, id string, generation int64, f Failure, now time.Time) (j Job, err error) {
	err = c.update(ctx, func(tx *txn) error {
		if j, err = job(ctx, tx, id); err != nil {
			return err
		}
		if j.State != JobRunning || j.Generation != generation || j.Encoder != f.Encoder {
			return ErrLeaseLost
		}
		j.Detail = f.Detail
		again := j.Setbacks + 1
		if f.Content {
			j.Failures, j.Setbacks, again = j.Failures+1, 0, j.Failures+1
		} else {
			j.Setbacks++
		}
		next := JobRetryable
		if j.Failures >= f.Limit {
			next = JobQuarantined
			if err := setQuarantineCause(ctx, tx, j, CauseContent); err != nil {
				return err
			}
		}
		if err := giveBack(ctx, tx, j, next, now.Add(f.Backoff(again))); err != nil {
			return err
		}
		j, err = job(ctx, tx, id)
		return err
	})
	return j, wrap("fail job", id, err)
}

// giveBack ends a lease: the job goes to a state, its segment along with it.
func giveBack(ctx context.Context, tx *txn, j Job, next JobState, available time.Time) error {
	if err := j.State.Become(next); err != nil {
		return err
	}
	if _, err := exec(ctx, tx, `
		UPDATE jobs SET state = $1, failures = $2, setbacks = $3, rescues = $4, available_time = $5, lease_end_time = 0, detail = $6 WHERE id = $7`,
		next, j.Failures, j.Setbacks, j.Rescues, nanos(available), j.Detail, j.ID); err != nil {
		return err
	}
	g, err := segment(ctx, tx, j.Session, j.Segment)
	if err != nil {
		return err
	}
	if next == JobQuarantined {
		return setSegmentState(ctx, tx, g, SegmentQuarantined)
	}
	return setSegmentState(ctx, tx, g, SegmentSealed)
}

// Job returns one job and its segment, or ErrNotFound.
func (c *Catalog) Job(ctx context.Context, id string) (l Leased, err error) {
	err = c.view(ctx, func(tx *txn) error {
		if l.Job, err = job(ctx, tx, id); err != nil {
			return err
		}
		s, err := session(ctx, tx, l.Job.Session)
		if err != nil {
			return err
		}
		g, err := segment(ctx, tx, l.Job.Session, l.Job.Segment)
		l.Seal, l.FrameRate, l.Encode, l.ArchivePrefix = g.Seal, s.FrameRate, s.Policy.Encode, s.ArchivePrefix
		return err
	})
	return l, wrap("read job", id, err)
}

func job(ctx context.Context, tx *txn, id string) (Job, error) {
	found, err := jobsWhere(ctx, tx, `id = $1`+tx.lock, id)
	if err != nil {
		return Job{}, err
	}
	if len(found) == 0 {
		return Job{}, ErrNotFound
	}
	return found[0], nil
}

func jobsWhere(ctx context.Context, tx *txn, where string, args ...any) (found []Job, err error) {
	err = rows(ctx, tx, func(row scanner) error {
		var j Job
		err := row.Scan(&j.ID, &j.Session, &j.Segment, &j.State, &j.Generation, &j.Failures, &j.Setbacks, instant{&j.Created},
			instant{&j.Available}, instant{&j.LeaseEnd}, &j.Encoder, &j.Detail, &j.Rescues, &j.Priority, &j.Pool, &j.turn, &j.FramesDone)
		found = append(found, j)
		return err
	}, `SELECT id, session_id, segment, state, generation, failures, setbacks, created_time, available_time, lease_end_time,
		encoder_id, detail, rescues, priority, pool, turn, frames_done FROM jobs WHERE `+where, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return found, err
}
