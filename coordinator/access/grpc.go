package access

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

// bearer returns the token that was sent; empty where there is not exactly one.
func bearer(ctx context.Context) string {
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) != 1 {
		return ""
	}
	scheme, secret, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return secret
}

// admit lets a call in, of which the object is not known yet.
func (c *Control) admit(ctx context.Context, method string) (rule, *call, error) {
	r := c.methods[method]
	if r.anybody {
		return r, newCall(Principal{}, catalog.Scope{}), nil
	}
	p, err := c.identify(ctx)
	if err != nil {
		return r, newCall(p, catalog.Scope{}), err
	}
	scope, err := r.enter(p)
	return r, newCall(p, scope), err
}

// Check returns nil where the caller may make calls of a method at all, whatever they are about, else UNAUTHENTICATED or
// PERMISSION_DENIED.
func (c *Control) Check(ctx context.Context, method string) error {
	_, _, err := c.admit(ctx, method)
	return coded(err)
}

// coded makes gRPC's errors of refusals.
func coded(err error) error {
	var absent errAbsent
	var forbidden errForbidden
	var object errObject
	var reason errReason
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrStranger):
		return status.Error(codes.Unauthenticated, "a valid token is needed")
	case errors.As(err, &absent):
		return status.Error(codes.NotFound, absent.Error())
	case errors.As(err, &forbidden):
		return status.Error(codes.PermissionDenied, forbidden.Error())
	case errors.As(err, &object):
		return status.Error(codes.InvalidArgument, object.Error())
	case errors.As(err, &reason):
		return status.Error(codes.InvalidArgument, reason.Error())
	}
	return err
}

var errUnscoped = errors.New("a call that lists did not ask what it may show")

// Unary checks calls.
func (c *Control) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	r, admitted, err := c.admit(ctx, info.FullMethod)
	if err == nil {
		err = c.about(ctx, r, admitted.principal(), req)
	}
	if err != nil {
		c.denyCall(ctx, info.FullMethod, admitted.principal(), req, err)
		return nil, coded(err)
	}
	answer, err := next(context.WithValue(ctx, callKey{}, admitted), req)
	if err == nil && r.lists && !admitted.scoped.Load() {
		return nil, errUnscoped
	}
	return answer, err
}

// about decides about the object that a request names, and whether it has to say why.
func (c *Control) about(ctx context.Context, r rule, p Principal, req any) error {
	if r.object == nothing {
		return nil
	}
	right, err := c.named(ctx, r, p, req)
	if err != nil {
		return err
	}
	// A request that has no place for a reason is one without.
	var reason string
	if reasoned, ok := req.(interface{ GetReason() string }); ok {
		reason = reasoned.GetReason()
	}
	return c.explained(right, reason)
}

// named decides about the object that a request names, and returns the right by which that is made.
func (c *Control) named(ctx context.Context, r rule, p Principal, req any) (Right, error) {
	if r.object == order {
		named, ok := req.(interface{ GetApprovalId() string })
		if !ok {
			return "", errObject{"approval_id: is missing"}
		}
		return c.reachOrder(ctx, p, named.GetApprovalId())
	}
	named, ok := req.(interface{ GetSessionId() string })
	if !ok {
		return "", errObject{"session_id: is missing"}
	}
	return c.reach(ctx, p, r, named.GetSessionId())
}

// Stream checks streams.
func (c *Control) Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	r, admitted, err := c.admit(stream.Context(), info.FullMethod)
	if err != nil {
		c.denyCall(stream.Context(), info.FullMethod, admitted.principal(), nil, err)
		return coded(err)
	}
	ctx, cut := context.WithCancelCause(context.WithValue(stream.Context(), callKey{}, admitted))
	defer cut(nil)
	s := &called{
		ServerStream: stream, control: c, method: info.FullMethod, rule: r, call: admitted, ctx: ctx, expires: admitted.principal().Expires,
	}
	follow(ctx, cut, s.again, func() { err = next(srv, s) })
	if why := cutOff(ctx); why != nil {
		return coded(why)
	}
	return err
}

// called is a stream whose context has its call, and whose requests are checked as they come. It ends where its right does.
type called struct {
	grpc.ServerStream
	control *Control
	method  string
	rule    rule
	call    *call
	ctx     context.Context //nolint:containedctx // it is the stream's own
	expires time.Time       // of who it is that calls, as it was shown
	request atomic.Pointer[any]
}

// Context returns the stream's context.
func (s *called) Context() context.Context { return s.ctx }

// RecvMsg passes requests on that the caller may make.
func (s *called) RecvMsg(m any) error {
	if err := s.ServerStream.RecvMsg(m); err != nil {
		return err
	}
	s.request.Store(&m)
	err := s.control.about(s.ctx, s.rule, s.call.principal(), m)
	s.control.denyCall(s.ctx, s.method, s.call.principal(), m, err)
	return coded(err)
}

// SendMsg passes answers on.
func (s *called) SendMsg(m any) error {
	if err := cutOff(s.ctx); err != nil {
		return coded(err)
	}
	if s.rule.lists && !s.call.scoped.Load() {
		return errUnscoped
	}
	return s.ServerStream.SendMsg(m)
}
