package catalog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"database/sql"

	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/evidence"
)

// Kinds of digest entries.
const (
	entryClosed  = "closed"
	entryDeleted = "deleted"
	// entryAddendum stands before the number of an addendum that was written.
	entryAddendum = "addendum."
)

func entryOfAddendum(number int) string { return entryAddendum + strconv.Itoa(number) }

// kind is how the entry is kept.
func (e DigestEntry) kind() string {
	switch {
	case e.Deletion:
		return entryDeleted
	case e.Addendum > 0:
		return entryOfAddendum(e.Addendum)
	}
	return entryClosed
}

// DigestEntry is something that a daily digest is to tell: that a session was closed, that its manifest got an addendum, or that
// its recordings were deleted.
type DigestEntry struct {
	Session  string
	Deletion bool
	Addendum int // the number of the addendum; 0 where it was closed or deleted
	Time     time.Time
	State    SessionState
	Folder   string // of the session in the archive
	Manifest Manifest
	Ordered  Deletion // where its deletion was ordered, whatever the entry is
}

// Manifest is a manifest as it was found in the archive; its SHA256 is empty before.
type Manifest struct {
	SHA256  string
	Bytes   int64
	Version string
}

// DigestDay is a day that was told of, or is about to be.
type DigestDay struct {
	Day         evidence.Day
	Number      int64
	First, Last int64  // audit records; Last is First-1 where there are none
	Content     []byte // the digest, until it is written
	SHA256      string // of the digest; empty before there is one
	Written     bool
}

// addEntry notes what a digest is to tell. What is known stays.
func addEntry(ctx context.Context, tx *txn, session, kind string, at time.Time) error {
	_, err := exec(ctx, tx, `INSERT INTO digest_entries (session_id, kind, entry_time) VALUES ($1, $2, $3) ON CONFLICT (session_id, kind) DO NOTHING`,
		session, kind, nanos(at))
	return err
}

const selectEntries = `
	SELECT e.session_id, e.kind, e.entry_time, s.state, s.archive_prefix, e.manifest_sha256, e.manifest_bytes, e.manifest_version,
	  s.delete_ordered_time, s.deleted_time, s.deleted_by, s.delete_reason
	FROM digest_entries e JOIN sessions s ON s.id = e.session_id WHERE e.day = ''`

func (c *Catalog) entries(ctx context.Context, where string, args ...any) (found []DigestEntry, err error) {
	err = c.view(ctx, func(tx *txn) error {
		return rows(ctx, tx, func(row scanner) error {
			var e DigestEntry
			var kind string
			err := row.Scan(&e.Session, &kind, instant{&e.Time}, &e.State, &e.Folder, &e.Manifest.SHA256, &e.Manifest.Bytes, &e.Manifest.Version,
				instant{&e.Ordered.Ordered}, instant{&e.Ordered.Done}, &e.Ordered.By, &e.Ordered.Reason)
			e.Deletion = kind == entryDeleted
			if number, ok := strings.CutPrefix(kind, entryAddendum); ok && err == nil {
				e.Addendum, err = strconv.Atoi(number)
			}
			found = append(found, e)
			return err
		}, selectEntries+where, args...)
	})
	if err != nil {
		return nil, fmt.Errorf("read digest entries: %w", err)
	}
	return found, nil
}

// Unread returns at most limit sessions that were closed and whose manifest was not read yet, in the order of their closing.
func (c *Catalog) Unread(ctx context.Context, limit int) ([]DigestEntry, error) {
	return c.entries(ctx, ` AND e.kind = $1 AND e.manifest_sha256 = '' ORDER BY e.entry_time, e.session_id LIMIT $2`, entryClosed, limit)
}

// Untold returns what no digest tells yet of the time before an instant.
func (c *Catalog) Untold(ctx context.Context, before time.Time) ([]DigestEntry, error) {
	return c.entries(ctx, ` AND e.entry_time < $1 ORDER BY e.entry_time, e.session_id, e.kind`, nanos(before))
}

// NoteManifest keeps what a closed session's manifest is; the first word stays.
func (c *Catalog) NoteManifest(ctx context.Context, session string, m Manifest) error {
	err := c.update(ctx, func(tx *txn) error {
		_, err := exec(ctx, tx, `UPDATE digest_entries SET manifest_sha256 = $1, manifest_bytes = $2, manifest_version = $3
			WHERE session_id = $4 AND kind = $5 AND manifest_sha256 = ''`, m.SHA256, m.Bytes, m.Version, session, entryClosed)
		return err
	})
	return wrap("note manifest of session", session, err)
}

// LastDigest returns the last day that was begun; false where there is none.
func (c *Catalog) LastDigest(ctx context.Context) (d DigestDay, found bool, err error) {
	err = c.view(ctx, func(tx *txn) error {
		var content string
		var written int64
		err := tx.QueryRowContext(ctx, `SELECT day, number, audit_first, audit_last, content, sha256, written FROM digest_days ORDER BY number DESC LIMIT 1`).
			Scan(&d.Day, &d.Number, &d.First, &d.Last, &content, &d.SHA256, &written)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		d.Content, d.Written, found = []byte(content), written > 0, err == nil
		return err
	})
	if err != nil {
		return DigestDay{}, false, fmt.Errorf("read last digest: %w", err)
	}
	return d, found, nil
}

