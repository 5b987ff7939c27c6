package catalog

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// EnrolledAgent is an agent that has joined: a key, on the machine on which it was made.
type EnrolledAgent struct {
	ID, Enrollment string
	PublicKey      []byte
	Machine        string
	From           string // the address that it joined from
	AWSARN         string // what AWS said it was; empty where it joined by a token
	Enrolled       time.Time
	Renewed        time.Time // when it got its last certificate
	RevokeBy       string
	Revoked        time.Time // zero while it holds
}

// ErrSpent says that a nonce was used before.
var ErrSpent = errors.New("the nonce was used before")

const selectEnrolled = `SELECT id, enrollment_id, public_key, machine, origin, aws_arn, enroll_time, renew_time, revoke_by, revoke_time FROM enrolled_agents`

func scanEnrolled(row scanner) (a EnrolledAgent, err error) {
	var key string
	err = row.Scan(&a.ID, &a.Enrollment, &key, &a.Machine, &a.From, &a.AWSARN, instant{&a.Enrolled}, instant{&a.Renewed}, &a.RevokeBy, instant{&a.Revoked})
	if errors.Is(err, sql.ErrNoRows) {
		return a, ErrNotFound
	}
	if err == nil {
		a.PublicKey, err = hex.DecodeString(key)
	}
	return a, err
}

// Nonce is one that is used up by a change, and when it runs out.
type Nonce struct {
	Text    string
	Expires time.Time
}

// spend uses a nonce up; ErrSpent where it was.
func (n Nonce) spend(ctx context.Context, tx *txn, now time.Time) error {
	if _, err := exec(ctx, tx, `DELETE FROM spent_nonces WHERE expire_time < $1`, nanos(now)); err != nil {
		return err
	}
	added, err := exec(ctx, tx, `INSERT INTO spent_nonces (nonce, expire_time) VALUES ($1, $2) ON CONFLICT (nonce) DO NOTHING`, n.Text, nanos(n.Expires))
	if err == nil && added == 0 {
		err = ErrSpent
	}
	return err
}

// Enroll adds an agent under its enrollment, which counts one use more, and spends the nonce, all or nothing. Where the key is
// an agent's of the same enrollment and machine already, that agent is returned and no use is counted. ErrNotAdmitted where the
// enrollment does not hold, or the key is another's; ErrSpent where the nonce was used.
func (c *Catalog) Enroll(ctx context.Context, a EnrolledAgent, n Nonce) (agent EnrolledAgent, err error) {
	err = c.update(ctx, func(tx *txn) error {
		if err := n.spend(ctx, tx, a.Enrolled); err != nil {
			return err
		}
		e, err := scanEnrollment(tx.QueryRowContext(ctx, selectEnrollment+` WHERE id = $1`+tx.lock, a.Enrollment))
		if errors.Is(err, ErrNotFound) {
			return ErrNotAdmitted
		}
		if err != nil {
			return err
		}
		known, err := scanEnrolled(tx.QueryRowContext(ctx, selectEnrolled+` WHERE public_key = $1`+tx.lock, hex.EncodeToString(a.PublicKey)))
		switch {
		case err == nil && known.Enrollment == a.Enrollment && known.Machine == a.Machine && known.Revoked.IsZero() && e.Revoked.IsZero():
			agent = known
			return renew(ctx, tx, &agent, a.Enrolled)
		case err == nil:
			return ErrNotAdmitted
		case !errors.Is(err, ErrNotFound):
			return err
		}
		if e.Ended(a.Enrolled) {
			return ErrNotAdmitted
		}
		agent = a
		agent.Renewed = a.Enrolled
		if _, err := exec(ctx, tx, `UPDATE enrollments SET uses = uses + 1 WHERE id = $1`, e.ID); err != nil {
			return err
		}
		_, err = exec(ctx, tx, `
			INSERT INTO enrolled_agents (id, enrollment_id, public_key, machine, origin, aws_arn, enroll_time, renew_time, revoke_by, revoke_time)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $7, '', 0)`,
			a.ID, a.Enrollment, hex.EncodeToString(a.PublicKey), a.Machine, a.From, a.AWSARN, nanos(a.Enrolled))
		return err
	})
	if err != nil {
		return EnrolledAgent{}, fmt.Errorf("enroll agent: %w", err)
	}
	return agent, nil
}

func renew(ctx context.Context, tx *txn, a *EnrolledAgent, now time.Time) error {
	a.Renewed = now
	_, err := exec(ctx, tx, `UPDATE enrolled_agents SET renew_time = $1 WHERE id = $2`, nanos(now), a.ID)
	return err
}

// RenewAgent notes that an agent gets another certificate, and spends the nonce. ErrNotFound where there is no such agent,
// ErrNotAdmitted where it was revoked, ErrSpent where the nonce was used.
func (c *Catalog) RenewAgent(ctx context.Context, id string, now time.Time, n Nonce) error {
	return wrap("renew agent", id, c.update(ctx, func(tx *txn) error {
		if err := n.spend(ctx, tx, now); err != nil {
			return err
		}
		a, err := scanEnrolled(tx.QueryRowContext(ctx, selectEnrolled+` WHERE id = $1`+tx.lock, id))
		if err != nil {
			return err
		}
		if !a.Revoked.IsZero() {
			return ErrNotAdmitted
		}
		return renew(ctx, tx, &a, now)
	}))
}

