package coordinator_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/coordinator"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/identity"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// machine is an instance that joins, by hand.
type machine struct {
	w      *world
	anyone *grpc.ClientConn
	key    ed25519.PrivateKey
	name   string
	id     string
	conn   *grpc.ClientConn
}

func newMachine(w *world, name string) *machine {
	w.t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	anyone, err := identity.Client{Address: w.address, CACertificate: w.authority.CACertificate()}.DialAnonymous()
	if err != nil {
		w.t.Fatal(err)
	}
	m := &machine{w: w, anyone: anyone, key: key, name: name}
	w.t.Cleanup(func() {
		_ = anyone.Close()
		if m.conn != nil {
			_ = m.conn.Close()
		}
	})
	return m
}

func (m *machine) rpc() recfleetv1.EnrollmentServiceClient {
	return recfleetv1.NewEnrollmentServiceClient(m.anyone)
}

func (m *machine) nonce() string {
	m.w.t.Helper()
	begun, err := m.rpc().BeginEnroll(m.w.t.Context(), &recfleetv1.BeginEnrollRequest{})
	if err != nil {
		m.w.t.Fatal(err)
	}
	return begun.GetNonce()
}

func (m *machine) request(token, nonce string) *recfleetv1.EnrollRequest {
	public := m.key.Public().(ed25519.PublicKey)
	return &recfleetv1.EnrollRequest{
		Token: token, Nonce: nonce, PublicKey: public, Machine: m.name, Signature: ed25519.Sign(m.key, identity.EnrollProof(nonce, public, m.name)),
	}
}

// join joins and connects with the certificate.
func (m *machine) join(token string) error {
	answer, err := m.rpc().Enroll(m.w.t.Context(), m.request(token, m.nonce()))
	if err != nil {
		return err
	}
	m.id = answer.GetAgentId()
	return m.connect(answer.GetCertificate())
}

func (m *machine) connect(der []byte) (err error) {
	m.conn, err = identity.Client{Address: m.w.address, CACertificate: m.w.authority.CACertificate()}.DialCertificate(
		tls.Certificate{Certificate: [][]byte{der}, PrivateKey: m.key})
	return err
}

func (m *machine) renew() (*recfleetv1.RenewCertificateResponse, error) {
	nonce := m.nonce()
	return m.rpc().RenewCertificate(m.w.t.Context(), &recfleetv1.RenewCertificateRequest{
		AgentId: m.id, Nonce: nonce, Machine: m.name, Signature: ed25519.Sign(m.key, identity.RenewProof(nonce, m.id, m.name)),
	})
}

// begin starts a session and connects to the bus.
func (m *machine) begin() (string, *bus.Publisher, error) {
	key, err := bus.NewKey()
	if err != nil {
		return "", nil, err
	}
	got, err := recfleetv1.NewAgentServiceClient(m.conn).StartSession(m.w.t.Context(), startRequest(key.Public(), time.Now()))
	if err != nil {
		return "", nil, err
	}
	p, err := bus.DialPublisher(m.w.t.Context(), bus.ClientConfig{Key: key, Grant: bus.GrantFromProto(got.GetBus()), Logger: hclog.NewNullLogger()})
	if err == nil {
		m.w.t.Cleanup(p.Close)
	}
	return got.GetSessionId(), p, err
}

func (m *machine) sync(session string) error {
	_, err := recfleetv1.NewAgentServiceClient(m.conn).Sync(m.w.t.Context(), &recfleetv1.AgentServiceSyncRequest{SessionId: session})
	return err
}

