// Package embedded runs a broker inside this process. It is apart from package bus so that agents do not carry a broker.
package embedded

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"

	"github.com/recfleet/recfleet/internal/bus"
)

// serverStart bounds how long the embedded broker may take to recover its streams: 2,000 of them take about 1.2 s.
const serverStart = time.Minute

// ErrListen means that the address cannot be listened on.
var ErrListen = errors.New("cannot listen")

// Config says how to run the broker.
type Config struct {
	// Dir is where streams are kept.
	Dir  string
	Host string
	// Port may be 0 for any free one.
	Port  int
	TLS   *tls.Config
	Trust *bus.Trust
	// StoreBytes bounds all streams together. It must be well below what the disk has free: a full store is an error for the
	// publisher at once, a full disk is silence.
	StoreBytes int64
	// SyncInterval is how long what was acknowledged may not be on the disk yet; 0, as it should be, means never. A coordinator
	// refuses any other unless it is told to accept an unsafe broker.
	SyncInterval time.Duration
	Logger       hclog.Logger
}

// Server is an embedded broker. It acknowledges only what is on its disk, unless it was told otherwise.
type Server struct{ server *server.Server }

// Start starts a broker and blocks until it serves. ErrListen where its address cannot be had.
func Start(cfg Config) (*Server, error) {
	// The server says that it cannot listen only in its log; ask beforehand.
	if err := listens(cfg.Host, cfg.Port); err != nil {
		return nil, fmt.Errorf("start broker: %w: %w", ErrListen, err)
	}
	operator, _, err := cfg.Trust.Operator()
	if err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	accounts, err := cfg.Trust.Accounts()
	if err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	resolver := &server.MemAccResolver{}
	for key, encoded := range accounts {
		if err := resolver.Store(key, encoded); err != nil {
			return nil, fmt.Errorf("start broker: %w", err)
		}
	}
	port := cfg.Port
	if port == 0 {
		port = server.RANDOM_PORT
	}
	s, err := server.NewServer(&server.Options{
		ServerName: "recfleet", Host: cfg.Host, Port: port,
		JetStream: true, StoreDir: cfg.Dir, JetStreamMaxStore: cfg.StoreBytes, DisableJetStreamBanner: true,
		// What its configuration file calls "sync_interval: always"; the interval is then of no account, but must not be zero.
		SyncAlways: cfg.SyncInterval == 0, SyncInterval: cmp.Or(cfg.SyncInterval, 2*time.Minute),
		MaxPayload: 1 << 20,
		TLS:        true, TLSConfig: cfg.TLS, TLSTimeout: 5, TLSHandshakeFirst: true,
		TrustedOperators: []*jwt.OperatorClaims{operator}, SystemAccount: cfg.Trust.SystemAccount(), AccountResolver: resolver,
		NoSigs: true,
	})
	if err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	s.SetLoggerV2(serverLog{cfg.Logger}, cfg.Logger.IsTrace(), false, false)
	s.Start()
	if !s.ReadyForConnections(serverStart) {
		s.Shutdown()
		s.WaitForShutdown()
		return nil, errors.New("start broker: it does not serve")
	}
	return &Server{s}, nil
}

func listens(host string, port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return err
	}
	return l.Close()
}

// InProcessConn returns a connection that does not leave this process; it makes a Server a nats.InProcessConnProvider.
func (s *Server) InProcessConn() (net.Conn, error) { return s.server.InProcessConn() }

// URL returns where clients reach the server.
func (s *Server) URL() string { return "tls://" + s.server.Addr().String() }

// URLFor returns where clients reach the server under another name of its host.
func (s *Server) URLFor(host string) string {
	_, port, err := net.SplitHostPort(s.server.Addr().String())
	if err != nil {
		return s.URL()
	}
	return "tls://" + net.JoinHostPort(host, port)
}

// Port returns the port that the server listens on.
func (s *Server) Port() int {
	if a, ok := s.server.Addr().(*net.TCPAddr); ok {
		return a.Port
	}
	return 0
}

// Shutdown stops the server and blocks until its streams are closed.
func (s *Server) Shutdown() {
	s.server.Shutdown()
	s.server.WaitForShutdown()
}

// serverLog passes the broker's messages on. Its notices are about itself, not about sessions, so they are debug here.
type serverLog struct{ logger hclog.Logger }

func (l serverLog) say(level hclog.Level, format string, args []any) {
	l.logger.Log(level, "broker said", "text", strings.TrimSpace(fmt.Sprintf(format, args...)))
}

func (l serverLog) Noticef(format string, args ...any) { l.say(hclog.Debug, format, args) }

// Warnf leaves out that the broker speaks TLS from the first byte, as is meant: that is nothing to warn of at every start.
func (l serverLog) Warnf(format string, args ...any) {
	level := hclog.Warn
	if strings.Contains(format, "TLS Handshake First") {
		level = hclog.Debug
	}
	l.say(level, format, args)
}

func (l serverLog) Fatalf(format string, args ...any) { l.say(hclog.Error, format, args) }
func (l serverLog) Errorf(format string, args ...any) { l.say(hclog.Error, format, args) }
func (l serverLog) Debugf(format string, args ...any) { l.say(hclog.Trace, format, args) }
func (l serverLog) Tracef(format string, args ...any) { l.say(hclog.Trace, format, args) }
