package access

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

// Kind is what a caller is.
type Kind string

// The kinds.
const (
	KindPerson  Kind = "person" // or a script that acts for one
	KindAgent   Kind = "agent"
	KindEncoder Kind = "encoder"
)

// Method is how a caller showed who it is.
type Method string

// The methods of people; whoever adds an Authenticator names its own.
const (
	ByLocal Method = "local" // a token of the installation's own, from its data directory
	ByToken Method = "token" // a token that somebody with the right to manage has made
	ByOIDC  Method = "oidc"  // a provider's word
)

// Grant is some rights within a scope.
type Grant struct {
	Rights []Right
	Scope  catalog.Scope // of rights that can be limited; the others hold everywhere
}

// Principal is a caller that is known. Its zero value is nobody.
type Principal struct {
	Kind Kind
	// Name is how the audit calls it.
	Name string
	By   Method
	// Person is who answers for what it does: where two people are needed, two principals of one Person are one.
	Person string
	// Agent is the id of an agent that is known by its own key; empty for one that shares a token, and for others.
	Agent  string
	Roles  []string // as the access file names them, sorted
	Grants []Grant
	// Expires is when who it is has to be shown anew; zero for never.
	Expires time.Time
	// Renew returns the principal as it is by now, an error where it is nobody any more; nil where it does not change.
	Renew func(ctx context.Context) (Principal, error)
}

// Everything is the grant of all rights everywhere.
func Everything() []Grant { return []Grant{{Rights: Rights(), Scope: catalog.Scope{All: true}}} }

// Scope is where the principal has a right.
func (p Principal) Scope(r Right) (s catalog.Scope) {
	for _, g := range p.Grants {
		if slices.Contains(g.Rights, r) {
			s = s.Join(g.Scope)
		}
	}
	return s
}

// May reports whether the principal has a right anywhere.
func (p Principal) May(r Right) bool { return !p.Scope(r).Empty() }

// master reports whether it is the installation's own administrator, who may also do what machines do.
func (p Principal) master() bool { return p.Kind == KindPerson && p.By == ByLocal }

// callKey is under which a call's context has its call.
type callKey struct{}

// call is one that was let through.
type call struct {
	standing atomic.Pointer[standing]
	scoped   atomic.Bool // the scope was asked for
	reason   string      // of a request of the page
}

// standing is who makes a call, and what it may list. While a call goes on it may change.
type standing struct {
	principal Principal
	scope     catalog.Scope
}

func newCall(p Principal, scope catalog.Scope) *call {
	c := &call{}
	c.standing.Store(&standing{p, scope})
	return c
}

func (c *call) principal() Principal { return c.standing.Load().principal }

// Caller returns who makes the call; nobody where anybody may.
func Caller(ctx context.Context) Principal {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c.principal()
	}
	return Principal{}
}

// Visible returns what a call that lists sessions may show by now. Whoever serves such a call must ask: the answer is withheld
// otherwise. One that goes on asks again.
func Visible(ctx context.Context) *catalog.Scope {
	c, ok := ctx.Value(callKey{}).(*call)
	if !ok {
		return &catalog.Scope{}
	}
	c.scoped.Store(true)
	return &c.standing.Load().scope
}
