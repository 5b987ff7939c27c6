package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/chunk"
)

// TokenPrefix begins the tokens that people make, so that they are known for what they are where they turn up.
const TokenPrefix = "rft-"

// Tokens are those that people have made; catalog.Catalog has them.
type Tokens interface {
	TokenByHash(ctx context.Context, hash chunk.Hash) (catalog.Token, error)
	TokenByID(ctx context.Context, id string) (catalog.Token, error)
}

// made knows the tokens that people have made.
type made struct {
	tokens Tokens
	book   func() *Book
	now    func() time.Time
}

// Made returns the authenticator of tokens that people have made. The roles of a token are its own and those that the book gives
// it by its name.
func Made(tokens Tokens, book func() *Book, now func() time.Time) Authenticator {
	return made{tokens, book, now}
}

// Authenticate looks a token up each time: one that is revoked is nobody's at once.
func (m made) Authenticate(ctx context.Context, bearer string) (Principal, error) {
	if !strings.HasPrefix(bearer, TokenPrefix) {
		return Principal{}, ErrStranger
	}
	return m.principal(m.tokens.TokenByHash(ctx, chunk.Sum([]byte(bearer))))
}

func (m made) principal(t catalog.Token, err error) (Principal, error) {
	switch {
	case errors.Is(err, catalog.ErrNotFound), err == nil && !t.Holds(m.now()):
		return Principal{}, ErrStranger
	case err != nil:
		return Principal{}, fmt.Errorf("look token up: %w", err)
	}
	book := m.book()
	roles := sorted(append(book.OfToken(t.Name), t.Roles...))
	return Principal{
		Kind: KindPerson, Name: tokenName + t.Name, By: ByToken, Person: t.Owner, Roles: roles, Grants: book.Grants(roles), Expires: t.Expires,
		Renew: func(ctx context.Context) (Principal, error) { return m.principal(m.tokens.TokenByID(ctx, t.ID)) },
	}, nil
}

// tokenName begins the names of principals that are tokens. No person has such a name.
const tokenName = "token:"

// Reserved reports whether a person cannot have a name, because others would be taken for it.
func Reserved(name string) bool {
	return name == "" || name == localAdmin || name == string(KindAgent) || name == string(KindEncoder) || strings.ContainsAny(name, ":\n") ||
		strings.ToLower(name) == localAdmin || name == "coordinator" || name == "retention"
}

// MayGive reports whether a principal may make a token with these roles: only roles that it has itself, unless it has every right.
func (p Principal) MayGive(roles []string) bool {
	have := map[string]bool{}
	for _, r := range p.Roles {
		if r == RoleAdmin {
			return true
		}
		have[r] = true
	}
	for _, r := range roles {
		if !have[r] {
			return false
		}
	}
	return true
}
