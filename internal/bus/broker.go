package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/recfleet/recfleet/internal/chunk"
)

const (
	grantLife = time.Hour
	// sessionChunks bounds a session's backlog on the bus: a day at one chunk a second, with room. A limit in bytes would be
	// reserved for each stream in advance and let only a few sessions live.
	sessionChunks = 128 << 10
	// headersAtOnce bounds how many headers one request fetches.
	headersAtOnce = 4096
)

// BrokerConfig says how the coordinator reaches the bus and what it tells others about it.
type BrokerConfig struct {
	Trust *Trust
	// URLs are the servers, for the coordinator and in grants.
	URLs []string
	// CA is the PEM of the authority that signed the servers' certificates; empty for the system's.
	CA string
	// Embedded, where it is set, is the broker in this process; the URLs then only go into grants.
	Embedded nats.InProcessConnProvider
	// Replicas is how many servers keep each stream; 0 means 1.
	Replicas int
	Logger   hclog.Logger
}

// Broker is the coordinator's hold on the bus: streams, what lies in them, rights.
type Broker struct {
	cfg  BrokerConfig
	conn *nats.Conn
	js   jetstream.JetStream
	// clearing is held by who takes something off the bus. A server has one goroutine for each of its cores for what it is asked
	// about streams, and each of these keeps one waiting for the disk: that one is enough, the others are for starts and receipts.
	clearing chan struct{}
}

// clear runs f while nothing else is taken off the bus.
func (b *Broker) clear(ctx context.Context, f func() error) error {
	select {
	case b.clearing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-b.clearing }()
	return f()
}

// DialBroker connects as the coordinator; it fails where no server can be reached, and reconnects by itself later.
func DialBroker(ctx context.Context, cfg BrokerConfig) (*Broker, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	conn, err := cfg.connect(keyFleet)
	if err != nil {
		return nil, fmt.Errorf("dial broker: %w", err)
	}
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(requestTimeout))
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("dial broker: %w", err)
	}
	return &Broker{cfg, conn, js, make(chan struct{}, 1)}, nil
}

// connect returns a connection with all rights in an account.
func (cfg BrokerConfig) connect(account string) (*nats.Conn, error) {
	key, err := NewKey()
	if err != nil {
		return nil, err
	}
	token, err := cfg.Trust.fullJWT(key, account, "coordinator")
	if err != nil {
		return nil, err
	}
	user := nats.UserJWT(func() (string, error) { return token, nil }, func(nonce []byte) ([]byte, error) { return key.pair.Sign(nonce) })
	complain := nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		cfg.Logger.Warn("bus complained", "error", err)
	})
	if cfg.Embedded != nil {
		return nats.Connect("", user, complain, nats.InProcessServer(cfg.Embedded), nats.MaxReconnects(-1))
	}
	tlsConfig, err := clientTLS(cfg.CA)
	if err != nil {
		return nil, err
	}
	return nats.Connect(joinURLs(cfg.URLs), append(connectOptions(cfg.Logger, tlsConfig), user, complain)...)
}

// Close ends the connection.
func (b *Broker) Close() { b.conn.Close() }

// GrantAgent returns a right for the holder of the private key to publish one session's chunks for an hour.
// ErrKey where publicKey is none.
func (b *Broker) GrantAgent(publicKey, session string) (Grant, error) {
	token, err := b.cfg.Trust.agentJWT(publicKey, session, grantLife)
	return b.grant(token, session), err
}

// GrantEncoder returns a right for the holder of the private key to read chunks for an hour. ErrKey where publicKey is none.
func (b *Broker) GrantEncoder(publicKey, encoder string) (Grant, error) {
	token, err := b.cfg.Trust.encoderJWT(publicKey, encoder, grantLife)
	return b.grant(token, encoder), err
}

func (b *Broker) grant(token, holder string) Grant {
	return Grant{URLs: b.cfg.URLs, CA: b.cfg.CA, JWT: token, Expires: time.Now().Add(grantLife), InboxPrefix: inboxPrefix + holder}
}

// CreateSession makes the session's stream. Idempotent. maxBytes bounds it where it is above 0, and is then set aside for it.
func (b *Broker) CreateSession(ctx context.Context, session string, maxBytes int64) error {
	if !chunk.ValidSession(session) {
		return errors.New("create stream: session id is malformed")
	}
	_, err := b.js.CreateStream(ctx, b.streamConfig(session, maxBytes))
	if err != nil {
		return fmt.Errorf("create stream of session %s: %w", session, err)
	}
	return nil
}

