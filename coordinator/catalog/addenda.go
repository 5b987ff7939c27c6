package catalog

import (
	"context"
	"fmt"
	"time"

	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/manifest"
)

// Addendum is a manifest that goes on from the one before, of a session that was final already.
type Addendum struct {
	Session string
	Number  int    // from 2; the first manifest is number 1
	Content []byte // until it is written
	SHA256  string
	Bytes   int64
	Written time.Time // when it was seen to be in the archive; zero before
}

// causeQuarantined is the cause of the gap that stands for a segment until it is archived and a manifest tells so.
const causeQuarantined = manifest.CauseQuarantined

// resolved joins the gaps g of quarantined segments with those segments s that were archived since.
const resolved = ` FROM gaps g JOIN segments s ON s.session_id = g.session_id AND s.start_time = g.start_time AND s.end_time = g.end_time
	AND s.state = 'archived' WHERE g.cause = 'segment_quarantined'`

// Amendable returns the sessions that are final and stay, and of which a segment was archived that their last manifest has as
// quarantined.
func (c *Catalog) Amendable(ctx context.Context) (ids []string, err error) {
	err = c.view(ctx, func(tx *txn) error {
		return rows(ctx, tx, func(row scanner) error {
			var id string
			err := row.Scan(&id)
			ids = append(ids, id)
			return err
		}, `SELECT id FROM sessions WHERE state IN ('complete', 'interrupted') AND delete_ordered_time = 0
			AND id IN (SELECT g.session_id`+resolved+`) ORDER BY position`)
	})
	if err != nil {
		return nil, fmt.Errorf("read sessions to amend: %w", err)
	}
	return ids, nil
}

// Addenda returns what was settled for a session, by number. All but the last one are written.
func (c *Catalog) Addenda(ctx context.Context, id string) (found []Addendum, err error) {
	err = c.view(ctx, func(tx *txn) error {
		found, err = addenda(ctx, tx, id)
		return err
	})
	return found, wrap("read addenda of session", id, err)
}

func addenda(ctx context.Context, tx *txn, id string) (found []Addendum, err error) {
	err = rows(ctx, tx, func(row scanner) error {
		a := Addendum{Session: id}
		var content string
		err := row.Scan(&a.Number, &content, &a.Bytes, &a.SHA256, instant{&a.Written})
		a.Content = []byte(content)
		found = append(found, a)
		return err
	}, `SELECT number, content, bytes, sha256, written_time FROM addenda WHERE session_id = $1 ORDER BY number`, id)
	return found, err
}

// SettleAddendum settles what the next manifest of a session says, and returns it; the first word stays. It is ErrConflict where the
// session's recordings are to be deleted, or number is not the next one.
func (c *Catalog) SettleAddendum(ctx context.Context, id string, number int, content []byte) (a Addendum, err error) {
	err = c.update(ctx, func(tx *txn) error {
		if err := amending(ctx, tx, id); err != nil {
			return err
		}
		before, err := addenda(ctx, tx, id)
		if err != nil {
			return err
		}
		if n := len(before); n > 0 && before[n-1].Number == number && before[n-1].Written.IsZero() {
			a = before[n-1]
			return nil
		}
		if n := len(before); number != n+2 || n > 0 && before[n-1].Written.IsZero() {
			return fmt.Errorf("addendum %d after %d of them: %w", number, n, ErrConflict)
		}
		a = Addendum{Session: id, Number: number, Content: content, SHA256: chunk.Sum(content).String(), Bytes: int64(len(content))}
		_, err = exec(ctx, tx, `INSERT INTO addenda (session_id, number, content, bytes, sha256) VALUES ($1, $2, $3, $4, $5)`,
			id, number, string(content), a.Bytes, a.SHA256)
		return err
	})
	return a, wrap("settle addendum of session", id, err)
}

// amending is ErrConflict unless a session is final and stays. Deletions are kept out by its lock.
func amending(ctx context.Context, tx *txn, id string) error {
	s, err := session(ctx, tx, id)
	switch {
	case err != nil:
		return err
	case !s.Deletion.Ordered.IsZero():
		return fmt.Errorf("its deletion was ordered: %w", ErrConflict)
	case s.State != SessionComplete && s.State != SessionInterrupted:
		return fmt.Errorf("amend in state %q: %w", s.State, ErrConflict)
	}
	return nil
}

// FinishAddendum notes that an addendum is in the archive, as a version of its object where the archive keeps those: the segments
// that it tells of are no gaps any more, the session says so, and the next digest names the addendum. It changes nothing
// where that was noted.
func (c *Catalog) FinishAddendum(ctx context.Context, a Addendum, told manifest.Manifest, version string, now time.Time) error {
	err := c.update(ctx, func(tx *txn) error {
		if err := amending(ctx, tx, a.Session); err != nil {
			return err
		}
		n, err := exec(ctx, tx, `UPDATE addenda SET content = '', written_time = $1 WHERE session_id = $2 AND number = $3 AND sha256 = $4 AND written_time = 0`,
			nanos(now), a.Session, a.Number, a.SHA256)
		if err != nil || n == 0 {
			return err
		}
		for _, number := range told.Addendum.Segments {
			g, err := segment(ctx, tx, a.Session, number)
			if err != nil {
				return err
			}
			gone, err := exec(ctx, tx, `DELETE FROM gaps WHERE session_id = $1 AND start_time = $2 AND end_time = $3 AND cause = $4`,
				a.Session, nanos(g.Start), nanos(g.End), causeQuarantined)
			if err != nil {
				return err
			}
			if gone > 0 {
				if err := addTotals(ctx, tx, a.Session, Totals{Gaps: -1, Missing: g.Start.Sub(g.End)}); err != nil {
					return err
				}
			}
		}
		if _, err := exec(ctx, tx, `UPDATE sessions SET state_reason = $1 WHERE id = $2`, told.Session.StateReason, a.Session); err != nil {
			return err
		}
		if _, err := exec(ctx, tx, `INSERT INTO digest_entries (session_id, kind, entry_time, manifest_sha256, manifest_bytes, manifest_version)
			VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (session_id, kind) DO NOTHING`,
			a.Session, entryOfAddendum(a.Number), nanos(now), a.SHA256, a.Bytes, version); err != nil {
			return err
		}
		return refresh(ctx, tx, a.Session)
	})
	return wrap("finish addendum of session", a.Session, err)
}

// ManifestSum returns the SHA-256 of a closed session's first manifest as it was noted for the digest; empty where it was not yet.
func (c *Catalog) ManifestSum(ctx context.Context, id string) (sum string, err error) {
	err = c.view(ctx, func(tx *txn) error {
		return rows(ctx, tx, func(row scanner) error { return row.Scan(&sum) },
			`SELECT manifest_sha256 FROM digest_entries WHERE session_id = $1 AND kind = $2`, id, entryClosed)
	})
	return sum, wrap("read manifest's sum of session", id, err)
}
