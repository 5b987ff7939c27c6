package worker

import (
	"context"
	"errors"
	"io"

	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/chunk"
)

// fetch writes the segment's stream to w while it checks that the chunks are the ones that the agent sealed: each payload
// has its hash, each hash continues the chain, offsets have no holes, and the chain ends where it must. It returns nil only
// when all that holds and everything was written. An error of w comes back as it is, others as a Failure.
func fetch(ctx context.Context, reader Reader, s Source, w io.Writer) error {
	chain, offset, seq := s.ChainStart, int64(0), 0
	var writeErr error
	err := reader.Read(ctx, s.Session, s.Segment, s.Chunks, func(c chunk.Chunk) error {
		sum := chunk.Sum(c.Payload)
		if chain = chain.Next(sum); seq == 0 && s.ChainStart == (chunk.Hash{}) {
			chain = c.Chain // nobody knows the chain before it: see Source.ChainStart
		}
		switch {
		case c.Session != s.Session || c.Segment != s.Segment || c.Seq != seq:
			return failure(Content, "verify chunk %d: it is chunk %d of segment %d of session %s", seq, c.Seq, c.Segment, c.Session)
		case len(c.Payload) == 0 || len(c.Payload) > chunk.MaxPayload:
			return failure(Content, "verify chunk %d: it has %d bytes", seq, len(c.Payload))
		case c.Sum != sum:
			return failure(Content, "verify chunk %d: its bytes have hash %v, it says %v", seq, sum, c.Sum)
		case c.Chain != chain:
			return failure(Content, "verify chunk %d: the hash chain is %v, it says %v", seq, chain, c.Chain)
		case c.Offset != offset:
			return failure(Content, "verify chunk %d: it begins at byte %d instead of %d", seq, c.Offset, offset)
		case offset+int64(len(c.Payload)) > s.Bytes:
			return failure(Content, "verify chunk %d: it goes past the segment's %d bytes", seq, s.Bytes)
		}
		offset += int64(len(c.Payload))
		seq++
		_, writeErr = w.Write(c.Payload)
		return writeErr
	})
	var known *Failure
	switch {
	case writeErr != nil:
		return writeErr
	case errors.As(err, &known):
		return known
	case errors.Is(err, bus.ErrChunkMissing), errors.Is(err, bus.ErrMalformed):
		return failure(Content, "fetch segment: %w", err)
	case err != nil:
		return failure(Destination, "fetch segment: %w", err)
	case seq != s.Chunks:
		return failure(Content, "verify segment: %d chunks came instead of %d", seq, s.Chunks)
	case offset != s.Bytes:
		return failure(Content, "verify segment: %d bytes came instead of %d", offset, s.Bytes)
	case chain != s.ChainEnd:
		return failure(Content, "verify segment: the hash chain ends with %v instead of %v", chain, s.ChainEnd)
	}
	return nil
}
