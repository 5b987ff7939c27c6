package agent

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/bus/embedded"
	"github.com/recfleet/recfleet/internal/identity"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// coordinator answers agents as the contract in agent.proto says, over a real bus. It checks what it is told.
type coordinator struct {
	recfleetv1.UnimplementedAgentServiceServer
	t      *testing.T
	broker *bus.Broker
	client identity.Client

	mu       sync.Mutex
	sessions map[string]*told // by session id
	deaf     bool             // answers Unavailable
	stopFor  string
	refuse   string          // why no session is registered
	givenUp  map[string]bool // sessions whose books are closed
	notice   string          // what users are told
	lose     int32           // the bus loses this segment once, before it is looked at
}

// told is what agents said of a session.
type told struct {
	number   int // in the order in which they were started
	start    *recfleetv1.StartSessionRequest
	events   []*recfleetv1.Event
	receipts int
	end      *recfleetv1.EndSessionRequest
	idle     time.Duration // the longest that the user was said to have done nothing
}

func startCoordinator(t *testing.T) *coordinator {
	t.Helper()
	dir := t.TempDir()
	authority, err := identity.OpenAuthority(dir + "/identity")
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.ServerCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	trust, err := bus.OpenTrust(dir + "/trust")
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13}
	server, err := embedded.Start(embedded.Config{
		Dir: dir + "/js", Host: "127.0.0.1", Trust: trust, StoreBytes: 256 << 20, Logger: hclog.NewNullLogger(), TLS: config,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Shutdown)
	broker, err := bus.DialBroker(t.Context(), bus.BrokerConfig{
		Trust: trust, URLs: []string{server.URL()}, CA: authority.CACertificate(), Embedded: server, Logger: hclog.NewNullLogger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &coordinator{t: t, broker: broker, sessions: make(map[string]*told),
		client: identity.Client{Address: listener.Addr().String(), CACertificate: authority.CACertificate(), Token: "token"}}
	g := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)), grpc.UnaryInterceptor(c.intercept))
	recfleetv1.RegisterAgentServiceServer(g, c)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = g.Serve(listener)
	}()
	t.Cleanup(func() {
		g.Stop()
		<-served
	})
	return c
}

func (c *coordinator) intercept(ctx context.Context, q any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
	c.mu.Lock()
	deaf := c.deaf
	c.mu.Unlock()
	if deaf {
		return nil, status.Error(codes.Unavailable, "away")
	}
	return next(ctx, q)
}

func (c *coordinator) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// all returns what was told of every session, the earliest first.
func (c *coordinator) all() []told {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []told
	for _, s := range c.sessions {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b told) int { // what continues a session of which nothing came may begin when that did
		return cmp.Or(a.start.GetStartTime().AsTime().Compare(b.start.GetStartTime().AsTime()), a.number-b.number)
	})
	return out
}

func (c *coordinator) grant(key, session string) *recfleetv1.BusGrant {
	g, err := c.broker.GrantAgent(key, session)
	if err != nil {
		c.t.Error(err)
	}
	return g.Proto()
}

func (c *coordinator) StartSession(ctx context.Context, q *recfleetv1.StartSessionRequest) (*recfleetv1.StartSessionResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id := "s" + q.GetRequestId()
	if c.refuse != "" {
		return nil, status.Error(codes.FailedPrecondition, c.refuse)
	}
	if c.sessions[id] == nil {
		c.sessions[id] = &told{number: len(c.sessions), start: q}
	}
	if err := c.broker.CreateSession(ctx, id, 0); err != nil {
		return nil, err
	}
	return &recfleetv1.StartSessionResponse{
		SessionId: id, Bus: c.grant(q.GetBusPublicKey(), id),
		Settings: &recfleetv1.CaptureSettings{FrameRate: 5, SegmentLength: durationpb.New(2 * time.Second), ChunkBytes: 16 << 10, Notice: c.notice},
	}, nil
}

func (c *coordinator) session(id string) (*told, error) {
	if c.givenUp[id] {
		return nil, status.Errorf(codes.FailedPrecondition, "session %s has ended", id)
	}
	if s := c.sessions[id]; s != nil {
		return s, nil
	}
	return nil, status.Errorf(codes.NotFound, "no session %s", id)
}

