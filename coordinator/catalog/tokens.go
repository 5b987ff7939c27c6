package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/recfleet/recfleet/internal/chunk"
)

// Token is what a script shows. Of its secret there is only the hash.
type Token struct {
	ID, Name string
	Hash     chunk.Hash
	Roles    []string // beside those that the access file gives it by its name
	Owner    string   // who answers for what is done with it
	By       string   // who made it, as the audit has it
	Created  time.Time
	Expires  time.Time // zero for never
	Revoked  time.Time // zero where it holds
	RevokeBy string
}

// Holds reports whether the token is good for anything.
func (t Token) Holds(now time.Time) bool {
	return t.Revoked.IsZero() && (t.Expires.IsZero() || now.Before(t.Expires))
}

// CreateToken adds a token. ErrConflict says that another one that is not revoked has its name.
func (c *Catalog) CreateToken(ctx context.Context, t Token) error {
	roles, err := json.Marshal(t.Roles)
	if err != nil {
		return fmt.Errorf("create token: %w", err)
	}
	err = c.update(ctx, func(tx *txn) error {
		n, err := exec(ctx, tx, `INSERT INTO access_tokens (id, name, hash, roles, owner, create_by, create_time, expire_time, revoke_by, revoke_time)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, '', 0) ON CONFLICT DO NOTHING`,
			t.ID, t.Name, t.Hash.String(), string(roles), t.Owner, t.By, nanos(t.Created), nanos(t.Expires))
		if err == nil && n == 0 {
			err = fmt.Errorf("a token of this name is there: %w", ErrConflict)
		}
		return err
	})
	return wrap("create token", t.Name, err)
}

const selectToken = `SELECT id, name, hash, roles, owner, create_by, create_time, expire_time, revoke_by, revoke_time FROM access_tokens`

func scanToken(row scanner) (t Token, err error) {
	var roles string
	if err = row.Scan(&t.ID, &t.Name, hexHash{&t.Hash}, &roles, &t.Owner, &t.By, instant{&t.Created}, instant{&t.Expires}, &t.RevokeBy, instant{&t.Revoked}); err != nil {
		return t, err
	}
	return t, json.Unmarshal([]byte(roles), &t.Roles)
}

// TokenByHash returns the token whose secret has a hash, or ErrNotFound.
func (c *Catalog) TokenByHash(ctx context.Context, hash chunk.Hash) (Token, error) {
	return c.token(ctx, `hash = $1`, hash.String())
}

// TokenByID returns a token, or ErrNotFound.
func (c *Catalog) TokenByID(ctx context.Context, id string) (Token, error) {
	return c.token(ctx, `id = $1`, id)
}

func (c *Catalog) token(ctx context.Context, where string, arg any) (t Token, err error) {
	found := false
	err = c.view(ctx, func(tx *txn) error {
		return rows(ctx, tx, func(row scanner) error {
			found = true
			t, err = scanToken(row)
			return err
		}, selectToken+` WHERE `+where, arg)
	})
	if err == nil && !found {
		err = ErrNotFound
	}
	if err != nil {
		return Token{}, fmt.Errorf("read token: %w", err)
	}
	return t, nil
}

type tokenCursor struct {
	All  bool   `json:"a"`
	Time int64  `json:"t"`
	ID   string `json:"i"`
}

// ListTokens returns at most size tokens, the newest first, those that are revoked only where all is set, and the token of the
// next page, empty where there is none.
func (c *Catalog) ListTokens(ctx context.Context, all bool, size int, page string) (found []Token, next string, err error) {
	var s statement
	s.add("%s WHERE 1 = 1", selectToken)
	if !all {
		s.add(" AND revoke_time = 0")
	}
	if page != "" {
		var at tokenCursor
		if !readToken(page, &at) || at.All != all {
			return nil, "", ErrPageToken
		}
		s.add(" AND (create_time, id) < (%s, %s)", s.arg(at.Time), s.arg(at.ID))
	}
	s.add(" ORDER BY create_time DESC, id DESC LIMIT %s", s.arg(size+1))
	err = c.view(ctx, func(tx *txn) error {
		return rows(ctx, tx, func(row scanner) error {
			t, err := scanToken(row)
			found = append(found, t)
			return err
		}, s.String(), s.args...)
	})
	if err != nil {
		return nil, "", fmt.Errorf("list tokens: %w", err)
	}
	if len(found) > size {
		found = found[:size]
		last := found[size-1]
		next = writeToken(tokenCursor{All: all, Time: nanos(last.Created), ID: last.ID})
	}
	return found, next, nil
}

// RevokeToken ends a token; the first time stays. It is ErrNotFound where there is none.
func (c *Catalog) RevokeToken(ctx context.Context, id, by string, now time.Time) error {
	err := c.update(ctx, func(tx *txn) error {
		n, err := exec(ctx, tx, `UPDATE access_tokens SET revoke_time = CASE WHEN revoke_time = 0 THEN $1 ELSE revoke_time END,
			revoke_by = CASE WHEN revoke_time = 0 THEN $2 ELSE revoke_by END WHERE id = $3`, nanos(now), by, id)
		if err == nil && n == 0 {
			err = ErrNotFound
		}
		return err
	})
	return wrap("revoke token", id, err)
}
