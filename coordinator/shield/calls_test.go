package shield

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

func caller(t *testing.T, agent string, from byte) context.Context {
	p := &peer.Peer{Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, from), Port: 1}}
	if agent != "" {
		leaf := &x509.Certificate{URIs: []*url.URL{{Scheme: "recfleet", Host: "agent", Path: "/" + agent}}}
		p.AuthInfo = credentials.TLSInfo{State: tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{leaf}}}}
	}
	return peer.NewContext(t.Context(), p)
}

// One agent that calls without end is told to wait; no other notices, also behind the same address.
func TestOneAgentsFloodIsItsOwn(t *testing.T) {
	now := time.Unix(1e9, 0)
	c := NewCalls(func() time.Time { return now })
	call := func(ctx context.Context, method string) error {
		_, err := c.Unary(ctx, nil, &grpc.UnaryServerInfo{FullMethod: method}, func(context.Context, any) (any, error) { return nil, nil })
		return err
	}
	const sync = recfleetv1.AgentService_Sync_FullMethodName
	served := 0
	for range 1000 {
		if call(caller(t, "bad", 1), sync) == nil {
			served++
		}
	}
	if served != agentBurst {
		t.Errorf("%d of 1000 calls were served", served)
	}
	err := call(caller(t, "bad", 1), sync)
	if status.Code(err) != codes.ResourceExhausted || status.Convert(err).Message() != "too many calls: try again in 50ms" {
		t.Errorf("%v", err)
	}
	if err := call(caller(t, "good", 1), sync); err != nil {
		t.Errorf("another agent of the same address: %v", err)
	}
	if err := call(caller(t, "", 1), sync); err != nil {
		t.Errorf("one with a token: %v", err)
	}
	now = now.Add(50 * time.Millisecond)
	if err := call(caller(t, "bad", 1), sync); err != nil {
		t.Errorf("after the wait: %v", err)
	}
}

// 2,000 agents that start at once behind one address join and begin; whoever goes on asking from there waits.
func TestAStormBehindOneAddressIsLetIn(t *testing.T) {
	now := time.Unix(1e9, 0)
	c := NewCalls(func() time.Time { return now })
	for i := range 2000 {
		for _, method := range []string{recfleetv1.EnrollmentService_BeginEnroll_FullMethodName, recfleetv1.EnrollmentService_Enroll_FullMethodName} {
			if wait := c.take(caller(t, "", 7), method); wait > 0 {
				t.Fatalf("agent %d waits %s", i, wait)
			}
		}
		for range 10 { // it begins a session, reports and syncs
			if wait := c.take(caller(t, fmt.Sprintf("a%d", i), 7), recfleetv1.AgentService_ReportEvents_FullMethodName); wait > 0 {
				t.Fatalf("agent %d waits %s", i, wait)
			}
		}
	}
	refused := 0
	for range 5000 {
		if c.take(caller(t, "", 7), recfleetv1.EnrollmentService_BeginEnroll_FullMethodName) > 0 {
			refused++
		}
	}
	if refused != 4000+5000-joinBurst {
		t.Errorf("%d refused", refused)
	}
	if c.take(caller(t, "", 8), recfleetv1.EnrollmentService_BeginEnroll_FullMethodName) > 0 {
		t.Error("another address waits")
	}
	for i := range 3 * maxKeys { // made-up agents take no room
		c.take(caller(t, fmt.Sprintf("b%d", i), 7), "")
	}
	if n := len(c.agents.of); n > maxKeys {
		t.Errorf("%d are kept", n)
	}
}
