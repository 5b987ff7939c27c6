// Package access decides who may call what.
//
// What comes in is a call's method and bearer token; what goes out is the call, or a refusal. What always holds: a method
// that the table does not name is refused to everybody.
package access

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/internal/identity"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// Role is what a token makes of its bearer.
type Role string

// The roles.
const (
	RoleAdmin   Role = "admin"   // people and scripts; may do everything
	RoleAgent   Role = "agent"   // records
	RoleEncoder Role = "encoder" // encodes
	// roleAnyone in the table opens a method to all, with or without a token.
	roleAnyone Role = "anyone"
)

// rights returns, for every method, the roles beside admin that may call it.
func rights() map[string][]Role {
	return map[string][]Role{
		recfleetv1.SessionService_ListSessions_FullMethodName: {},
		recfleetv1.SessionService_GetSession_FullMethodName:   {},
		recfleetv1.SessionService_StopSession_FullMethodName:  {},

		recfleetv1.SessionService_WatchSessions_FullMethodName:  {},
		recfleetv1.SessionService_HoldSession_FullMethodName:    {},
		recfleetv1.SessionService_ReleaseSession_FullMethodName: {},
		recfleetv1.SessionService_DeleteSession_FullMethodName:  {},

		recfleetv1.RecordingService_ListRecordings_FullMethodName:    {},
		recfleetv1.RecordingService_DownloadRecording_FullMethodName: {},
		recfleetv1.RecordingService_GetManifest_FullMethodName:       {},

		recfleetv1.JobService_ListJobs_FullMethodName: {},
		recfleetv1.JobService_RetryJob_FullMethodName: {},

		recfleetv1.FleetService_ListEncoders_FullMethodName: {},
		recfleetv1.FleetService_DrainEncoder_FullMethodName: {},
		recfleetv1.FleetService_ListAgents_FullMethodName:   {},

		recfleetv1.AuditService_ListAuditRecords_FullMethodName: {},

		recfleetv1.AgentService_StartSession_FullMethodName: {RoleAgent},
		recfleetv1.AgentService_ReportEvents_FullMethodName: {RoleAgent},
		recfleetv1.AgentService_Sync_FullMethodName:         {RoleAgent},
		recfleetv1.AgentService_EndSession_FullMethodName:   {RoleAgent},

		recfleetv1.EncoderService_Sync_FullMethodName:        {RoleEncoder},
		recfleetv1.EncoderService_CompleteJob_FullMethodName: {RoleEncoder},
		recfleetv1.EncoderService_FailJob_FullMethodName:     {RoleEncoder},

		recfleetv1.PolicyService_TestPolicy_FullMethodName:      {},
		recfleetv1.PolicyService_GetPolicySchema_FullMethodName: {},

		grpc_reflection_v1.ServerReflection_ServerReflectionInfo_FullMethodName:      {},
		grpc_reflection_v1alpha.ServerReflection_ServerReflectionInfo_FullMethodName: {},

		grpc_health_v1.Health_Check_FullMethodName: {roleAnyone},
		grpc_health_v1.Health_List_FullMethodName:  {roleAnyone},
		grpc_health_v1.Health_Watch_FullMethodName: {roleAnyone},
	}
}

// Control decides. It is safe for concurrent use.
type Control struct {
	rights map[string][]Role
	tokens []token
}

// token is a role's secret as its hash: comparing hashes takes the same time whatever was shown.
type token struct {
	sum  [sha256.Size]byte
	role Role
}

// New returns a Control for an installation's tokens. A role whose token is empty has no bearer.
func New(tokens identity.Tokens) *Control {
	c := &Control{rights: rights()}
	for _, t := range []struct {
		secret string
		role   Role
	}{{tokens.Admin, RoleAdmin}, {tokens.Agent, RoleAgent}, {tokens.Encoder, RoleEncoder}} {
		if t.secret != "" {
			c.tokens = append(c.tokens, token{sha256.Sum256([]byte(t.secret)), t.role})
		}
	}
	return c
}

// Knows reports whether the table names a method.
func (c *Control) Knows(method string) bool {
	_, ok := c.rights[method]
	return ok
}

// Role returns the role of a token's bearer; false where nobody has this token.
func (c *Control) Role(secret string) (Role, bool) {
	sum := sha256.Sum256([]byte(secret))
	role, found := Role(""), false
	for _, t := range c.tokens {
		if subtle.ConstantTimeCompare(sum[:], t.sum[:]) == 1 {
			role, found = t.role, true
		}
	}
	return role, found
}

// callerKey is under which a call's context has its caller.
type callerKey struct{}

// Caller returns the role of the caller whose call was let through; empty where anybody may call.
func Caller(ctx context.Context) Role {
	role, _ := ctx.Value(callerKey{}).(Role)
	return role
}

// Check returns nil where the caller of a method may call it, else UNAUTHENTICATED or PERMISSION_DENIED.
func (c *Control) Check(ctx context.Context, method string) error {
	_, err := c.admit(ctx, method)
	return err
}

// admit is Check, and returns the caller's role.
func (c *Control) admit(ctx context.Context, method string) (Role, error) {
	allowed, known := c.rights[method]
	for _, r := range allowed {
		if r == roleAnyone {
			return "", nil
		}
	}
	role, ok := c.Role(bearer(ctx))
	if !ok {
		return "", status.Error(codes.Unauthenticated, "a valid token is needed")
	}
	if known && role == RoleAdmin {
		return role, nil
	}
	for _, r := range allowed {
		if r == role {
			return role, nil
		}
	}
	return "", status.Error(codes.PermissionDenied, "the token's role may not call this method")
}

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

// Unary checks calls.
func (c *Control) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	role, err := c.admit(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return next(context.WithValue(ctx, callerKey{}, role), req)
}

// Stream checks streams.
func (c *Control) Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	role, err := c.admit(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return next(srv, called{stream, context.WithValue(stream.Context(), callerKey{}, role)})
}

// called is a stream whose context has its caller.
type called struct {
	grpc.ServerStream
	ctx context.Context //nolint:containedctx // it is the stream's own
}

// Context returns the stream's context.
func (c called) Context() context.Context { return c.ctx }
