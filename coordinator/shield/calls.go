package shield

import (
	"context"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/internal/identity"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// What one agent may call each second, and at once: a real one makes about one call a second, and a few more where it begins or
// catches up. And what may be asked from one address to join: 2,000 agents behind one address that start at once make 4,000
// calls.
const (
	agentRate, agentBurst = 20, 200
	joinRate, joinBurst   = 200, 6000
)

// pushback is the trailer by which gRPC's clients are told when to try again.
const pushback = "grpc-retry-pushback-ms"

// Calls lets no agent call as often as it likes, so that one of them cannot slow the coordinator for the others. An agent is known by
// its certificate, whoever joins by the address; who shows a token is not counted. It is safe for concurrent use, and what it keeps is bounded.
type Calls struct{ agents, joins *buckets }

// NewCalls returns one that has seen nothing. now is time.Now where it is nil.
func NewCalls(now func() time.Time) *Calls {
	if now == nil {
		now = time.Now
	}
	return &Calls{agents: newBuckets(agentRate, agentBurst, now), joins: newBuckets(joinRate, joinBurst, now)}
}

// Unary answers RESOURCE_EXHAUSTED, with the time after which to try again, to whoever calls too often.
func (c *Calls) Unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	if wait := c.take(ctx, info.FullMethod); wait > 0 {
		wait = wait.Round(time.Millisecond)
		_ = grpc.SetTrailer(ctx, metadata.Pairs(pushback, strconv.FormatInt(max(1, wait.Milliseconds()), 10))) // the text says it as well
		return nil, status.Errorf(codes.ResourceExhausted, "too many calls: try again in %s", wait)
	}
	return next(ctx, req)
}

// Stream does the same where a stream begins.
func (c *Calls) Stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if wait := c.take(stream.Context(), info.FullMethod); wait > 0 {
		return status.Errorf(codes.ResourceExhausted, "too many calls: try again in %s", wait.Round(time.Millisecond))
	}
	return next(srv, stream)
}

// take counts a call, or returns how long to wait for it.
func (c *Calls) take(ctx context.Context, method string) time.Duration {
	from, ok := peer.FromContext(ctx)
	if !ok {
		return 0
	}
	if secured, ok := from.AuthInfo.(credentials.TLSInfo); ok && len(secured.State.VerifiedChains) > 0 {
		if agent, ok := identity.AgentID(secured.State.VerifiedChains[0][0]); ok {
			return c.agents.take(agent)
		}
	}
	switch method {
	case recfleetv1.EnrollmentService_BeginEnroll_FullMethodName, recfleetv1.EnrollmentService_Enroll_FullMethodName,
		recfleetv1.EnrollmentService_RenewCertificate_FullMethodName:
		return c.joins.take(Network(from.Addr.String()))
	}
	return 0
}
