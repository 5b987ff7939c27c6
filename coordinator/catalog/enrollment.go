package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/recfleet/recfleet/internal/chunk"
)

// Enrollment says who may join as an agent.
type Enrollment struct {
	ID             string
	Hash           chunk.Hash // of the token
	Description    string
	Stacks, Fleets []string // patterns; empty for any
	// AWSAccount and AWSARN are set where agents show an identity of AWS in place of a token.
	AWSAccount, AWSARN string
	CreateBy           string
	Created, Expires   time.Time
	MaxUses, Uses      int // 0 for any number
	RevokeBy           string
	Revoked            time.Time // zero while it holds
}

// Ended reports whether nobody can join by it any more.
func (e Enrollment) Ended(now time.Time) bool {
	return !e.Revoked.IsZero() || !now.Before(e.Expires) || e.MaxUses > 0 && e.Uses >= e.MaxUses
}

// ErrNotAdmitted says that an enrollment does not hold: it has run out, was used up or revoked, or there is none.
var ErrNotAdmitted = errors.New("not admitted")

// CreateEnrollment adds an enrollment.
func (c *Catalog) CreateEnrollment(ctx context.Context, e Enrollment) error {
	stacks, err := marshal(e.Stacks)
	if err != nil {
		return err
	}
	fleets, err := marshal(e.Fleets)
	if err != nil {
		return err
	}
	return wrap("create enrollment", e.ID, c.update(ctx, func(tx *txn) error {
		_, err := exec(ctx, tx, `
			INSERT INTO enrollments (id, hash, description, stacks, fleets, aws_account, aws_arn, create_by, create_time, expire_time,
			  max_uses, uses, revoke_by, revoke_time) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 0, '', 0)`,
			e.ID, e.Hash.String(), e.Description, stacks, fleets, e.AWSAccount, e.AWSARN, e.CreateBy, nanos(e.Created), nanos(e.Expires), e.MaxUses)
		return err
	}))
}

const selectEnrollment = `SELECT id, hash, description, stacks, fleets, aws_account, aws_arn, create_by, create_time, expire_time,
	max_uses, uses, revoke_by, revoke_time FROM enrollments`

func scanEnrollment(row scanner) (e Enrollment, err error) {
	var stacks, fleets string
	err = row.Scan(&e.ID, hexHash{&e.Hash}, &e.Description, &stacks, &fleets, &e.AWSAccount, &e.AWSARN, &e.CreateBy, instant{&e.Created},
		instant{&e.Expires}, &e.MaxUses, &e.Uses, &e.RevokeBy, instant{&e.Revoked})
	if errors.Is(err, sql.ErrNoRows) {
		return e, ErrNotFound
	}
	if err == nil {
		err = errors.Join(json.Unmarshal([]byte(stacks), &e.Stacks), json.Unmarshal([]byte(fleets), &e.Fleets))
	}
	return e, err
}

// EnrollmentByHash returns the enrollment of a token, or ErrNotFound.
func (c *Catalog) EnrollmentByHash(ctx context.Context, hash chunk.Hash) (e Enrollment, err error) {
	err = c.view(ctx, func(tx *txn) error {
		e, err = scanEnrollment(tx.QueryRowContext(ctx, selectEnrollment+` WHERE hash = $1`, hash.String()))
		return err
	})
	if err != nil {
		return Enrollment{}, fmt.Errorf("read enrollment: %w", err)
	}
	return e, nil
}

// EnrollmentOf returns the enrollment by which an agent has joined, or ErrNotFound.
func (c *Catalog) EnrollmentOf(ctx context.Context, agent string) (e Enrollment, err error) {
	err = c.view(ctx, func(tx *txn) error {
		e, err = scanEnrollment(tx.QueryRowContext(ctx, selectEnrollment+` WHERE id = (SELECT enrollment_id FROM enrolled_agents WHERE id = $1)`, agent))
		return err
	})
	return e, wrap("read enrollment of agent", agent, err)
}

type timeToken struct {
	Filter string `json:"f"`
	Time   int64  `json:"t"`
	ID     string `json:"i"`
}

// ListEnrollments returns at most size enrollments, the newest first, those that have ended only with ended, and the token of the
// next page, empty where there is none. A token that was made for another list is ErrPageToken.
func (c *Catalog) ListEnrollments(ctx context.Context, ended bool, now time.Time, size int, token string) (found []Enrollment, next string, err error) {
	var s statement
	conditions := []string{"1 = 1"}
	filter := fingerprint("enrollments %t", ended)
	if !ended {
		conditions = append(conditions, "revoke_time = 0", "expire_time > "+s.arg(nanos(now)), "(max_uses = 0 OR uses < max_uses)")
	}
	if conditions, err = s.before(conditions, "create_time", filter, token); err != nil {
		return nil, "", err
	}
	limit := s.arg(size + 1)
	err = c.view(ctx, func(tx *txn) error {
		found = nil
		return rows(ctx, tx, func(row scanner) error {
			e, err := scanEnrollment(row)
			found = append(found, e)
			return err
		}, selectEnrollment+` WHERE `+strings.Join(conditions, " AND ")+` ORDER BY create_time DESC, id DESC LIMIT `+limit, s.args...)
	})
	if err != nil {
		return nil, "", fmt.Errorf("list enrollments: %w", err)
	}
	if len(found) > size {
		found = found[:size]
		next = writeToken(timeToken{filter, nanos(found[size-1].Created), found[size-1].ID})
	}
	return found, next, nil
}

// before adds the condition of a page that is not the first one of a list by time, the newest first.
func (s *statement) before(conditions []string, column, filter, token string) ([]string, error) {
	if token == "" {
		return conditions, nil
	}
	var t timeToken
	if !readToken(token, &t) || t.Filter != filter {
		return nil, ErrPageToken
	}
	return append(conditions, "("+column+", id) < ("+s.arg(t.Time)+", "+s.arg(t.ID)+")"), nil
}

// RevokeEnrollment ends an enrollment and, unless they are to be kept, the agents that have joined by it. Idempotent: the first
// time stays. ErrNotFound where there is none.
func (c *Catalog) RevokeEnrollment(ctx context.Context, id, by string, now time.Time, keepAgents bool) (e Enrollment, err error) {
	err = c.update(ctx, func(tx *txn) error {
		if e, err = scanEnrollment(tx.QueryRowContext(ctx, selectEnrollment+` WHERE id = $1`+tx.lock, id)); err != nil {
			return err
		}
		if e.Revoked.IsZero() {
			e.Revoked, e.RevokeBy = instantOf(nanos(now)), by
			if _, err := exec(ctx, tx, `UPDATE enrollments SET revoke_time = $1, revoke_by = $2 WHERE id = $3`, nanos(now), by, id); err != nil {
				return err
			}
		}
		if keepAgents {
			return nil
		}
		_, err := exec(ctx, tx, `UPDATE enrolled_agents SET revoke_time = $1, revoke_by = $2 WHERE enrollment_id = $3 AND revoke_time = 0`, nanos(now), by, id)
		return err
	})
	return e, wrap("revoke enrollment", id, err)
}