// EnrolledAgent returns an agent that has joined, or ErrNotFound.
func (c *Catalog) EnrolledAgent(ctx context.Context, id string) (a EnrolledAgent, err error) {
	err = c.view(ctx, func(tx *txn) error {
		a, err = scanEnrolled(tx.QueryRowContext(ctx, selectEnrolled+` WHERE id = $1`, id))
		return err
	})
	return a, wrap("read agent", id, err)
}

// ListEnrolledAgents returns at most size agents, the newest first, of one enrollment where it is named, and the token of the next
// page, empty where there is none. A token that was made for another list is ErrPageToken.
func (c *Catalog) ListEnrolledAgents(ctx context.Context, enrollment string, size int, token string) (found []EnrolledAgent, next string, err error) {
	var s statement
	conditions := []string{"1 = 1"}
	filter := fingerprint("enrolled %q", enrollment)
	if enrollment != "" {
		conditions = append(conditions, "enrollment_id = "+s.arg(enrollment))
	}
	if conditions, err = s.before(conditions, "enroll_time", filter, token); err != nil {
		return nil, "", err
	}
	limit := s.arg(size + 1)
	err = c.view(ctx, func(tx *txn) error {
		found = nil
		return rows(ctx, tx, func(row scanner) error {
			a, err := scanEnrolled(row)
			found = append(found, a)
			return err
		}, selectEnrolled+` WHERE `+strings.Join(conditions, " AND ")+` ORDER BY enroll_time DESC, id DESC LIMIT `+limit, s.args...)
	})
	if err != nil {
		return nil, "", fmt.Errorf("list enrolled agents: %w", err)
	}
	if len(found) > size {
		found = found[:size]
		next = writeToken(timeToken{filter, nanos(found[size-1].Enrolled), found[size-1].ID})
	}
	return found, next, nil
}

// RevokeEnrolledAgent ends an agent. Idempotent: the first time stays. ErrNotFound where there is none.
func (c *Catalog) RevokeEnrolledAgent(ctx context.Context, id, by string, now time.Time) (a EnrolledAgent, err error) {
	err = c.update(ctx, func(tx *txn) error {
		if a, err = scanEnrolled(tx.QueryRowContext(ctx, selectEnrolled+` WHERE id = $1`+tx.lock, id)); err != nil || !a.Revoked.IsZero() {
			return err
		}
		a.Revoked, a.RevokeBy = instantOf(nanos(now)), by
		_, err := exec(ctx, tx, `UPDATE enrolled_agents SET revoke_time = $1, revoke_by = $2 WHERE id = $3`, nanos(now), by, id)
		return err
	})
	return a, wrap("revoke agent", id, err)
}

// Revoked returns the agents that were revoked at a time or later, and the keys by which the bus knows them, those that have
// not run out by now.
func (c *Catalog) Revoked(ctx context.Context, since, now time.Time) (agents, busKeys []string, err error) {
	column := func(into *[]string) func(scanner) error {
		return func(row scanner) error {
			var s string
			err := row.Scan(&s)
			*into = append(*into, s)
			return err
		}
	}
	err = c.view(ctx, func(tx *txn) error {
		agents, busKeys = nil, nil
		if err := rows(ctx, tx, column(&agents), `SELECT id FROM enrolled_agents WHERE revoke_time <> 0 AND revoke_time >= $1 ORDER BY id`, nanos(since)); err != nil {
			return err
		}
		return rows(ctx, tx, column(&busKeys), `SELECT k.bus_key FROM enrolled_agents a JOIN agent_bus_keys k ON k.agent_id = a.id
			WHERE a.revoke_time <> 0 AND a.revoke_time >= $1 AND k.expire_time > $2 ORDER BY k.bus_key`, nanos(since), nanos(now))
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read revoked agents: %w", err)
	}
	return agents, busKeys, nil
}

// NoteBusKey keeps by which key the bus knows an agent, until a time. ErrConflict where it is another agent's key.
func (c *Catalog) NoteBusKey(ctx context.Context, agent, key string, now, until time.Time) error {
	return wrap("note bus key of agent", agent, c.update(ctx, func(tx *txn) error {
		if _, err := exec(ctx, tx, `DELETE FROM agent_bus_keys WHERE expire_time < $1`, nanos(now)); err != nil {
			return err
		}
		n, err := exec(ctx, tx, `
			INSERT INTO agent_bus_keys (bus_key, agent_id, expire_time) VALUES ($1, $2, $3)
			ON CONFLICT (bus_key) DO UPDATE SET expire_time = EXCLUDED.expire_time WHERE agent_bus_keys.agent_id = EXCLUDED.agent_id`,
			key, agent, nanos(until))
		if err == nil && n == 0 {
			err = fmt.Errorf("it is another agent's: %w", ErrConflict)
		}
		return err
	}))
}

// SessionAgent returns the enrolled agent that began a session, empty where it was none, or ErrNotFound. The answer never
// changes.
func (c *Catalog) SessionAgent(ctx context.Context, id string) (agent string, err error) {
	err = c.read.QueryRowContext(ctx, `SELECT agent_id FROM sessions WHERE id = $1`, id).Scan(&agent)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	return agent, wrap("read agent of session", id, err)
}
