package enroll

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/recfleet/recfleet/internal/identity"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

const nonce = "nonce"

// server lets agents join by a clock that is not that of the machine.
type server struct {
	recfleetv1.UnimplementedEnrollmentServiceServer
	now  func() time.Time
	tls  *tls.Config
	pem  string
	addr string
	ca   *x509.Certificate
	key  ed25519.PrivateKey
	run  *grpc.Server

	mu       sync.Mutex
	refused  bool
	agents   map[string]ed25519.PublicKey
	joined   int
	asked    []time.Time // for another certificate
	renewed  []time.Time
	shownEnd time.Time // of the certificate that was shown last
}

func newServer(t *testing.T, now func() time.Time) *server {
	t.Helper()
	s := &server{now: now, agents: map[string]ed25519.PublicKey{}}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s.key = private
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	if s.ca, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(s.ca)
	s.pem = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	s.tls = &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}, Time: now,
		ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool, MinVersion: tls.VersionTLS13,
	}
	s.addr = "127.0.0.1:0"
	s.start(t)
	t.Cleanup(func() { s.run.Stop() })
	return s
}

// start serves, at the same address again.
func (s *server) start(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	s.run = grpc.NewServer(grpc.Creds(credentials.NewTLS(s.tls)))
	recfleetv1.RegisterEnrollmentServiceServer(s.run, s)
	go func() { _ = s.run.Serve(l) }() // until Stop, which waits for it
}

func (s *server) set(refused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = refused
}

func (s *server) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.agents)
}

// counts are how many agents have joined, and how often another certificate was asked for and given.
func (s *server) counts() (joined, asked, renewed int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.joined, len(s.asked), len(s.renewed)
}

func (s *server) BeginEnroll(ctx context.Context, _ *recfleetv1.BeginEnrollRequest) (*recfleetv1.BeginEnrollResponse, error) {
	from, _ := peer.FromContext(ctx)
	if info, ok := from.AuthInfo.(credentials.TLSInfo); ok && len(info.State.PeerCertificates) > 0 {
		s.mu.Lock()
		s.shownEnd = info.State.PeerCertificates[0].NotAfter
		s.mu.Unlock()
	}
	return &recfleetv1.BeginEnrollResponse{Nonce: nonce}, nil
}

func (s *server) Enroll(_ context.Context, r *recfleetv1.EnrollRequest) (*recfleetv1.EnrollResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused || !ed25519.Verify(r.GetPublicKey(), identity.EnrollProof(nonce, r.GetPublicKey(), r.GetMachine()), r.GetSignature()) {
		return nil, status.Error(codes.PermissionDenied, "not admitted")
	}
	s.joined++
	id := identity.NewAgentID()
	s.agents[id] = r.GetPublicKey()
	der, err := s.certificate(id)
	return &recfleetv1.EnrollResponse{AgentId: id, Certificate: der, Lifetime: durationpb.New(identity.AgentCertificateLife)}, err
}

func (s *server) RenewCertificate(_ context.Context, r *recfleetv1.RenewCertificateRequest) (*recfleetv1.RenewCertificateResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, s.now())
	key, ok := s.agents[r.GetAgentId()]
	switch {
	case !ok:
		return nil, status.Error(codes.NotFound, "no such agent")
	case s.refused || !ed25519.Verify(key, identity.RenewProof(nonce, r.GetAgentId(), r.GetMachine()), r.GetSignature()):
		return nil, status.Error(codes.PermissionDenied, "not admitted")
	}
	s.renewed = append(s.renewed, s.now())
	der, err := s.certificate(r.GetAgentId())
	return &recfleetv1.RenewCertificateResponse{Certificate: der, Lifetime: durationpb.New(identity.AgentCertificateLife)}, err
}

func (s *server) certificate(id string) ([]byte, error) {
	return x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: s.now().Add(-time.Minute), NotAfter: s.now().Add(identity.AgentCertificateLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		URIs: []*url.URL{{Scheme: "recfleet", Host: "agent", Path: "/" + id}},
	}, s.ca, s.agents[id], s.key)
}
