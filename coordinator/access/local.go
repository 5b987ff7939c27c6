package access

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"

	"github.com/recfleet/recfleet/internal/identity"
)

// ErrStranger says that an authenticator knows nobody who shows this.
var ErrStranger = errors.New("nobody is known by this token")

// Authenticator finds out who shows a bearer token. It returns ErrStranger for one that is not of its making or does not hold
// any more, and any other error where it cannot tell now. It is safe for concurrent use.
type Authenticator interface {
	Authenticate(ctx context.Context, bearer string) (Principal, error)
}

// local knows the tokens of the installation's data directory.
type local struct{ tokens []localToken }

// localToken is a secret as its hash: comparing hashes takes the same time whatever was shown.
type localToken struct {
	sum       [sha256.Size]byte
	principal Principal
}

// Local returns the authenticator of an installation's own tokens. One that is empty is nobody's.
func Local(tokens identity.Tokens) Authenticator {
	var l local
	for _, t := range []struct {
		secret string
		who    Principal
	}{
		{tokens.Admin, Principal{Kind: KindPerson, Name: localAdmin, Person: localAdmin, By: ByLocal, Roles: []string{RoleAdmin}, Grants: Everything()}},
		{tokens.Agent, Principal{Kind: KindAgent, Name: string(KindAgent), By: ByLocal}},
		{tokens.Encoder, Principal{Kind: KindEncoder, Name: string(KindEncoder), By: ByLocal}},
	} {
		if t.secret != "" {
			l.tokens = append(l.tokens, localToken{sha256.Sum256([]byte(t.secret)), t.who})
		}
	}
	return l
}

const localAdmin = "admin"

// RoleAdmin is the role that is always there: every right everywhere.
const RoleAdmin = "admin"

// Authenticate looks at all of them, whichever it is.
func (l local) Authenticate(_ context.Context, bearer string) (Principal, error) {
	sum := sha256.Sum256([]byte(bearer))
	found, err := Principal{}, ErrStranger
	for _, t := range l.tokens {
		if subtle.ConstantTimeCompare(sum[:], t.sum[:]) == 1 {
			found, err = t.principal, nil
		}
	}
	return found, err
}