// streamConfig is how a session's stream is to be; maxBytes as in CreateSession.
func (b *Broker) streamConfig(session string, maxBytes int64) jetstream.StreamConfig {
	if maxBytes <= 0 {
		maxBytes = -1
	}
	return jetstream.StreamConfig{
		Name: streamName(session), Subjects: []string{sessionSubjects(session)},
		Metadata: map[string]string{"session": session},
		Storage:  jetstream.FileStorage, Replicas: max(1, b.cfg.Replicas),
		MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
		MaxMsgs: sessionChunks, MaxBytes: maxBytes,
		AllowDirect: true,
	}
}

// DeleteSession removes the session's stream and gives its disk space back. Idempotent.
func (b *Broker) DeleteSession(ctx context.Context, session string) error {
	err := b.clear(ctx, func() error { return b.js.DeleteStream(ctx, streamName(session)) })
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("delete stream of session %s: %w", session, err)
	}
	return nil
}

// PurgeSegment removes a segment's chunks. Idempotent.
func (b *Broker) PurgeSegment(ctx context.Context, session string, segment int) error {
	stream, err := b.js.Stream(ctx, streamName(session))
	if err == nil {
		err = b.clear(ctx, func() error { return stream.Purge(ctx, jetstream.WithPurgeSubject(segmentSubjects(session, segment))) })
	}
	// The session may be finished, and its stream deleted, at any moment.
	if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("purge segment %d of session %s: %w", segment, session, err)
	}
	return nil
}

// Segments returns how many chunks of each segment the bus holds; none where the session has no stream.
func (b *Broker) Segments(ctx context.Context, session string) (map[int]int, error) {
	stream, err := b.js.Stream(ctx, streamName(session))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list segments of session %s: %w", session, err)
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(sessionSubjects(session)))
	if err != nil {
		return nil, fmt.Errorf("list segments of session %s: %w", session, err)
	}
	counts := map[int]int{}
	for name := range info.State.Subjects {
		if _, segment, _, err := parseSubject(name); err == nil {
			counts[segment]++
		}
	}
	return counts, nil
}

// Headers returns what the bus holds of a segment, ordered by seq and without payloads; empty where it holds nothing. A
// message that is not a well-formed chunk is left out and logged.
func (b *Broker) Headers(ctx context.Context, session string, segment int) ([]chunk.Chunk, error) {
	consumer, err := b.js.CreateConsumer(ctx, streamName(session), jetstream.ConsumerConfig{
		FilterSubject: segmentSubjects(session, segment), HeadersOnly: true,
		AckPolicy: jetstream.AckNonePolicy, DeliverPolicy: jetstream.DeliverAllPolicy,
		MemoryStorage: true, InactiveThreshold: 30 * time.Second, Replicas: 1,
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read headers of session %s: %w", session, err)
	}
	info := consumer.CachedInfo()
	defer func() {
		// A receipt does not wait for the answer. The server forgets the consumer by itself if this does not reach it.
		_ = b.conn.Publish("$JS.API.CONSUMER.DELETE."+info.Stream+"."+info.Name, nil)
	}()
	chunks := make([]chunk.Chunk, 0, info.NumPending)
	seen := 0
	for pending := int(info.NumPending); seen < pending; {
		batch, err := consumer.Fetch(min(headersAtOnce, pending-seen), jetstream.FetchMaxWait(requestTimeout))
		if err != nil {
			return nil, fmt.Errorf("read headers of session %s: %w", session, err)
		}
		before := seen
		for m := range batch.Messages() {
			seen++
			c, err := fromMessage(m.Subject(), m.Headers(), m.Data())
			if err != nil {
				b.cfg.Logger.Error("malformed chunk seen", "session_id", session, "error", err)
				continue
			}
			chunks = append(chunks, c)
		}
		if err := batch.Error(); err != nil {
			return nil, fmt.Errorf("read headers of session %s: %w", session, err)
		}
		if seen == before {
			return nil, fmt.Errorf("read headers of session %s: the bus announced %d chunks and sent %d", session, pending, seen)
		}
	}
	return sortBySeq(chunks), ctx.Err()
}

func joinURLs(urls []string) string { return strings.Join(urls, ",") }
