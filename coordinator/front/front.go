// Package front serves machines and people on one TLS port.
//
// After the handshake a connection goes to gRPC or to HTTP by what the client offered: a gRPC client offers nothing but
// h2, a browser offers http/1.1 as well. Nothing is sniffed and gRPC keeps its own transport.
package front

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/recfleet/recfleet/coordinator/shield"
)

const (
	handshakeTimeout = 10 * time.Second
	drainTimeout     = 15 * time.Second
	// maxHandshakes bounds the connections that are not through their handshake, handshakesEach those of one address: whoever
	// opens many and says nothing holds up nobody else.
	maxHandshakes, handshakesEach = 1024, 512
	// maxPeople bounds the connections of browsers, peopleEach those of one address.
	maxPeople, peopleEach = 2048, 256
	// maxRequests bounds what a browser asks for at once over one connection.
	maxRequests = 100
)

// Config is what Serve needs.
type Config struct {
	// Listener gives plain connections; Serve closes it.
	Listener net.Listener
	// TLS has the certificates. What it says of protocols is replaced.
	TLS *tls.Config
	// Machines, where it is set, is the authority of the certificates that machines may show. One that is not good ends the
	// connection in its handshake.
	Machines *x509.CertPool
	// GRPC must be made with Credentials.
	GRPC *grpc.Server
	Web  http.Handler
	// Ready, where it is set, is called once connections are served.
	Ready  func()
	Logger hclog.Logger
}

// Serve serves until ctx is done, then takes no more connections, lets calls under way end for a while, and returns nil.
func Serve(ctx context.Context, cfg Config) error {
	web := &http.Server{
		Handler: cfg.Web, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
		ErrorLog: log.New(complaints{cfg.Logger}, "", 0), Protocols: new(http.Protocols),
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: maxRequests, SendPingTimeout: time.Minute, WriteByteTimeout: time.Minute},
	}
	web.Protocols.SetHTTP1(true)
	web.Protocols.SetHTTP2(true)
	s := &split{
		cfg: cfg, tls: protocols(cfg), machines: newQueue(cfg.Listener.Addr()), people: newQueue(cfg.Listener.Addr()),
		shaking: newCount(maxHandshakes, handshakesEach), visiting: newCount(maxPeople, peopleEach),
	}

	serving, stop := context.WithCancel(ctx)
	defer stop()
	var group errgroup.Group
	ended := func(what string, err error) error {
		stop() // one part cannot go on without the others
		if err != nil && ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("serve %s: %w", what, err)
		}
		return nil
	}
	group.Go(func() error { return ended("connections", s.accept(serving)) })
	group.Go(func() error { return ended("grpc", cfg.GRPC.Serve(s.machines)) })
	group.Go(func() error { return ended("http", web.Serve(s.people)) })
	group.Go(func() error {
		<-serving.Done()
		_ = cfg.Listener.Close() // accept says what is wrong with it
		drain(cfg.GRPC, web)
		return nil
	})
	if cfg.Ready != nil {
		cfg.Ready()
	}
	return group.Wait()
}

// drain lets calls and requests under way end.
func drain(machines *grpc.Server, people *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
	defer cancel()
	var both sync.WaitGroup
	both.Go(func() {
		defer context.AfterFunc(ctx, machines.Stop)()
		machines.GracefulStop()
	})
	both.Go(func() {
		if people.Shutdown(ctx) != nil {
			_ = people.Close()
		}
	})
	both.Wait()
}

// split hands connections out.
type split struct {
	cfg              Config
	tls              *tls.Config // see protocols
	machines, people *queue
	// shaking are the connections in their handshake, visiting those of browsers.
	shaking, visiting *count
}