func (w *world) enrollment(change func(*recfleetv1.CreateEnrollmentRequest)) *recfleetv1.CreateEnrollmentResponse {
	w.t.Helper()
	r := &recfleetv1.CreateEnrollmentRequest{Stacks: []string{"s-*"}, ExpireTime: timestamppb.New(time.Now().Add(time.Hour))}
	if change != nil {
		change(r)
	}
	answer, err := recfleetv1.NewEnrollmentServiceClient(w.admin).CreateEnrollment(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer
}

func firstChunk(session string, segment int) chunk.Chunk {
	sum := chunk.Sum([]byte("x"))
	return chunk.Chunk{
		Session: session, Segment: segment, Epoch: 1, Sum: sum, Chain: chunk.Genesis(session).Next(sum), Frames: 1,
		Start: time.Now(), LastFrame: time.Now(), Width: 640, Height: 480, Bytes: 1, Payload: []byte("x"),
	}
}

func want(t *testing.T, what string, err error, codes ...codes.Code) {
	t.Helper()
	if !slices.Contains(codes, status.Code(err)) {
		t.Errorf("%s: %v, want %v", what, err, codes)
	}
}

func TestAMachineJoinsAndRecordsItsOwnSessionsOnly(t *testing.T) {
	w := newWorld(t, coordinator.Config{})
	token := w.enrollment(nil).GetToken()
	a, b := newMachine(w, "machine a"), newMachine(w, "machine b")
	for _, m := range []*machine{a, b} {
		if err := m.join(token); err != nil {
			t.Fatal(err)
		}
	}
	session, publisher, err := a.begin()
	if err != nil {
		t.Fatal(err)
	}
	if err := publisher.Publish(t.Context(), firstChunk(session, 1)); err != nil {
		t.Fatal(err)
	}
	want(t, "own session", a.sync(session), codes.OK)
	absent, others := b.sync("nothere"), b.sync(session)
	want(t, "another agent's session", others, codes.NotFound)
	if status.Code(absent) != status.Code(others) {
		t.Errorf("absent: %v, another's: %v", absent, others)
	}
	want(t, "an enrolled agent's session with the shared token", func() error {
		_, err := w.rpc().Sync(t.Context(), &recfleetv1.AgentServiceSyncRequest{SessionId: session})
		return err
	}(), codes.NotFound)
	_, err = recfleetv1.NewAgentServiceClient(b.conn).EndSession(t.Context(), &recfleetv1.EndSessionRequest{SessionId: session, EndTime: timestamppb.Now()})
	want(t, "the end of another agent's session", err, codes.NotFound)
	shared := newAgent(w)
	want(t, "a shared token's session", a.sync(shared.session), codes.NotFound)
	_, err = recfleetv1.NewSessionServiceClient(a.conn).ListSessions(t.Context(), &recfleetv1.ListSessionsRequest{})
	want(t, "what people do", err, codes.PermissionDenied)

	// The scope of the enrollment.
	request := startRequest("", time.Now())
	key, err := bus.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	request.BusPublicKey, request.Stack = key.Public(), "other"
	_, err = recfleetv1.NewAgentServiceClient(a.conn).StartSession(t.Context(), request)
	want(t, "another stack", err, codes.PermissionDenied)

	// One agent's request id, or its bus key, is nothing to another.
	request = startRequest(key.Public(), time.Now())
	first, err := recfleetv1.NewAgentServiceClient(a.conn).StartSession(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	_, err = recfleetv1.NewAgentServiceClient(b.conn).StartSession(t.Context(), request)
	want(t, "another agent's bus key", err, codes.InvalidArgument)
	if key, err = bus.NewKey(); err != nil {
		t.Fatal(err)
	}
	request.BusPublicKey = key.Public()
	second, err := recfleetv1.NewAgentServiceClient(b.conn).StartSession(t.Context(), request)
	if err != nil || second.GetSessionId() == first.GetSessionId() {
		t.Errorf("another agent's request id: %v, the same session: %t", err, second.GetSessionId() == first.GetSessionId())
	}
}

func TestWhoIsNotAdmitted(t *testing.T) {
	w := newWorld(t, coordinator.Config{})
	token := w.enrollment(func(r *recfleetv1.CreateEnrollmentRequest) { r.MaxUses = 1 }).GetToken()
	m := newMachine(w, "machine")
	enroll := func(change func(*recfleetv1.EnrollRequest)) error {
		r := m.request(token, m.nonce())
		change(r)
		_, err := m.rpc().Enroll(t.Context(), r)
		return err
	}
	want(t, "another token", enroll(func(r *recfleetv1.EnrollRequest) { r.Token = "rfj-x" }), codes.PermissionDenied)
	want(t, "the shared token", enroll(func(r *recfleetv1.EnrollRequest) { r.Token = w.tokens.Agent }), codes.PermissionDenied)
	want(t, "another machine's name", enroll(func(r *recfleetv1.EnrollRequest) { r.Machine = "other" }), codes.PermissionDenied)
	want(t, "a signature over another nonce", enroll(func(r *recfleetv1.EnrollRequest) { r.Nonce = m.nonce() }), codes.PermissionDenied)
	want(t, "a nonce of one's own", enroll(func(r *recfleetv1.EnrollRequest) { *r = *m.request(token, "AAAA") }), codes.FailedPrecondition)
	want(t, "no key", enroll(func(r *recfleetv1.EnrollRequest) { r.PublicKey = nil }), codes.InvalidArgument)
	used := m.request(token, m.nonce())
	for _, code := range []codes.Code{codes.OK, codes.FailedPrecondition} {
		_, err := m.rpc().Enroll(t.Context(), used)
		want(t, "a nonce that is used again", err, code)
	}
	if err := m.join(token); err != nil {
		t.Errorf("the same key again: %v", err)
	}
	other := newMachine(w, "other machine")
	want(t, "a token that is used up", other.join(token), codes.PermissionDenied)
	other.key = m.key
	want(t, "a key on another machine", other.join(w.enrollment(nil).GetToken()), codes.PermissionDenied)
	other.id = m.id
	_, err := other.renew()
	want(t, "renewal on another machine", err, codes.PermissionDenied)
	if _, err := m.renew(); err != nil {
		t.Error(err)
	}
	other = newMachine(w, "machine")
	other.id = m.id
	_, err = other.renew()
	want(t, "renewal with another key", err, codes.PermissionDenied)
	other.id = "nobody"
	_, err = other.renew()
	want(t, "renewal of nobody", err, codes.NotFound)
	want(t, "a certificate that was not signed here", func() error {
		strange, err := identity.OpenAuthority(t.TempDir())
		if err != nil {
			return err
		}
		der, err := strange.AgentCertificate(other.key.Public().(ed25519.PublicKey), m.id)
		if err != nil {
			return err
		}
		if err := other.connect(der); err != nil {
			return err
		}
		return other.sync("aaaa")
	}(), codes.Unavailable)
}

// What was revoked is over within a minute, on the bus and off it; others notice nothing.
func TestARevokedAgentIsCutOff(t *testing.T) {
	w := newWorld(t, coordinator.Config{})
	good, bad := w.enrollment(nil), w.enrollment(nil)
	a, b := newMachine(w, "machine a"), newMachine(w, "machine b")
	if err := errors.Join(a.join(good.GetToken()), b.join(bad.GetToken())); err != nil {
		t.Fatal(err)
	}
	sessionA, publisherA, err := a.begin()
	if err != nil {
		t.Fatal(err)
	}
	sessionB, publisherB, err := b.begin()
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range []struct {
		p       *bus.Publisher
		session string
	}{{publisherA, sessionA}, {publisherB, sessionB}} {
		if err := one.p.Publish(t.Context(), firstChunk(one.session, 1)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	lost := make(chan error, 1)
	go func() {
		var err error
		for segment := 2; ctx.Err() == nil && err == nil; segment++ {
			if err = publisherA.Publish(t.Context(), firstChunk(sessionA, segment)); err == nil {
				err = a.sync(sessionA)
			}
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
		lost <- err
	}()
	began := time.Now()
	revoked, err := recfleetv1.NewEnrollmentServiceClient(w.admin).RevokeEnrollment(t.Context(), &recfleetv1.RevokeEnrollmentRequest{EnrollmentId: bad.GetEnrollment().GetId()})
	if err != nil || revoked.GetEnrollment().GetRevokeTime() == nil {
		t.Fatal(revoked, err)
	}
	w.until("end of the revoked agent's calls", func() bool { return status.Code(b.sync(sessionB)) == codes.Unauthenticated })
	w.until("end of the revoked agent's publishing", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		return publisherB.Publish(ctx, firstChunk(sessionB, 99)) != nil
	})
	t.Logf("cut off after %v", time.Since(began))
	ctx2, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := publisherB.Publish(ctx2, firstChunk(sessionB, 100)); err == nil {
		t.Error("the bus takes a chunk of the revoked agent again")
	}
	_, err = b.renew()
	want(t, "renewal after it was revoked", err, codes.PermissionDenied)
	want(t, "joining again", b.join(bad.GetToken()), codes.PermissionDenied)
	stop()
	if err := <-lost; err != nil {
		t.Errorf("the other agent: %v", err)
	}
	counts, err := w.broker.Segments(t.Context(), sessionB)
	if err != nil || counts[100] != 0 {
		t.Errorf("the bus took %v of the revoked agent, %v", counts, err)
	}
}
