package bus

import (
	"context"
	"fmt"

	"github.com/recfleet/recfleet/internal/chunk"
)

// readAhead is how many chunks are asked for before the first is used: enough to hide the way there and back.
const readAhead = 8

// Reader takes chunks from the bus. It needs no right but to ask for a message by its subject.
type Reader struct{ *client }

// DialReader connects; it fails where no server can be reached or the grant is refused, and reconnects by itself later.
func DialReader(ctx context.Context, cfg ClientConfig) (*Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, err := dialClient(cfg)
	if err != nil {
		return nil, err
	}
	return &Reader{c}, nil
}

// Read hands chunks 0 to count-1 of a segment to yield in their order, several being under way at a time. It stops at the
// first error of yield and returns it as it is. ErrChunkMissing where the session's stream does not hold one, ErrMalformed
// where something else is in its place; other errors are passing ones, a stream that does not answer among them. Neither hashes nor chain are checked here.
func (r *Reader) Read(ctx context.Context, session string, segment, count int, yield func(chunk.Chunk) error) error {
	if !chunk.ValidSession(session) {
		return fmt.Errorf("read segment %d: session id is malformed", segment)
	}
	ctx, cancel := context.WithCancel(ctx)
	type answer struct {
		chunk chunk.Chunk
		err   error
	}
	// Each slot is used by the requests whose seq it is modulo their number, so that answers come in order.
	var slots [readAhead]chan answer
	for i := range slots {
		slots[i] = make(chan answer, 1)
	}
	outstanding := 0
	ask := func(seq int) {
		outstanding++
		go func() {
			c, err := r.get(ctx, session, segment, seq)
			slots[seq%readAhead] <- answer{c, err}
		}()
	}
	next := 0
	defer func() {
		cancel()
		for ; outstanding > 0; outstanding-- {
			<-slots[next%readAhead]
			next++
		}
	}()
	for seq := range min(readAhead, count) {
		ask(seq)
	}
	for next < count {
		got := <-slots[next%readAhead]
		outstanding--
		next++
		if got.err != nil {
			return got.err
		}
		if err := yield(got.chunk); err != nil {
			return err
		}
		if ahead := next - 1 + readAhead; ahead < count {
			ask(ahead)
		}
	}
	return nil
}

// get asks for one chunk by its subject (ADR-31 of NATS: direct get of the last message of a subject).
func (r *Reader) get(ctx context.Context, session string, segment, seq int) (chunk.Chunk, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	name := subject(session, segment, seq)
	m, err := r.conn.RequestWithContext(ctx, directGet+streamName(session)+"."+name, nil)
	if err != nil { // also where the stream has no leader for the moment
		return chunk.Chunk{}, fmt.Errorf("read chunk %s: %w", name, err)
	}
	switch status := m.Header.Get("Status"); status {
	case "":
	case "404":
		return chunk.Chunk{}, fmt.Errorf("read chunk %s: %w", name, ErrChunkMissing)
	default:
		return chunk.Chunk{}, fmt.Errorf("read chunk %s: the bus answered %s", name, status)
	}
	return fromMessage(name, m.Header, m.Data)
}
