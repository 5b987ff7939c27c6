// Package access decides who may call what.
//
// What comes in is a call with what its caller shows; what goes out is the call with its Principal, or a refusal. What always
// holds: a method or a route that the tables do not name is refused to everybody, and a server that has one does not start; a
// right over some sessions says nothing about the others, of which the answer is the same as of sessions that are not there;
// where the access file wants to know why a right is used, no call is served that does not say so.
package access

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/chunk"
)

// Sessions says whose sessions are; catalog.Catalog does.
type Sessions interface {
	Owner(ctx context.Context, id string) (catalog.Owner, error)
	Approval(ctx context.Context, id string, now time.Time) (catalog.Approval, error)
}

// Control decides. It is safe for concurrent use.
type Control struct {
	methods, routes map[string]rule
	sessions        Sessions
	authenticators  []Authenticator
	revocations     Revocations  // nil where certificates are nobody's
	book            func() *Book // nil where no right needs a reason
	witness         Witness      // of what is not let through; nil for none
}

// New returns a Control that asks the authenticators in their order.
func New(sessions Sessions, authenticators ...Authenticator) *Control {
	return &Control{methods: methods(), routes: routes(), sessions: sessions, authenticators: authenticators}
}

// ErrUndeclared says that something can be called for which no right is declared, or the other way round.
var ErrUndeclared = errors.New("access table and server differ")

// Covers is ErrUndeclared unless the table names exactly the methods of a server.
func (c *Control) Covers(services map[string]grpc.ServiceInfo) error {
	served := map[string]bool{}
	for service, info := range services {
		for _, m := range info.Methods {
			served["/"+service+"/"+m.Name] = true
		}
	}
	return same("method", c.methods, served)
}

// CoversRoutes is ErrUndeclared unless the table names exactly the routes of a page.
func (c *Control) CoversRoutes(patterns []string) error {
	served := map[string]bool{}
	for _, p := range patterns {
		served[p] = true
	}
	return same("route", c.routes, served)
}

func same(what string, declared map[string]rule, served map[string]bool) error {
	for _, name := range slices.Sorted(maps.Keys(served)) {
		if r, ok := declared[name]; !ok || r == (rule{}) {
			return fmt.Errorf("%w: %s %s has no right", ErrUndeclared, what, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		if !served[name] {
			return fmt.Errorf("%w: there is no %s %s", ErrUndeclared, what, name)
		}
	}
	return nil
}

// Authenticate returns who shows a bearer token; ErrStranger where nobody does.
func (c *Control) Authenticate(ctx context.Context, bearer string) (Principal, error) {
	if bearer == "" {
		return Principal{}, ErrStranger
	}
	for _, a := range c.authenticators {
		p, err := a.Authenticate(ctx, bearer)
		if err == nil || !errors.Is(err, ErrStranger) {
			return p, err
		}
	}
	return Principal{}, ErrStranger
}

// errAbsent says that there is no such object, or none that the caller may know of.
type errAbsent struct{ what, id string }

func (e errAbsent) Error() string { return e.what + "_id: " + e.what + " " + e.id + " not found" }

// errForbidden says that the caller lacks the right everywhere, whatever the call is about.
type errForbidden struct{ why string }

func (e errForbidden) Error() string { return e.why }

// errObject says that what names the object cannot be a name.
type errObject struct{ why string }

func (e errObject) Error() string { return e.why }

// enter decides whether somebody may make calls by a rule at all, and returns where.
func (r rule) enter(p Principal) (catalog.Scope, error) {
	switch {
	case p.Kind == KindPerson && r.known:
	case p.Kind == KindPerson && r.right != "":
		scope := p.Scope(r.right)
		if r.live != "" {
			scope = scope.Join(p.Scope(r.live))
		}
		if scope.Empty() {
			return scope, errForbidden{fmt.Sprintf("the right to %s is needed", strings.Join(r.needs(), " or "))}
		}
		return scope, nil
	case r.kind != "" && (p.Kind == r.kind || p.master()):
	default:
		return catalog.Scope{}, errForbidden{fmt.Sprintf("not for callers of the kind %q", p.Kind)}
	}
	return catalog.Scope{}, nil
}

func (r rule) needs() []string {
	if r.live != "" {
		return []string{string(r.right), string(r.live)}
	}
	return []string{string(r.right)}
}

// ActionRight is the right to order what the audit calls an action; empty for one that needs no second person.
func ActionRight(action string) Right {
	return map[string]Right{ActionDelete: RightDelete, ActionRelease: RightRelease}[action]
}

// What may need a second person, as the audit has it.
const (
	ActionDelete  = "session.delete"
	ActionRelease = "session.release"
)

// reachOrder decides about an order that waits for a second person, and returns the right that it is about.
func (c *Control) reachOrder(ctx context.Context, p Principal, id string) (Right, error) {
	if !chunk.ValidSession(id) { // they are made alike
		return "", errObject{"approval_id: does not match ^[a-z0-9]{1,64}$"}
	}
	if p.Scope(RightDelete).All && p.Scope(RightRelease).All && c.Demands(RightDelete) == c.Demands(RightRelease) {
		return RightDelete, nil // whoever serves the call finds out whether it is there
	}
	a, err := c.sessions.Approval(ctx, id, time.Now())
	if errors.Is(err, catalog.ErrNotFound) {
		return "", errAbsent{"approval", id}
	}
	if err != nil {
		return "", err
	}
	o, err := c.sessions.Owner(ctx, a.Session)
	if err != nil {
		return "", err
	}
	right := ActionRight(a.Action)
	if right == "" || !p.Scope(right).Has(o) {
		return "", errAbsent{"approval", id}
	}
	return right, nil
}

// reach decides about the object of a call that may be made at all, and returns the right by which it is made.
func (c *Control) reach(ctx context.Context, p Principal, r rule, id string) (Right, error) {
	if !chunk.ValidSession(id) {
		return "", errObject{"session_id: does not match ^[a-z0-9]{1,64}$"}
	}
	then, live := p.Scope(r.right), p.Scope(r.live)
	if then.All && (r.live == "" || live.All && c.Demands(r.right) == c.Demands(r.live)) {
		return r.right, nil // whoever serves the call finds out whether it is there
	}
	o, err := c.sessions.Owner(ctx, id)
	if errors.Is(err, catalog.ErrNotFound) {
		return "", errAbsent{"session", id}
	}
	if err != nil {
		return "", err
	}
	right, scope := r.right, then
	if r.live != "" && o.Capturing {
		right, scope = r.live, live
	}
	if !scope.Has(o) {
		return "", errAbsent{"session", id}
	}
	return right, nil
}
