package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/recfleet/recfleet/internal/chunk"
)

// ErrUnsafeBroker means that the broker acknowledges what is not on its disk.
var ErrUnsafeBroker = errors.New("the broker is not set up safely")

var errNoServer = errors.New("there is no connection to any NATS server")

// answersQuiet is how long Check waits for one more server to answer.
const answersQuiet = 500 * time.Millisecond

// Check asks every server of the broker for its configuration. ErrUnsafeBroker where one does not write to disk before it
// acknowledges (jetstream.sync_interval: always): a power cut was measured to lose everything acknowledged otherwise.
func (b *Broker) Check(ctx context.Context) error {
	servers, err := b.servers(ctx)
	if err != nil {
		return fmt.Errorf("check broker: %w", err)
	}
	for _, s := range servers {
		if s.JetStream.Config != nil && !s.JetStream.Config.SyncAlways {
			return fmt.Errorf("check broker: %w: server %q lacks sync_interval: always", ErrUnsafeBroker, s.Name)
		}
	}
	return nil
}

// Ping asks JetStream for an answer, and fails where none comes.
func (b *Broker) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	_, err := b.js.AccountInfo(ctx)
	if errors.Is(err, nats.ErrReconnectBufExceeded) { // what the library calls a connection that is being looked for
		err = errNoServer
	}
	if err != nil {
		return fmt.Errorf("reach broker: %w", err)
	}
	return nil
}

// serverSettings is what one server says of its configuration, in the form of nats-server's monitoring endpoint /varz.
type serverSettings struct {
	Name       string `json:"server_name"`
	MaxPayload int64  `json:"max_payload"`
	JetStream  struct {
		Config *struct { // nil on a server without JetStream
			SyncAlways bool  `json:"sync_always"`
			Strict     bool  `json:"strict"`
			MaxStorage int64 `json:"max_storage"`
		} `json:"config"`
	} `json:"jetstream"`
}

// servers asks all servers for their configuration; at least one has answered where the error is nil.
func (b *Broker) servers(ctx context.Context) ([]serverSettings, error) {
	answers, err := b.askServers(ctx, nats.NewMsg("$SYS.REQ.SERVER.PING.VARZ"))
	if err != nil {
		return nil, err
	}
	found := make([]serverSettings, len(answers))
	for i, raw := range answers {
		if found[i], err = parseSettings(raw); err != nil {
			return nil, fmt.Errorf("read a server's configuration: %w", err)
		}
	}
	return found, nil
}

// parseSettings reads what a server says of its configuration.
func parseSettings(raw []byte) (serverSettings, error) {
	var answer struct {
		Data serverSettings `json:"data"`
	}
	err := json.Unmarshal(raw, &answer)
	return answer.Data, err
}

// askServers asks all servers, in the account in which they tell of themselves; at least one has answered where the error is nil.
func (b *Broker) askServers(ctx context.Context, request *nats.Msg) (found [][]byte, err error) {
	conn, err := b.cfg.connect(keySystem)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	request.Reply = conn.NewInbox()
	answers, err := conn.SubscribeSync(request.Reply)
	if err == nil {
		err = conn.PublishMsg(request)
	}
	if err != nil {
		return nil, err
	}
	for wait := requestTimeout; ; wait = answersQuiet {
		m, err := nextMessage(ctx, answers, wait)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && len(found) > 0 {
			return found, nil
		}
		if err != nil {
			return nil, err
		}
		found = append(found, m.Data)
	}
}

func nextMessage(ctx context.Context, s *nats.Subscription, wait time.Duration) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return s.NextMsgWithContext(ctx)
}

func sortBySeq(chunks []chunk.Chunk) []chunk.Chunk {
	slices.SortFunc(chunks, func(a, b chunk.Chunk) int { return cmp.Compare(a.Seq, b.Seq) })
	return chunks
}