// accept takes connections until the listener is closed; then those in their handshake are waited for.
func (s *split) accept(ctx context.Context) error {
	var handshakes errgroup.Group
	handshakes.SetLimit(maxHandshakes)
	defer func() {
		_ = handshakes.Wait() // they return nothing
		_ = s.machines.Close()
		_ = s.people.Close()
	}()
	for {
		conn, err := s.cfg.Listener.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			var temporary net.Error
			if errors.As(err, &temporary) && temporary.Timeout() {
				continue
			}
			return err
		}
		from := shield.Network(conn.RemoteAddr().String())
		if !s.shaking.take(from) {
			s.cfg.Logger.Debug("handshake was refused, its address has too many", "peer", conn.RemoteAddr().String())
			_ = conn.Close()
			continue
		}
		handshakes.Go(func() error {
			defer s.shaking.give(from)
			s.handshake(ctx, &counted{Conn: conn}, from)
			return nil
		})
	}
}

// protocols returns how TLS is spoken: one for all connections, because each keeps what it was made with for as long as it lasts. No
// handshake goes on from an earlier one: who may connect is asked anew each time.
func protocols(from Config) *tls.Config {
	cfg := from.TLS.Clone()
	cfg.NextProtos = []string{"h2", "http/1.1"}
	cfg.MinVersion = tls.VersionTLS13
	cfg.SessionTicketsDisabled = true
	machines := cfg.Clone()
	if from.Machines != nil {
		machines.ClientAuth, machines.ClientCAs = tls.VerifyClientCertIfGiven, from.Machines
	}
	cfg.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		conn, ours := hello.Conn.(*counted)
		if !ours || !slices.Equal(hello.SupportedProtos, []string{"h2"}) {
			return nil, nil
		}
		conn.machine = true
		return machines, nil
	}
	return cfg
}

func (s *split) handshake(ctx context.Context, plain *counted, from string) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	conn := tls.Server(plain, s.tls)
	if err := conn.HandshakeContext(ctx); err != nil {
		s.cfg.Logger.Debug("handshake was not finished", "peer", plain.RemoteAddr().String(), "error", err)
		_ = plain.Close()
		return
	}
	to := s.machines
	if !plain.machine {
		to = s.people
		if !s.visiting.take(from) {
			s.cfg.Logger.Debug("connection was refused, its address has too many", "peer", plain.RemoteAddr().String())
			_ = plain.Close()
			return
		}
		plain.closed = func() { s.visiting.give(from) }
	}
	to.put(conn)
}

// queue is a listener that is filled by hand.
type queue struct {
	addr   net.Addr
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newQueue(addr net.Addr) *queue {
	return &queue{addr: addr, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// put hands a connection over, or closes it where nobody takes it any more.
func (q *queue) put(conn net.Conn) {
	select {
	case q.conns <- conn:
	case <-q.closed:
		_ = conn.Close()
	}
}

// Accept returns the next connection.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case conn := <-q.conns:
		return conn, nil
	case <-q.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept; it may be called twice.
func (q *queue) Close() error {
	q.once.Do(func() { close(q.closed) })
	return nil
}

// Addr returns the address of the real listener.
func (q *queue) Addr() net.Addr { return q.addr }

// complaints logs what net/http says of single connections.
type complaints struct{ logger hclog.Logger }

func (c complaints) Write(b []byte) (int, error) {
	c.logger.Debug("http server said", "text", strings.Join(strings.Fields(string(b)), " ")) // one line, whatever a client sent
	return len(b), nil
}

// Credentials are for a gRPC server whose connections are through their TLS handshake when it gets them.
func Credentials() credentials.TransportCredentials { return done{} }

type done struct{}

var errNotTLS = errors.New("connection is not TLS")

// ServerHandshake passes the connection on as it is.
func (done) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	secured, ok := conn.(*tls.Conn)
	if !ok || !secured.ConnectionState().HandshakeComplete {
		return nil, nil, errNotTLS
	}
	return conn, credentials.TLSInfo{
		State: secured.ConnectionState(), CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
	}, nil
}

// ClientHandshake refuses: this side only serves.
func (done) ClientHandshake(context.Context, string, net.Conn) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errNotTLS
}

// Info names the protocol.
func (done) Info() credentials.ProtocolInfo { return credentials.ProtocolInfo{SecurityProtocol: "tls"} }

// Clone returns the same: it holds nothing.
func (d done) Clone() credentials.TransportCredentials { return d }

// OverrideServerName does nothing.
func (done) OverrideServerName(string) error { return nil }
