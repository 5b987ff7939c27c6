package catalog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/evidence"
)

// ErrAudit says that the audit's records are not those that were written; the text says which.
var ErrAudit = errors.New("audit is broken")

// AuditRecord says who did, or tried to do, what.
type AuditRecord = evidence.Record

// AppendAudit adds a record and returns it with its number and hashes. It is not idempotent.
func (c *Catalog) AppendAudit(ctx context.Context, r AuditRecord) (AuditRecord, error) {
	var written AuditRecord
	err := c.update(ctx, func(tx *txn) (err error) {
		written, err = appendAudit(ctx, tx, r)
		return err
	})
	if err != nil {
		return AuditRecord{}, fmt.Errorf("append to audit: %w", err)
	}
	return written, nil
}

func appendAudit(ctx context.Context, tx *txn, r AuditRecord) (AuditRecord, error) {
	if err := tx.QueryRowContext(ctx, `SELECT number, hash FROM audit_head WHERE one = 1`+tx.lock).Scan(&r.Number, hexHash{&r.Previous}); err != nil {
		return r, err
	}
	r.Number++
	r.Time = instantOf(nanos(r.Time))
	r.Hash = r.Sum()
	if _, err := exec(ctx, tx, `
		INSERT INTO audit (number, record_time, who, action, object, reason, result, origin, previous, hash, auth, span_start, span_end, times)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		r.Number, nanos(r.Time), r.Who, r.Action, r.Object, r.Reason, r.Result, r.From, r.Previous.String(), r.Hash.String(),
		r.Auth, r.Span.Start, r.Span.End, r.Times); err != nil {
		return r, err
	}
	_, err := exec(ctx, tx, `UPDATE audit_head SET number = $1, hash = $2 WHERE one = 1`, r.Number, r.Hash.String())
	return r, err
}

// AuditFilter selects records; its zero value selects all.
type AuditFilter struct {
	Who, Action, Object, Result string
	Objects                     []string  // one of these, where there are any
	After, Before               time.Time // at or after; before
	OldestFirst                 bool
}

func (f AuditFilter) fingerprint() string {
	return fingerprint("%q %q %q %q %d %d %t %q", f.Who, f.Action, f.Object, f.Result, nanos(f.After), nanos(f.Before), f.OldestFirst, f.Objects)
}

type auditToken struct {
	Filter string `json:"f"`
	Number int64  `json:"n"`
}

const selectAudit = `SELECT number, record_time, who, action, object, reason, result, origin, previous, hash, auth, span_start, span_end, times FROM audit`

func scanAudit(row scanner) (r AuditRecord, err error) {
	err = row.Scan(&r.Number, instant{&r.Time}, &r.Who, &r.Action, &r.Object, &r.Reason, &r.Result, &r.From, hexHash{&r.Previous}, hexHash{&r.Hash},
		&r.Auth, &r.Span.Start, &r.Span.End, &r.Times)
	return r, err
}

// ListAudit returns at most size records, the newest first unless the filter says otherwise, and the token of the next page, empty where there is none. A
// token that was made for another filter is ErrPageToken.
func (c *Catalog) ListAudit(ctx context.Context, f AuditFilter, size int, token string) (found []AuditRecord, next string, err error) {
	var s statement
	conditions, beyond, order := []string{"1 = 1"}, "number < ", "DESC"
	if f.OldestFirst {
		beyond, order = "number > ", "ASC"
	}
	for _, one := range []struct{ column, value string }{{"who", f.Who}, {"action", f.Action}, {"object", f.Object}, {"result", f.Result}} {
		if one.value != "" {
			conditions = append(conditions, one.column+" = "+s.arg(one.value))
		}
	}
	if len(f.Objects) > 0 {
		var any []string
		for _, one := range f.Objects {
			any = append(any, s.arg(one))
		}
		conditions = append(conditions, "object IN ("+strings.Join(any, ", ")+")")
	}
	if !f.After.IsZero() {
		conditions = append(conditions, "record_time >= "+s.arg(nanos(f.After)))
	}
	if !f.Before.IsZero() {
		conditions = append(conditions, "record_time < "+s.arg(nanos(f.Before)))
	}
	if token != "" {
		var t auditToken
		if !readToken(token, &t) || t.Filter != f.fingerprint() || t.Number < 1 {
			return nil, "", ErrPageToken
		}
		conditions = append(conditions, beyond+s.arg(t.Number))
	}
	err = c.view(ctx, func(tx *txn) error {
		return rows(ctx, tx, func(row scanner) error {
			r, err := scanAudit(row)
			found = append(found, r)
			return err
		}, selectAudit+` WHERE `+strings.Join(conditions, " AND ")+` ORDER BY number `+order+` LIMIT `+s.arg(size+1), s.args...)
	})
	if err != nil {
		return nil, "", fmt.Errorf("list audit: %w", err)
	}
	if len(found) > size {
		found = found[:size]
		next = writeToken(auditToken{Filter: f.fingerprint(), Number: found[size-1].Number})
	}
	return found, next, nil
}

// VerifyAudit is VerifyAuditAgainst nothing.
func (c *Catalog) VerifyAudit(ctx context.Context) (AuditRecord, error) {
	return c.VerifyAuditAgainst(ctx, nil)
}

// VerifyAuditAgainst reads all records and returns the last one, zero where there is none. It is ErrAudit where one is missing, was
// changed, or is not the last that was written. Whoever can write to the database can write all of it anew: keep the last hash
// elsewhere to see that, and give the hashes of some records, by their numbers, as they were.
func (c *Catalog) VerifyAuditAgainst(ctx context.Context, known map[int64]chunk.Hash) (last AuditRecord, err error) {
	err = c.view(ctx, func(tx *txn) error {
		var head AuditRecord
		if err := tx.QueryRowContext(ctx, `SELECT number, hash FROM audit_head WHERE one = 1`).Scan(&head.Number, hexHash{&head.Hash}); err != nil {
			return err
		}
		if err := rows(ctx, tx, func(row scanner) error {
			r, err := scanAudit(row)
			if err != nil {
				return err
			}
			if wrong := r.Follows(last); wrong != nil {
				return fmt.Errorf("%w: %w", wrong, ErrAudit)
			}
			if was, ok := known[r.Number]; ok && was != r.Hash {
				return fmt.Errorf("record %d or one before it is not the one that the archive's daily file has: %w", r.Number, ErrAudit)
			}
			last = r
			return nil
		}, selectAudit+` ORDER BY number`); err != nil {
			return err
		}
		if last.Number != head.Number || last.Hash != head.Hash {
			return fmt.Errorf("record %d is missing: %w", last.Number+1, ErrAudit)
		}
		for n := range known {
			if n > last.Number {
				return fmt.Errorf("record %d is missing, which the archive's daily files have: %w", n, ErrAudit)
			}
		}
		return nil
	})
	if err != nil {
		return AuditRecord{}, fmt.Errorf("verify audit: %w", err)
	}
	return last, nil
}
