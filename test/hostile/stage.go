package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/nats-io/nkeys"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/deploy/standalone"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/identity"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// stage is where it happens.
type stage struct {
	admin    identity.Client
	conn     *grpc.ClientConn // the administrator's
	attacker *agent
	victim   *victim
	referee  *bus.Broker // sees what the bus has
}

// within runs f on a stage, and takes it down again.
func within(ctx context.Context, logger hclog.Logger, f func(context.Context, *stage) error) (err error) {
	dir, err := os.MkdirTemp("", "hostile-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	ready, served := make(chan string, 1), make(chan error, 1)
	go func() {
		served <- standalone.Run(serving, standalone.Config{
			DataDir: dir, Listen: "127.0.0.1:0", Slots: 1, RequireEnrollment: true, SegmentLength: time.Minute, Logger: logger,
			Ready: func(address string) { ready <- address },
		})
	}()
	defer func() {
		stop()
		err = errors.Join(err, <-served)
	}()
	select {
	case <-ready:
	case err := <-served:
		served <- nil
		return fmt.Errorf("start the servers: %w", err)
	case <-ctx.Done():
		return ctx.Err()
	}
	s := &stage{}
	if s.admin, err = identity.LoadClient(filepath.Join(dir, "client.json")); err != nil {
		return err
	}
	if s.conn, err = s.admin.Dial(); err != nil {
		return err
	}
	defer s.conn.Close()
	token, err := s.enrollment(ctx)
	if err != nil {
		return err
	}
	if s.attacker, err = s.join(ctx, token, "attacker"); err != nil {
		return err
	}
	defer s.attacker.close()
	honest, err := s.join(ctx, token, "victim")
	if err != nil {
		return err
	}
	defer honest.close()
	trust, err := bus.OpenTrust(filepath.Join(dir, "bus"))
	if err != nil {
		return err
	}
	s.referee, err = bus.DialBroker(ctx, bus.BrokerConfig{Trust: trust, URLs: honest.grant.URLs, CA: honest.grant.CA, Logger: logger})
	if err != nil {
		return err
	}
	defer s.referee.Close()
	if s.victim, err = newVictim(ctx, honest, s.referee, s.conn); err != nil {
		return err
	}
	defer s.victim.close()
	return f(ctx, s)
}

func (s *stage) enrollment(ctx context.Context) (string, error) {
	made, err := recfleetv1.NewEnrollmentServiceClient(s.conn).CreateEnrollment(ctx, &recfleetv1.CreateEnrollmentRequest{
		Stacks: []string{"stage"}, ExpireTime: timestamppb.New(time.Now().Add(time.Hour)), MaxUses: 2,
	})
	return made.GetToken(), err
}

// agent has joined and has begun a session.
type agent struct {
	name, id, token string
	client          identity.Client
	key             ed25519.PrivateKey
	certificate     []byte
	conn            *grpc.ClientConn
	busKey          *bus.Key      // the honest agent's
	pair            nkeys.KeyPair // the other's
	session         string
	grant           bus.Grant
}

func (a *agent) close() { _ = a.conn.Close() }

func (a *agent) rpc() recfleetv1.AgentServiceClient { return recfleetv1.NewAgentServiceClient(a.conn) }

// join does what the agent's program does.
func (s *stage) join(ctx context.Context, token, name string) (*agent, error) {
	a := &agent{name: name, token: token, client: identity.Client{Address: s.admin.Address, CACertificate: s.admin.CACertificate}}
	anyone, err := a.client.DialAnonymous()
	if err != nil {
		return nil, err
	}
	defer anyone.Close()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	a.key = private
	rpc := recfleetv1.NewEnrollmentServiceClient(anyone)
	begun, err := rpc.BeginEnroll(ctx, &recfleetv1.BeginEnrollRequest{})
	if err != nil {
		return nil, err
	}
	joined, err := rpc.Enroll(ctx, &recfleetv1.EnrollRequest{
		Token: token, Nonce: begun.GetNonce(), PublicKey: public, Machine: name,
		Signature: ed25519.Sign(private, identity.EnrollProof(begun.GetNonce(), public, name)),
	})
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	a.id, a.certificate = joined.GetAgentId(), joined.GetCertificate()
	if a.conn, err = a.client.DialCertificate(tls.Certificate{Certificate: [][]byte{a.certificate}, PrivateKey: private}); err != nil {
		return nil, err
	}
	if a.busKey, err = bus.NewKey(); err != nil {
		return nil, err
	}
	if a.pair, err = nkeys.CreateUser(); err != nil {
		return nil, err
	}
	busKey := a.busKey.Public()
	if name == "attacker" {
		if busKey, err = a.pair.PublicKey(); err != nil {
			return nil, err
		}
	}
	began, err := a.rpc().StartSession(ctx, startOf(busKey))
	if err != nil {
		return nil, fmt.Errorf("start session: %w", err)
	}
	a.session, a.grant = began.GetSessionId(), bus.GrantFromProto(began.GetBus())
	return a, nil
}

func startOf(busKey string) *recfleetv1.StartSessionRequest {
	return &recfleetv1.StartSessionRequest{
		RequestId: strings.ToLower(rand.Text()), User: "ann", Stack: "stage", Fleet: "f", Instance: "i", StartTime: timestamppb.Now(),
		Geometry: &recfleetv1.Geometry{Width: 640, Height: 480}, BusPublicKey: busKey, AgentVersion: "hostile",
	}
}
