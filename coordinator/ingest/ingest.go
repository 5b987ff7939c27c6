// Package ingest takes custody of segments.
//
// What comes in is what an agent says of a segment it sealed and what the bus holds of it, as chunk headers. What goes out
// is a receipt, or the numbers of the chunks that are missing. What always holds: a receipt is given only for a segment
// that the catalog holds together with its job, and the catalog takes it only when the bus holds every chunk of it and the
// hash chain, recomputed from the chunks' sums, runs from the segment before to what the agent announced.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/chunk"
)

// ErrFork says that the chunks on the bus are not those that the agent sealed. It never mends itself.
var ErrFork = errors.New("chunk fork")

// maxMissing bounds how many missing chunks of one segment are named at a time; the rest is named once those have come.
const maxMissing = 1000

// Bus tells what lies on the bus; see bus.Broker.
type Bus interface {
	Headers(ctx context.Context, session string, segment int) ([]chunk.Chunk, error)
	Segments(ctx context.Context, session string) (map[int]int, error)
}

// Ingest takes custody. It is safe for concurrent use.
type Ingest struct {
	catalog *catalog.Catalog
	bus     Bus
	added   func()
	logger  hclog.Logger
}

// New returns an Ingest that calls added after every new job.
func New(c *catalog.Catalog, bus Bus, added func(), logger hclog.Logger) *Ingest {
	return &Ingest{catalog: c, bus: bus, added: added, logger: logger}
}

// Outcome is what can be said to an agent that waits for a receipt: a receipt, or what is missing, or nothing yet.
type Outcome struct {
	Receipt *Receipt
	Missing []int // chunks by seq
}

// Receipt names a segment that the coordinator answers for.
type Receipt struct {
	Segment, Chunks int
	ChainEnd        chunk.Hash
}

// Take looks whether the bus holds a segment wholly and records it. It is idempotent: a segment that is recorded gets its
// receipt again. There is no outcome yet where the agent's event about the segment has not come. ErrFork is an alarm: the
// segment gets no receipt.
func (i *Ingest) Take(ctx context.Context, session string, segment int) (Outcome, error) {
	known, err := i.catalog.Segment(ctx, session, segment)
	if err == nil {
		return receipt(known.Seal), nil
	}
	if !errors.Is(err, catalog.ErrNotFound) {
		return Outcome{}, err
	}
	seal, err := i.catalog.Seal(ctx, session, segment)
	if errors.Is(err, catalog.ErrNotFound) {
		return Outcome{}, nil
	}
	if err != nil {
		return Outcome{}, err
	}
	start, err := i.chainStart(ctx, session, segment)
	if err != nil {
		return Outcome{}, err
	}
	if seal.ChainStart != start {
		return Outcome{}, fmt.Errorf("segment %d begins with chain %s, the one before ended with %s: %w", segment, seal.ChainStart, start, ErrFork)
	}
	headers, err := i.bus.Headers(ctx, session, segment)
	if err != nil {
		return Outcome{}, fmt.Errorf("take segment %s: %w", catalog.JobID(session, segment), err)
	}
	missing, err := verify(seal, headers)
	if err != nil {
		return Outcome{}, fmt.Errorf("take segment %s: %w", catalog.JobID(session, segment), err)
	}
	if len(missing) > 0 {
		return Outcome{Missing: missing}, nil
	}
	if err := i.record(ctx, catalog.Segment{Session: session, Seal: seal, SealedBy: catalog.PartyAgent}); err != nil {
		return Outcome{}, err
	}
	return receipt(seal), nil
}

func receipt(s catalog.Seal) Outcome {
	return Outcome{Receipt: &Receipt{Segment: s.Segment, Chunks: s.Chunks, ChainEnd: s.ChainEnd}}
}

// record makes the segment and its job.
func (i *Ingest) record(ctx context.Context, s catalog.Segment) error {
	if err := i.catalog.AddSegment(ctx, s, time.Now()); err != nil {
		return err
	}
	i.logger.Info("segment sealed", "session_id", s.Session, "segment", s.Segment, "sealed_by", s.SealedBy, "chunks", s.Chunks, "frames", s.Frames)
	i.added()
	return nil
}

// chainStart returns the chain hash with which a segment must begin. Seals are reported without holes, so the one before is
// there.
func (i *Ingest) chainStart(ctx context.Context, session string, segment int) (chunk.Hash, error) {
	if segment == 1 {
		return chunk.Genesis(session), nil
	}
	before, err := i.catalog.Seal(ctx, session, segment-1)
	return before.ChainEnd, err
}

// verify compares what the bus holds of a segment with its seal. It returns the chunks that are missing, or ErrFork where
// what is there cannot be what was sealed. Chunks beyond the seal are of no account.
func verify(seal catalog.Seal, headers []chunk.Chunk) (missing []int, err error) {
	next := 0
	for _, c := range headers {
		if c.Seq >= seal.Chunks {
			break
		}
		for ; next < c.Seq && len(missing) < maxMissing; next++ {
			missing = append(missing, next)
		}
		next = c.Seq + 1
	}
	for ; next < seal.Chunks && len(missing) < maxMissing; next++ {
		missing = append(missing, next)
	}
	if len(missing) > 0 {
		return missing, nil
	}
	whole := headers[:seal.Chunks]
	if n := len(prefix(seal.ChainStart, whole)); n < len(whole) {
		return nil, fmt.Errorf("chunk %d does not continue the chain: %w", n, ErrFork)
	}
	last := whole[len(whole)-1]
	if last.Chain != seal.ChainEnd {
		return nil, fmt.Errorf("chain ends with %s instead of %s: %w", last.Chain, seal.ChainEnd, ErrFork)
	}
	if total := last.Offset + int64(last.Bytes); total != seal.Bytes {
		return nil, fmt.Errorf("%d bytes instead of %d: %w", total, seal.Bytes, ErrFork)
	}
	return nil, nil
}

// prefix returns the longest beginning of a segment's chunks that has no hole, in which every chunk begins where the one
// before ended, and in which every chain hash follows from the sums.
func prefix(start chunk.Hash, headers []chunk.Chunk) []chunk.Chunk {
	chain, offset := start, int64(0)
	for n, c := range headers {
		chain = chain.Next(c.Sum)
		if c.Seq != n || c.Offset != offset || c.Chain != chain {
			return headers[:n]
		}
		offset += int64(c.Bytes)
	}
	return headers
}

// unproved is prefix where the chain hash before the segment is not known: the first chunk's own word is taken for it.
func unproved(headers []chunk.Chunk) []chunk.Chunk {
	if len(headers) == 0 || headers[0].Seq != 0 || headers[0].Offset != 0 {
		return nil
	}
	chain, offset := headers[0].Chain, int64(headers[0].Bytes)
	for n, c := range headers[1:] {
		chain = chain.Next(c.Sum)
		if c.Seq != n+1 || c.Offset != offset || c.Chain != chain {
			return headers[:n+1]
		}
		offset += int64(c.Bytes)
	}
	return headers
}