// DigestSum returns the SHA-256 of a digest that was settled; empty for number 0.
func (c *Catalog) DigestSum(ctx context.Context, number int64) (sum string, err error) {
	if number < 1 {
		return "", nil
	}
	err = c.view(ctx, func(tx *txn) error {
		return tx.QueryRowContext(ctx, `SELECT sha256 FROM digest_days WHERE number = $1`, number).Scan(&sum)
	})
	if err != nil {
		return "", fmt.Errorf("read sum of digest %d: %w", number, err)
	}
	return sum, nil
}

// Oldest returns the time of the oldest thing that a digest can tell of; zero where there is nothing.
func (c *Catalog) Oldest(ctx context.Context) (oldest time.Time, err error) {
	err = c.view(ctx, func(tx *txn) error {
		for _, query := range []string{`SELECT MIN(record_time) FROM audit`, `SELECT MIN(entry_time) FROM digest_entries`} {
			var at sql.NullInt64
			if err := tx.QueryRowContext(ctx, query).Scan(&at); err != nil {
				return err
			}
			if t := instantOf(at.Int64); at.Valid && !t.IsZero() && (oldest.IsZero() || t.Before(oldest)) {
				oldest = t
			}
		}
		return nil
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("read oldest evidence: %w", err)
	}
	return oldest, nil
}

// BeginDigest begins a day: which audit records it has is settled from then on. Those are the ones after the day before's up to
// the last whose time is before the day's end. It changes nothing where the day was begun.
func (c *Catalog) BeginDigest(ctx context.Context, day evidence.Day, number, after int64) error {
	err := c.update(ctx, func(tx *txn) error {
		var last sql.NullInt64
		if err := tx.QueryRowContext(ctx, `SELECT MAX(number) FROM audit WHERE record_time < $1`, nanos(day.Next().Start())).Scan(&last); err != nil {
			return err
		}
		_, err := exec(ctx, tx, `INSERT INTO digest_days (day, number, audit_first, audit_last) VALUES ($1, $2, $3, $4) ON CONFLICT (day) DO NOTHING`,
			day, number, after+1, max(last.Int64, after))
		return err
	})
	return wrap("begin digest of", string(day), err)
}

// SettleDigest keeps what the digest of a begun day is; its entries are told of from then on. The first content stays.
func (c *Catalog) SettleDigest(ctx context.Context, day evidence.Day, content []byte, told []DigestEntry) error {
	err := c.update(ctx, func(tx *txn) error {
		n, err := exec(ctx, tx, `UPDATE digest_days SET content = $1, sha256 = $2 WHERE day = $3 AND sha256 = ''`, string(content), chunk.Sum(content).String(), day)
		if err != nil || n == 0 {
			return err
		}
		for _, e := range told {
			if _, err := exec(ctx, tx, `UPDATE digest_entries SET day = $1 WHERE session_id = $2 AND kind = $3`, day, e.Session, e.kind()); err != nil {
				return err
			}
		}
		return nil
	})
	return wrap("settle digest of", string(day), err)
}

// FinishDigest notes that a day's digest is in the archive.
func (c *Catalog) FinishDigest(ctx context.Context, day evidence.Day) error {
	err := c.update(ctx, func(tx *txn) error {
		_, err := exec(ctx, tx, `UPDATE digest_days SET written = 1, content = '' WHERE day = $1`, day)
		return err
	})
	return wrap("finish digest of", string(day), err)
}

// ReadAudit calls see for the records from first to last, in order, and returns the hash of the record before first. A page of
// them is read at a time.
func (c *Catalog) ReadAudit(ctx context.Context, first, last int64, see func(AuditRecord) error) (previous chunk.Hash, err error) {
	const page = 1000
	err = c.view(ctx, func(tx *txn) error {
		if first == 1 {
			return nil
		}
		return tx.QueryRowContext(ctx, `SELECT hash FROM audit WHERE number = $1`, first-1).Scan(hexHash{&previous})
	})
	for next := first; err == nil && next <= last; next += page {
		var found []AuditRecord
		if err = c.view(ctx, func(tx *txn) error {
			return rows(ctx, tx, func(row scanner) error {
				r, err := scanAudit(row)
				found = append(found, r)
				return err
			}, selectAudit+` WHERE number >= $1 AND number < $2 ORDER BY number`, next, min(next+page, last+1))
		}); err != nil {
			break
		}
		for _, r := range found {
			if err = see(r); err != nil {
				return previous, err
			}
		}
	}
	if err != nil {
		return previous, fmt.Errorf("read audit from record %d: %w", first, err)
	}
	return previous, nil
}
