package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/recfleet/recfleet/internal/chunk"
)

// Publisher puts the chunks of one session on the bus.
type Publisher struct {
	*client
	stream jetstream.JetStream
}

// DialPublisher connects; it fails where no server can be reached or the grant is refused, and reconnects by itself later.
func DialPublisher(ctx context.Context, cfg ClientConfig) (*Publisher, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, err := dialClient(cfg)
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(c.conn)
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("dial bus: %w", err)
	}
	return &Publisher{c, js}, nil
}

// Publish blocks until the chunk is on the broker's disk. It is idempotent: a chunk that is there already is a success,
// whoever put it there, and the coordinator's receipt tells whether it is the same. ErrFull and ErrRefused are told apart;
// any other error is a passing one. Safe for concurrent use.
func (p *Publisher) Publish(ctx context.Context, c chunk.Chunk) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	refused := p.refused.Load()
	_, err := p.stream.PublishMsg(ctx, toMessage(c), jetstream.WithRetryAttempts(0))
	switch {
	case err == nil || isStored(err):
		return nil
	case isFull(err):
		return fmt.Errorf("publish chunk %d of segment %d: %w", c.Seq, c.Segment, ErrFull)
	case p.refused.Load() != refused:
		return fmt.Errorf("publish chunk %d of segment %d: %w", c.Seq, c.Segment, ErrRefused)
	}
	return fmt.Errorf("publish chunk %d of segment %d: %w", c.Seq, c.Segment, err)
}

// The broker's error codes (nats-server, server/errors.json): a stream refused to store, the server has no room.
const (
	codeStoreFailed           = 10077
	codeInsufficientResources = 10023
)

func isStored(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && api.ErrorCode == codeStoreFailed && strings.Contains(api.Description, "per subject")
}

func isFull(err error) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && (api.ErrorCode == codeStoreFailed || api.ErrorCode == codeInsufficientResources)
}
