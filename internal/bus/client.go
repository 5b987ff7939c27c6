// Package bus is the one door to NATS JetStream: chunks go in through a Publisher and come out through a Reader, and the
// coordinator rules over streams, rights and the broker itself through a Broker.
//
// Each live session has a stream of its own and each chunk a subject of its own, of which the stream takes one message and
// refuses a second: publishing twice does nothing, without the broker's duplicates window and without message ids, whose
// deduplication would reach across sessions. What a chunk is stands in its headers, so that the coordinator sees all but
// pixels.
package bus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/nats-io/nats.go"
)

var (
	// ErrFull is an answer of the broker that has no room; keep the chunk and try later.
	ErrFull = errors.New("the bus is full")
	// ErrRefused is an answer of the broker that the right does not cover what was asked.
	ErrRefused = errors.New("refused by the bus")
	// ErrChunkMissing means that the bus does not hold a chunk.
	ErrChunkMissing = errors.New("chunk is not on the bus")
	// ErrMalformed means that a message on a chunk's subject is no chunk.
	ErrMalformed = errors.New("not a chunk")
	// ErrKey means that a public key is none.
	ErrKey = errors.New("not a bus user's public key")
)

// requestTimeout bounds one exchange with the broker: a failover was measured to take up to 3.3 s.
const requestTimeout = 5 * time.Second

// ClientConfig is what an agent or an encoder needs to reach the bus.
type ClientConfig struct {
	Key    *Key
	Grant  Grant
	Logger hclog.Logger
}

// client is a connection under a grant that can be renewed.
type client struct {
	conn  *nats.Conn
	grant atomic.Pointer[Grant]
	// refused counts the broker's complaints about rights, which come apart from the request that caused them.
	refused atomic.Int64
}

func dialClient(cfg ClientConfig) (*client, error) {
	c := &client{}
	c.grant.Store(&cfg.Grant)
	tlsConfig, err := clientTLS(cfg.Grant.CA)
	if err != nil {
		return nil, err
	}
	c.conn, err = nats.Connect(joinURLs(cfg.Grant.URLs), append(connectOptions(cfg.Logger, tlsConfig),
		nats.UserJWT(
			func() (string, error) { return c.grant.Load().JWT, nil },
			func(nonce []byte) ([]byte, error) { return cfg.Key.pair.Sign(nonce) },
		),
		nats.CustomInboxPrefix(cfg.Grant.InboxPrefix),
		// A right that has run out is renewed by whoever holds the client: never give up on the connection.
		nats.IgnoreAuthErrorAbort(),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) {
				c.refused.Add(1)
			}
			cfg.Logger.Warn("bus complained", "error", err)
		}),
	)...)
	if err != nil {
		return nil, fmt.Errorf("dial bus: %w", err)
	}
	return c, nil
}

// Renew puts a new grant in the place of the old one. It is shown at the next reconnect, which the broker forces when the
// old one runs out.
func (c *client) Renew(g Grant) { c.grant.Store(&g) }

// Close ends the connection; calls in flight fail.
func (c *client) Close() { c.conn.Close() }

// connectOptions are common to all connections: reconnect for ever, and no buffering of what could not be sent, so that a
// caller learns at once that it has to keep its data.
func connectOptions(logger hclog.Logger, tlsConfig *tls.Config) []nats.Option {
	return []nats.Option{
		nats.Secure(tlsConfig), nats.TLSHandshakeFirst(),
		nats.Timeout(requestTimeout),
		nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond), nats.ReconnectJitter(250*time.Millisecond, 500*time.Millisecond),
		nats.ReconnectBufSize(-1),
		nats.PingInterval(10 * time.Second), nats.MaxPingsOutstanding(2),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				logger.Warn("bus connection lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { logger.Info("bus connection restored") }),
	}
}

func clientTLS(ca string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS13}
	if ca != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			return nil, errors.New("dial bus: the CA certificate is not PEM")
		}
	}
	return config, nil
}
