// Package enroll makes an agent known to the coordinator by a key of its own.
//
// In comes a token for joining, or an identity of AWS; out go connections that show a certificate for the key. What always
// holds: the key is made on the machine that uses it, never leaves it, and is not used on another one; a call is not made before
// there is a certificate; certificates are renewed at two thirds of their time, and connections with them.
package enroll

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/internal/identity"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

const (
	callTimeout = 10 * time.Second
	minBackoff  = 200 * time.Millisecond
	maxBackoff  = 15 * time.Second
	// drainTime is how long calls may go on over a connection whose certificate was renewed.
	drainTime = 30 * time.Second
)

// Signer signs a request to STS's GetCallerIdentity, bound to a nonce and a key, without sending it.
type Signer interface {
	Sign(ctx context.Context, nonce string, key ed25519.PublicKey) (*recfleetv1.AwsCallerIdentity, error)
}

// Config says where to join and who as.
type Config struct {
	// Coordinator has a token for joining.
	Coordinator identity.Client
	// Dir is where the key is kept.
	Dir string
	// Machine is what tells this machine from others.
	Machine string
	// AWS signs where the token is for identities of AWS.
	AWS    Signer
	Logger hclog.Logger
}

// Link is a connection to the coordinator that shows who the agent is. Its calls wait until there is a certificate, or until it is
// certain that there will be none.
type Link struct {
	cfg   Config
	clock clock
	key   key
	ready chan struct{} // closed once there was a certificate, or err is set
	once  sync.Once
	err   error // final

	mu   sync.Mutex
	conn *grpc.ClientConn
}

// Open opens the key and makes one where there is none; it reaches nobody. To be called once for a Dir.
func Open(cfg Config) (*Link, error) {
	k, why, err := openKey(cfg.Dir, cfg.Machine)
	if err != nil {
		return nil, err
	}
	if why != "" {
		cfg.Logger.Info("agent key made", "reason", why)
	}
	return &Link{cfg: cfg, clock: realClock(), key: k, ready: make(chan struct{})}, nil
}

// Invoke makes a call.
func (l *Link) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	conn, err := l.current(ctx)
	if err != nil {
		return err
	}
	return conn.Invoke(ctx, method, args, reply, opts...)
}

// NewStream begins a stream.
func (l *Link) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	conn, err := l.current(ctx)
	if err != nil {
		return nil, err
	}
	return conn.NewStream(ctx, desc, method, opts...)
}

