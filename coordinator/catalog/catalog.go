// Package catalog is the database of sessions with their epochs, segments, gaps, events and jobs, and the only place that
// speaks SQL.
//
// What comes in is plain Go: facts that the rest of the coordinator has checked. What goes out is plain Go as well. Every
// method is one transaction: it happens wholly or not at all, and what a method has returned without error survives a
// power cut. What always holds: a state changes only along its machine (SessionState, SegmentState, JobState); a segment
// and its job are made together, once; a job's outcome is written only under the generation that it was leased with; a
// recording, once written, never changes. All methods that write are idempotent where their comments do not say otherwise.
package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver named "sqlite"

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

// Catalog is an open database. It is safe for concurrent use.
type Catalog struct {
	// SQLite has one writer at a time: giving it one connection makes writers wait in Go, in order, not in busy loops.
	write *sql.DB
	read  *sql.DB
}

// Open opens the SQLite database at path, making it and bringing its tables to the present form where needed.
func Open(ctx context.Context, path string) (*Catalog, error) {
	write, err := sql.Open("sqlite", dsn(path, false))
	if err != nil {
		return nil, fmt.Errorf("open catalog %s: %w", path, err)
	}
	write.SetMaxOpenConns(1)
	if err := migrate(ctx, write); err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog %s: %w", path, err), write.Close())
	}
	read, err := sql.Open("sqlite", dsn(path, true))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open catalog %s: %w", path, err), write.Close())
	}
	read.SetMaxOpenConns(4)
	return &Catalog{write: write, read: read}, nil
}

// dsn names the database and how to open it: every commit is on the disk before it returns.
func dsn(path string, readOnly bool) string {
	pragmas := []string{
		"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "busy_timeout(5000)", "cache_size(-65536)", "temp_store(MEMORY)",
	}
	q := url.Values{}
	if readOnly {
		pragmas = append(pragmas, "query_only(1)")
	} else {
		q.Set("_txlock", "immediate")
	}
	q["_pragma"] = pragmas
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: q.Encode()}
	return u.String()
}

// Close closes the database. Calls that are under way fail.
func (c *Catalog) Close() error {
	return errors.Join(c.read.Close(), c.write.Close())
}

// update runs f in a transaction that writes.
func (c *Catalog) update(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := c.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := f(tx); err != nil {
		return errors.Join(err, ignoreDone(tx.Rollback()))
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// view runs f in a transaction that reads: everything in it is of one instant.
func (c *Catalog) view(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := c.read.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	return errors.Join(f(tx), ignoreDone(tx.Rollback()))
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// rows calls scan for every row of a query.
func rows(ctx context.Context, tx *sql.Tx, scan func(row scanner) error, query string, args ...any) error {
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
func exec(ctx context.Context, tx *sql.Tx, query string, args ...any) (int64, error) {
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