func (c *coordinator) ReportEvents(_ context.Context, q *recfleetv1.ReportEventsRequest) (*recfleetv1.ReportEventsResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.session(q.GetSessionId())
	if err != nil {
		return nil, err
	}
	for _, e := range q.GetEvents() {
		switch n := int64(len(s.events)); {
		case e.GetNumber() > n+1:
			return nil, status.Errorf(codes.OutOfRange, "event %d after %d", e.GetNumber(), n)
		case e.GetNumber() == n+1:
			s.events = append(s.events, e)
		}
	}
	return &recfleetv1.ReportEventsResponse{AcknowledgedThrough: int64(len(s.events))}, nil
}

func (c *coordinator) Sync(ctx context.Context, q *recfleetv1.AgentServiceSyncRequest) (*recfleetv1.AgentServiceSyncResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.session(q.GetSessionId())
	if err != nil {
		return nil, err
	}
	s.idle = max(s.idle, q.GetUserIdle().AsDuration())
	a := &recfleetv1.AgentServiceSyncResponse{AcknowledgedThrough: int64(len(s.events)), NextSync: durationpb.New(200 * time.Millisecond)}
	for _, n := range q.GetAwaitingReceipt() {
		seal := s.seal(n)
		if seal == nil {
			continue
		}
		if n == c.lose {
			c.lose = 0
			if err := c.broker.PurgeSegment(ctx, q.GetSessionId(), int(n)); err != nil {
				return nil, err
			}
		}
		headers, err := c.broker.Headers(ctx, q.GetSessionId(), int(n))
		if err != nil {
			return nil, err
		}
		if len(headers) != int(seal.GetChunkCount()) {
			a.Missing = append(a.Missing, missing(n, int(seal.GetChunkCount()), seqs(headers)))
			continue
		}
		if last := headers[len(headers)-1]; !bytes.Equal(last.Chain[:], seal.GetChainEnd()) || last.Frames != seal.GetFrameCount() {
			c.t.Errorf("segment %d: the bus and the seal do not agree: %+v, %v", n, last, seal)
		}
		s.receipts++
		a.Receipts = append(a.Receipts, &recfleetv1.Receipt{Segment: n, ChunkCount: seal.GetChunkCount(), ChainEnd: seal.GetChainEnd()})
	}
	if q.GetRenewBus() {
		a.Bus = c.grant(q.GetBusPublicKey(), q.GetSessionId())
	}
	if c.stopFor != "" {
		a.Stop = &recfleetv1.StopOrder{Reason: c.stopFor}
	}
	return a, nil
}

func (s *told) seal(n int32) *recfleetv1.SegmentSealed {
	for _, e := range s.events {
		if g := e.GetSegmentSealed(); g.GetSegment() == n {
			return g
		}
	}
	return nil
}

func (c *coordinator) EndSession(_ context.Context, q *recfleetv1.EndSessionRequest) (*recfleetv1.EndSessionResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, err := c.session(q.GetSessionId())
	if err != nil {
		return nil, err
	}
	if q.GetLastEvent() != int64(len(s.events)) || s.end == nil && int(q.GetLastSegment()) != s.seals() {
		c.t.Errorf("end after %d events and %d seals: %v", len(s.events), s.seals(), q)
	}
	s.end = q
	return &recfleetv1.EndSessionResponse{}, nil
}

func (s *told) seals() int {
	n := 0
	for _, e := range s.events {
		if e.GetSegmentSealed() != nil {
			n++
		}
	}
	return n
}

// gaps lists the declared gaps but for those of a machine too busy to take pictures in time, as test machines may be.
func (s *told) gaps() string {
	var b strings.Builder
	for _, e := range s.events {
		if g := e.GetGapDeclared(); g != nil && g.GetCause() != "frames_late" {
			b.WriteString(g.GetCause() + " " + g.GetEndTime().AsTime().Sub(g.GetStartTime().AsTime()).String() + "; ")
		}
	}
	return b.String()
}