func (l *Link) current(ctx context.Context) (*grpc.ClientConn, error) {
	select {
	case <-l.ready:
	case <-ctx.Done():
		return nil, status.Error(codes.Unavailable, "the agent is not enrolled yet")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conn == nil {
		return nil, status.Error(codes.Unauthenticated, l.err.Error())
	}
	return l.conn, nil
}

// Run joins, renews, and blocks until ctx is done; then its connections are closed. To be called once.
func (l *Link) Run(ctx context.Context) {
	var draining sync.WaitGroup
	defer draining.Wait()
	defer l.settle(errors.New("the agent ends"))
	defer func() {
		if old := l.swap(nil); old != nil {
			_ = old.Close()
		}
	}()
	conn, err := l.cfg.Coordinator.DialAnonymous()
	if err != nil {
		l.settle(err)
		return
	}
	defer func() { _ = conn.Close() }()
	client := recfleetv1.NewEnrollmentServiceClient(conn)
	for backoff := minBackoff; ; {
		der, life, err := l.certificate(ctx, client)
		if err == nil {
			err = l.show(ctx, der, &draining)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			backoff = minBackoff
			l.settle(nil)
			if !l.clock.pause(ctx, life*2/3) {
				return
			}
			continue
		case errors.Is(err, errFinal):
			// What was begun may go on while its certificate lasts.
			l.cfg.Logger.Error("agent was not admitted", "error", err)
			l.settle(err)
		default:
			l.cfg.Logger.Warn("agent is not enrolled", "error", err)
		}
		if !l.clock.pause(ctx, backoff) {
			return
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// settle lets calls be made, or says that none can; the first one holds until there is a certificate.
func (l *Link) settle(err error) {
	l.once.Do(func() {
		l.err = err
		close(l.ready)
	})
}

func (l *Link) swap(conn *grpc.ClientConn) (old *grpc.ClientConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	old, l.conn = l.conn, conn
	return old
}

// show has calls from now on go over a connection with a certificate, and lets those under way end.
func (l *Link) show(ctx context.Context, der []byte, draining *sync.WaitGroup) error {
	conn, err := l.cfg.Coordinator.DialCertificate(tls.Certificate{Certificate: [][]byte{der}, PrivateKey: l.key.private})
	if err != nil {
		return err
	}
	conn.Connect()
	old := l.swap(conn)
	if old == nil {
		return nil
	}
	draining.Go(func() {
		wait(ctx, drainTime)
		_ = old.Close()
	})
	return nil
}

// errFinal says that asking again in the same way is of no use.
var errFinal = errors.New("refused by the coordinator")

// certificate has the key enrolled, or renewed where it was.
func (l *Link) certificate(ctx context.Context, client recfleetv1.EnrollmentServiceClient) (der []byte, life time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if l.key.agent != "" {
		der, life, err = l.renew(ctx, client)
		if status.Code(err) != codes.NotFound {
			return der, life, l.final(err)
		}
		// The coordinator has forgotten this agent, as after a restored backup.
		l.cfg.Logger.Warn("agent is not known any more", "agent_id", l.key.agent)
		if l.key, err = newKey(l.key.path, l.key.machine); err != nil {
			return nil, 0, err
		}
	}
	der, life, err = l.enroll(ctx, client)
	return der, life, l.final(err)
}

func (l *Link) enroll(ctx context.Context, client recfleetv1.EnrollmentServiceClient) ([]byte, time.Duration, error) {
	begun, err := client.BeginEnroll(ctx, &recfleetv1.BeginEnrollRequest{})
	if err != nil {
		return nil, 0, err
	}
	request := &recfleetv1.EnrollRequest{
		Token: l.cfg.Coordinator.Token, Nonce: begun.GetNonce(), PublicKey: l.key.public(), Machine: l.key.machine,
		Signature: ed25519.Sign(l.key.private, identity.EnrollProof(begun.GetNonce(), l.key.public(), l.key.machine)),
	}
	if identity.IsAWSEnrollment(request.GetToken()) {
		if request.Aws, err = l.cfg.AWS.Sign(ctx, begun.GetNonce(), l.key.public()); err != nil {
			return nil, 0, fmt.Errorf("sign for AWS: %w", err)
		}
	}
	answer, err := client.Enroll(ctx, request)
	if err != nil {
		return nil, 0, err
	}
	l.key.agent = answer.GetAgentId()
	l.cfg.Logger.Info("agent enrolled", "agent_id", l.key.agent)
	return answer.GetCertificate(), answer.GetLifetime().AsDuration(), l.key.save()
}

func (l *Link) renew(ctx context.Context, client recfleetv1.EnrollmentServiceClient) ([]byte, time.Duration, error) {
	begun, err := client.BeginEnroll(ctx, &recfleetv1.BeginEnrollRequest{})
	if err != nil {
		return nil, 0, err
	}
	answer, err := client.RenewCertificate(ctx, &recfleetv1.RenewCertificateRequest{
		AgentId: l.key.agent, Nonce: begun.GetNonce(), Machine: l.key.machine,
		Signature: ed25519.Sign(l.key.private, identity.RenewProof(begun.GetNonce(), l.key.agent, l.key.machine)),
	})
	if err != nil {
		return nil, 0, err
	}
	l.cfg.Logger.Debug("certificate renewed", "agent_id", l.key.agent)
	return answer.GetCertificate(), answer.GetLifetime().AsDuration(), nil
}

// final tells what asking again will not change, and says what will.
func (l *Link) final(err error) error {
	switch code := status.Code(err); {
	case code == codes.PermissionDenied && l.key.agent != "":
		return fmt.Errorf("%w: %w; to have this machine join anew remove %s and start the agent with the token of an open enrollment", errFinal, err, l.key.path)
	case code == codes.PermissionDenied:
		return fmt.Errorf("%w: %w; start the agent with the token of an open enrollment", errFinal, err)
	case code == codes.InvalidArgument, code == codes.Unimplemented:
		return fmt.Errorf("%w: %w", errFinal, err)
	}
	return err
}
