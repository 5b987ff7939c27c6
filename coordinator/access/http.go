package access

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

// Refusal is why a request is not served.
type Refusal int

// The refusals.
const (
	RefusedStranger  Refusal = iota // nobody is known who asks
	RefusedForbidden                // the right is missing, whatever it is about
	RefusedAbsent                   // there is no such thing, or none that may be known of
	RefusedFailed                   // it cannot be told now
	RefusedReason                   // nobody said why
)

// Door is the page's side: it knows its visitors and words its refusals.
type Door interface {
	// Visitor returns who asks; ErrStranger where nobody is known.
	Visitor(r *http.Request) (Principal, error)
	// Reason returns why the visitor wants to see a session; empty where it did not say so, or long ago.
	Reason(r *http.Request, session string) string
	Refuse(w http.ResponseWriter, r *http.Request, why Refusal, err error)
}

// Guard returns a handler that serves requests of a route to those who may make them. A route that the table does not name is
// ErrUndeclared.
func (c *Control) Guard(pattern string, door Door, next http.Handler) (http.Handler, error) {
	r, ok := c.routes[pattern]
	if !ok || r == (rule{}) {
		return nil, fmt.Errorf("%w: route %s has no right", ErrUndeclared, pattern)
	}
	if r.anybody {
		return next, nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		admitted, err := c.admitVisitor(request, r, door)
		if err != nil {
			c.denyRequest(request, pattern, admitted.principal(), err)
			door.Refuse(w, request, refusal(err), err)
			return
		}
		if r.lists {
			w = &withheld{ResponseWriter: w, call: admitted}
		}
		again := func(request *http.Request) error {
			now, err := c.admitVisitor(request, r, door)
			if err != nil {
				c.denyRequest(request, pattern, admitted.principal(), err)
				return err
			}
			admitted.standing.Store(now.standing.Load())
			return nil
		}
		c.attended(w, request.WithContext(context.WithValue(request.Context(), callKey{}, admitted)), again, next)
	}), nil
}

func (c *Control) admitVisitor(request *http.Request, r rule, door Door) (*call, error) {
	p, err := door.Visitor(request)
	if err != nil {
		return newCall(Principal{}, catalog.Scope{}), err
	}
	scope, err := r.enter(p)
	admitted := newCall(p, scope)
	if err != nil || r.object != session {
		return admitted, err
	}
	id := request.PathValue("id")
	right, err := c.reach(request.Context(), p, r, id)
	if err != nil {
		return admitted, err
	}
	admitted.reason = door.Reason(request, id)
	return admitted, c.explained(right, admitted.reason)
}

func refusal(err error) Refusal {
	var absent errAbsent
	var object errObject
	var forbidden errForbidden
	var reason errReason
	switch {
	case errors.Is(err, ErrStranger):
		return RefusedStranger
	case errors.As(err, &absent), errors.As(err, &object):
		return RefusedAbsent
	case errors.As(err, &forbidden):
		return RefusedForbidden
	case errors.As(err, &reason):
		return RefusedReason
	}
	return RefusedFailed
}

// withheld lets no answer out that was made without asking what it may show.
type withheld struct {
	http.ResponseWriter
	call *call
}

// WriteHeader lets the answer begin.
func (w *withheld) WriteHeader(status int) {
	if !w.call.scoped.Load() && status < http.StatusBadRequest {
		status = http.StatusInternalServerError
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write passes bytes on.
func (w *withheld) Write(b []byte) (int, error) {
	if !w.call.scoped.Load() {
		return 0, errUnscoped
	}
	return w.ResponseWriter.Write(b)
}
