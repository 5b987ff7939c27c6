// Package publish brings the chunks of a session from the spool to the bus.
//
// It follows the spool: chunks come in as they reach the disk, and go out in their order, several at a time where there is a
// backlog. What always holds: a chunk is tried until the bus has it on its disk; a segment counts as published only once all of
// its chunks have been acknowledged; nothing is taken from the spool here.
package publish

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/chunk"
)

const (
	inFlight   = 8
	minBackoff = 100 * time.Millisecond
	maxBackoff = 5 * time.Second
	// tryFor bounds one try, so that an acknowledgement that was lost on its way is asked for again.
	tryFor = 10 * time.Second
)

// Bus takes chunks: a bus.Publisher.
type Bus interface {
	Publish(ctx context.Context, c chunk.Chunk) error
}

// Config says what to publish.
type Config struct {
	Session *spool.Session
	// Refused is called, from any goroutine, when the bus says that the right to publish is gone. It must not block.
	Refused func()
	Logger  hclog.Logger
}

// Publisher publishes one session.
type Publisher struct {
	cfg       Config
	log       hclog.Logger
	published atomic.Int64
	first     chan struct{}
	again     chan Missing
	bus       Bus
	buffers   [inFlight][]byte
	segment   int // the next chunk to publish
	seq       int
	damaged   map[int]bool
}

// Missing names chunks that are to be published again.
type Missing struct {
	Segment int
	Seqs    []int
}

// New makes a publisher; it starts nothing.
func New(cfg Config) *Publisher {
	return &Publisher{cfg: cfg, log: cfg.Logger, again: make(chan Missing, 16), first: make(chan struct{}), segment: 1, damaged: make(map[int]bool)}
}

// Published returns how many chunks the bus has acknowledged to this publisher.
func (p *Publisher) Published() int64 { return p.published.Load() }

// First is closed when the bus has acknowledged a chunk.
func (p *Publisher) First() <-chan struct{} { return p.first }

// Again asks for chunks to be published again. It does not block: what does not fit will be named by the coordinator again.
func (p *Publisher) Again(m Missing) {
	select {
	case p.again <- m:
	default:
	}
}

// Run publishes on the bus until ctx is done. An error means that the spool cannot be read.
func (p *Publisher) Run(ctx context.Context, to Bus) error {
	p.bus = to
	for {
		changed := p.cfg.Session.Changed()
		more, err := p.step(ctx)
		switch {
		case ctx.Err() != nil:
			return nil //nolint:nilerr // what went wrong while it was told to end no longer counts
		case err != nil:
			return err
		case more:
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case m := <-p.again:
			if err := p.repeat(ctx, m); err != nil && ctx.Err() == nil {
				return err
			}
		}
	}
}

// step publishes the next chunks that are on disk, at most inFlight, and reports whether it did anything.
func (p *Publisher) step(ctx context.Context) (bool, error) {
	all := p.cfg.Session.Segments()
	if p.segment > len(all) || p.cfg.Session.Registration().SessionID == "" {
		return false, nil
	}
	g := all[p.segment-1]
	done := g.State == spool.StateFreed || g.State == spool.StatePublished || p.damaged[g.Number]
	if done || g.State == spool.StateSealed && p.seq >= g.Chunks {
		if !done {
			if err := p.cfg.Session.MarkPublished(g.Number); err != nil {
				return false, err
			}
			p.log.Info("segment published", "segment", g.Number, "chunks", g.Chunks)
		}
		p.segment, p.seq = p.segment+1, 0
		return true, nil
	}
	n := min(g.Chunks-p.seq, inFlight)
	if n <= 0 {
		return false, nil
	}
	seqs := make([]int, n)
	for i := range seqs {
		seqs[i] = p.seq + i
	}
	if err := p.send(ctx, g.Number, seqs); err != nil {
		return false, err
	}
	p.seq += n
	return true, nil
}

func (p *Publisher) repeat(ctx context.Context, m Missing) error {
	p.log.Warn("chunks published again", "segment", m.Segment, "count", len(m.Seqs))
	for at := 0; at < len(m.Seqs); at += inFlight {
		if err := p.send(ctx, m.Segment, m.Seqs[at:min(at+inFlight, len(m.Seqs))]); err != nil {
			return err
		}
	}
	return nil
}

// send publishes at most inFlight chunks at the same time and waits for all of them.
func (p *Publisher) send(ctx context.Context, segment int, seqs []int) error {
	var group sync.WaitGroup
	defer group.Wait()
	for i, seq := range seqs {
		c, err := p.cfg.Session.Chunk(segment, seq, p.buffers[i])
		switch {
		case errors.Is(err, spool.ErrNotFound):
			return nil // asked for again, and freed meanwhile
		case errors.Is(err, spool.ErrDamaged):
			// What is left of this segment can never be whole; those after it can.
			p.damaged[segment] = true
			p.log.Error("segment damaged in the spool", "segment", segment, "seq", seq, "error", err)
			return nil
		case err != nil:
			return fmt.Errorf("publish segment %d: %w", segment, err)
		}
		p.buffers[i] = c.Payload
		group.Go(func() { p.sendOne(ctx, c) })
	}
	return nil
}

// sendOne tries until the bus has the chunk or ctx is done.
func (p *Publisher) sendOne(ctx context.Context, c chunk.Chunk) {
	backoff := minBackoff
	for {
		err := p.try(ctx, c)
		if err == nil {
			if p.published.Add(1) == 1 {
				close(p.first)
			}
			return
		}
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, bus.ErrRefused) && p.cfg.Refused != nil {
			p.cfg.Refused()
		}
		p.log.Warn("chunk not published", "segment", c.Segment, "seq", c.Seq, "error", err)
		// Half of it by chance: agents that lost the same broker do not come back at the same moment.
		timer := time.NewTimer(backoff/2 + rand.N(backoff/2))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

func (p *Publisher) try(ctx context.Context, c chunk.Chunk) error {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	return p.bus.Publish(ctx, c)
}
