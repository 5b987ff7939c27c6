// Package catalog is the database of sessions with their epochs, segments, gaps, events and jobs, and the only place that
// speaks SQL: SQLite for one coordinator, Postgres where several share one catalog.
//
// What comes in is plain Go: facts that the rest of the coordinator has checked. What goes out is plain Go as well. Every
// method whose comment does not say otherwise is one transaction: it happens wholly or not at all, and what a method has returned without error survives a
// power cut. What always holds: a state changes only along its machine (SessionState, SegmentState, JobState); a segment
// and its job are made together, once; a job's outcome is written only under the generation that it was leased with; a
// recording, once written, never changes. All methods that write are idempotent where their comments do not say otherwise.
package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/recfleet/recfleet/internal/chunk"
)

// Errors that callers tell apart. They are wrapped with what they are about.
var (
	// ErrNotFound says that there is no such session, segment or job.
	ErrNotFound = errors.New("not found")
	// ErrEnded says that the session takes no more of what was brought: its books are closed.
	ErrEnded = errors.New("session has ended")
	// ErrTransition says that a state machine knows no such step.
	ErrTransition = errors.New("no such transition")
	// ErrConflict says that the catalog holds something else under the same name.
	ErrConflict = errors.New("conflicts with what is known")
	// ErrEventHole says that a batch of events does not join the events that are known.
	ErrEventHole = errors.New("events are missing before the first of the batch")
	// ErrLimit says that a bound of what one session may hold is reached.
	ErrLimit = errors.New("limit reached")
	// ErrLeaseLost says that a job is not, or no longer, leased under this generation.
	ErrLeaseLost = errors.New("lease lost")
	// ErrPageToken says that a page token was not made for this query.
	ErrPageToken = errors.New("page token is not valid for this query")
)

// Catalog is an open database. It is safe for concurrent use, and on Postgres several may be open on one database.
type Catalog struct {
	pools
	dialect  dialect
	budget   int       // see search
	standing *sql.Stmt // prepared: it is asked at every Sync
	writer   *writer   // nil where writers do not wait for each other
	// unfinished is how many sessions Standings last found.
	unfinished atomic.Int64
}

// Open opens the database at a location (see ParseLocation), making a SQLite file where there is none, and brings its
// tables to the present form where needed. Several may do so at once.
func Open(ctx context.Context, location string) (*Catalog, error) {
	at, err := ParseLocation(location)
	if err != nil {
		return nil, err
	}
	dialect, pools, err := at.open()
	if err != nil {
		return nil, fmt.Errorf("open catalog %s: %w", at, err)
	}
	c := &Catalog{pools: pools, dialect: dialect, budget: searchBudget}
	if err := c.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog %s: %w", at, err), c.Close())
	}
	if c.standing, err = c.read.PrepareContext(ctx, selectStanding+` WHERE id = $1`); err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog %s: %w", at, err), c.Close())
	}
	if dialect.name == "sqlite" {
		c.writer = startWriter(c.beginWrite)
	}
	return c, nil
}

// Close closes the database. Calls that are under way fail.
func (c *Catalog) Close() error {
	if c.writer != nil {
		c.writer.close()
	}
	return c.close()
}

// pause waits a random while that grows with the tries.
func pause(ctx context.Context, try int) error {
	wait := time.NewTimer(rand.N(time.Duration(try) * 10 * time.Millisecond))
	defer wait.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-wait.C:
		return nil
	}
}

// rows calls scan for every row of a query.
func rows(ctx context.Context, tx *txn, scan func(row scanner) error, query string, args ...any) error {
	rs, err := tx.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	for rs.Next() {
		if err := scan(rs); err != nil {
			return errors.Join(err, rs.Close())
		}
	}
	return errors.Join(rs.Err(), rs.Close())
}

// exec runs a statement and returns how many rows it changed.
func exec(ctx context.Context, tx *txn, query string, args ...any) (int64, error) {
	r, err := tx.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

type scanner interface{ Scan(dest ...any) error }

// instant is a time as a column holds it.
type instant struct{ time *time.Time }

func (i instant) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("read time: %T", v)
	}
	*i.time = instantOf(n)
	return nil
}

func instantOf(nanos int64) time.Time {
	if nanos == 0 {
		return time.Time{}
	}
	return time.Unix(0, nanos).UTC()
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// hexHash is a hash as a column holds it.
type hexHash struct{ hash *chunk.Hash }

func (h hexHash) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("read hash: %T", v)
	}
	parsed, err := parseHex(s)
	*h.hash = parsed
	return err
}
