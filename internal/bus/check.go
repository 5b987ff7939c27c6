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

// answersQuiet is how long Check waits for one more server to answer.
const answersQuiet = 500 * time.Millisecond

// Check asks every server of the broker for its configuration. ErrUnsafeBroker where one does not write to disk before it
// acknowledges (jetstream.sync_interval: always): a power cut was measured to lose everything acknowledged otherwise.
func (b *Broker) Check(ctx context.Context) error {
	conn, err := b.cfg.connect(keySystem)
	if err != nil {
		return fmt.Errorf("check broker: %w", err)
	}
	defer conn.Close()
	inbox := conn.NewInbox()
	answers, err := conn.SubscribeSync(inbox)
	if err == nil {
		err = conn.PublishRequest("$SYS.REQ.SERVER.PING.VARZ", inbox, nil)
	}
	if err != nil {
		return fmt.Errorf("check broker: %w", err)
	}
	for seen, wait := 0, requestTimeout; ; seen, wait = seen+1, answersQuiet {
		m, err := nextMessage(ctx, answers, wait)
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && seen > 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("check broker: %w", err)
		}
		if err := checkServer(m.Data); err != nil {
			return fmt.Errorf("check broker: %w", err)
		}
	}
}

func nextMessage(ctx context.Context, s *nats.Subscription, wait time.Duration) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return s.NextMsgWithContext(ctx)
}

// checkServer reads one server's answer, the form of which is nats-server's monitoring endpoint /varz.
func checkServer(answer []byte) error {
	var server struct {
		Data struct {
			Name      string `json:"server_name"`
			JetStream struct {
				Config *struct {
					SyncAlways bool `json:"sync_always"`
				} `json:"config"`
			} `json:"jetstream"`
		} `json:"data"`
	}
	if err := json.Unmarshal(answer, &server); err != nil {
		return fmt.Errorf("read a server's configuration: %w", err)
	}
	if config := server.Data.JetStream.Config; config != nil && !config.SyncAlways {
		return fmt.Errorf("%w: server %q lacks sync_interval: always", ErrUnsafeBroker, server.Data.Name)
	}
	return nil
}

func sortBySeq(chunks []chunk.Chunk) []chunk.Chunk {
	slices.SortFunc(chunks, func(a, b chunk.Chunk) int { return cmp.Compare(a.Seq, b.Seq) })
	return chunks
}
