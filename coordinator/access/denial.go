package access

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"

	"google.golang.org/grpc/peer"

	"github.com/recfleet/recfleet/internal/chunk"
)

// Denial is a call or a request that was not let through.
type Denial struct {
	// Who and Auth are as of a Principal, empty where nobody is known.
	Who, Auth string
	// Action is the method, as "SessionService.GetSession", or the route.
	Action string
	// Object is the id of what it was about; empty where it names none that could be one.
	Object string
	From   string // the host that asked
}

// Witness is told of denials. It is safe for concurrent use.
type Witness interface {
	Denied(ctx context.Context, d Denial)
}

// Report has somebody told of every call and request that is not let through. To be called before the Control is used.
func (c *Control) Report(to Witness) { c.witness = to }

// Deny tells of what was refused elsewhere than here, as a sign-in is.
func (c *Control) Deny(ctx context.Context, d Denial) {
	if c.witness != nil {
		c.witness.Denied(ctx, d)
	}
}

// refused reports whether an error says that somebody may not do what it asked for. Requests that are wrong, a missing reason among
// it, and databases that cannot be read say nothing of that.
func refused(err error) bool {
	var absent errAbsent
	var forbidden errForbidden
	return errors.Is(err, ErrStranger) || errors.As(err, &absent) || errors.As(err, &forbidden)
}

// denyCall tells of a gRPC call that is not let through; req may be nil.
func (c *Control) denyCall(ctx context.Context, method string, p Principal, req any, err error) {
	if !refused(err) {
		return
	}
	d := Denial{Who: p.Name, Auth: string(p.By), Action: shortMethod(method), Object: objectOf(req)}
	if from, ok := peer.FromContext(ctx); ok && from.Addr != nil {
		d.From = host(from.Addr.String())
	}
	c.Deny(ctx, d)
}

// denyRequest tells of a request of the page that is not let through.
func (c *Control) denyRequest(r *http.Request, pattern string, p Principal, err error) {
	if !refused(err) {
		return
	}
	id := r.PathValue("id")
	if !chunk.ValidSession(id) {
		id = ""
	}
	if id == "" && errors.Is(err, ErrStranger) && len(r.Cookies()) == 0 {
		return // a browser that comes for the first time is sent to the sign-in: that is no attempt
	}
	c.Deny(r.Context(), Denial{Who: p.Name, Auth: string(p.By), Action: pattern, Object: id, From: host(r.RemoteAddr)})
}

// shortMethod is a full method without its slashes and without the product's package.
func shortMethod(full string) string {
	return strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(full, "/"), "recfleet.v1."), "/", ".")
}

// objectOf is the id that a request names.
func objectOf(req any) string {
	id := ""
	switch named := req.(type) {
	case interface{ GetSessionId() string }:
		id = named.GetSessionId()
	case interface{ GetApprovalId() string }:
		id = named.GetApprovalId()
	}
	if !chunk.ValidSession(id) {
		return ""
	}
	return id
}

// host is an address without its port.
func host(address string) string {
	if h, _, err := net.SplitHostPort(address); err == nil {
		return h
	}
	return address
}
