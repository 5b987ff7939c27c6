package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/recfleet/recfleet/internal/chunk"
)

// cursor remembers the chain hash before a chunk, so that reading in order computes each hash once.
type cursor struct {
	segment, seq int
	chain        chunk.Hash
}

// freed is what stays of a segment after its receipt.
type freed struct {
	Chunks     int    `json:"chunks"`
	ChainStart string `json:"chain_start"`
	ChainEnd   string `json:"chain_end"`
}

func (s *Session) segment(number int) (*segment, error) {
	if number < 1 || number > len(s.segments) {
		return nil, fmt.Errorf("segment %d: %w", number, ErrNotFound)
	}
	return s.segments[number-1], nil
}

// Chunk reads a chunk that is on disk and checks it against its hash. The payload is in buf where that is large enough, else
// in new memory. It fails with ErrNotFound for a chunk that is not there (yet, or any more), and with ErrDamaged.
func (s *Session) Chunk(number, seq int, buf []byte) (chunk.Chunk, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.segment(number)
	if err != nil {
		return chunk.Chunk{}, err
	}
	if s.reg.SessionID == "" || g.state == StateFreed || seq < 0 || seq >= g.chunks {
		return chunk.Chunk{}, fmt.Errorf("chunk %d of segment %d: %w", seq, number, ErrNotFound)
	}
	before, err := s.chainBefore(g, seq)
	if err != nil {
		return chunk.Chunk{}, err
	}
	r, err := s.readRecord(g, seq)
	if err != nil {
		return chunk.Chunk{}, err
	}
	payload, err := s.readPayload(g, r, buf)
	if err != nil {
		return chunk.Chunk{}, err
	}
	after := before.Next(r.sum)
	s.cursor = cursor{segment: number, seq: seq + 1, chain: after}
	return chunk.Chunk{
		Session: s.reg.SessionID, Segment: number, Seq: seq, Epoch: r.epoch, Offset: r.offset,
		Sum: r.sum, Chain: after, Frames: r.frames, Start: time.Unix(0, r.start), LastFrame: time.Unix(0, r.last),
		Width: r.width, Height: r.height, Bytes: r.length, Payload: payload,
	}, nil
}

// Chain returns the hash chain before the first and after the last chunk of a segment that is not open.
func (s *Session) Chain(number int) (start, end chunk.Hash, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.segment(number)
	if err != nil {
		return start, end, err
	}
	if start, err = s.chainStart(g); err != nil {
		return start, end, err
	}
	end, err = s.chainEnd(g)
	return start, end, err
}

func (s *Session) chainStart(g *segment) (chunk.Hash, error) {
	if s.reg.SessionID == "" {
		return chunk.Hash{}, fmt.Errorf("chain of segment %d: %w", g.number, ErrNotFound)
	}
	if g.number == 1 {
		return chunk.Genesis(s.reg.SessionID), nil
	}
	return s.chainEnd(s.segments[g.number-2])
}

func (s *Session) chainEnd(g *segment) (chunk.Hash, error) {
	if g.chainEnd != nil {
		return *g.chainEnd, nil
	}
	if g.state == StateOpen {
		return chunk.Hash{}, fmt.Errorf("chain of segment %d: %w", g.number, ErrNotFound)
	}
	h, err := s.chainBefore(g, g.chunks)
	if err == nil {
		g.chainEnd = &h
	}
	return h, err
}

// chainBefore returns the chain hash before a chunk.
func (s *Session) chainBefore(g *segment, seq int) (chunk.Hash, error) {
	if s.cursor.segment == g.number && s.cursor.seq == seq {
		return s.cursor.chain, nil
	}
	h, err := s.chainStart(g)
	for i := 0; i < seq && err == nil; i++ {
		var r record
		if r, err = s.readRecord(g, i); err == nil {
			h = h.Next(r.sum)
		}
	}
	return h, err
}

// readRecord reads one chunk's record of an index.
func (s *Session) readRecord(g *segment, seq int) (record, error) {
	var b [recordSize]byte
	if err := readAt(s.path(g.number, "chunks"), b[:], int64(seq+1)*recordSize); err != nil {
		return record{}, fmt.Errorf("read index of segment %d: %w", g.number, err)
	}
	r, ok := parseRecord(b[:])
	if !ok || r.kind != kindChunk || r.seq != seq {
		return record{}, fmt.Errorf("read index of segment %d: chunk %d: %w", g.number, seq, ErrDamaged)
	}
	return r, nil
}

func (s *Session) readPayload(g *segment, r record, buf []byte) ([]byte, error) {
	if cap(buf) < r.length {
		buf = make([]byte, r.length)
	}
	buf = buf[:r.length]
	if err := readAt(s.path(g.number, g.state.String()), buf, r.offset); err != nil {
		return nil, fmt.Errorf("read segment %d: %w", g.number, err)
	}
	if !verifyChunk(r, buf) {
		return nil, fmt.Errorf("read segment %d: chunk %d: %w", g.number, r.seq, ErrDamaged)
	}
	return buf, nil
}

func readAt(path string, b []byte, offset int64) error {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		return err
	}
	defer func() { _ = f.Close() }()
	if _, err := f.ReadAt(b, offset); err != nil {
		if errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: file is too short", ErrDamaged)
		}
		return err
	}
	return nil
}

// MarkPublished notes that every chunk of a sealed segment is on the bus. Idempotent.
func (s *Session) MarkPublished(number int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.segment(number)
	if err != nil {
		return err
	}
	if g.state == StateOpen {
		return fmt.Errorf("mark segment %d published: it is open", number)
	}
	if g.state != StateSealed {
		return nil
	}
	if err := s.move(g, StatePublished); err != nil {
		return err
	}
	s.notify()
	return nil
}

// Free deletes the stream of a segment against its receipt. A receipt that does not match what was written here frees
// nothing and is an error. Idempotent.
func (s *Session) Free(number, chunks int, chainEnd chunk.Hash) error {
	f, err := s.checkReceipt(number, chunks, chainEnd)
	if err != nil || f == nil {
		return err
	}
	b, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("free segment %d: %w", number, err)
	}
	if err := s.spool.closing(func() error { return replaceFile(s.path(number, StateFreed.String()), b) }); err != nil {
		return fmt.Errorf("free segment %d: %w", number, err)
	}
	s.mu.Lock()
	g := s.segments[number-1]
	done := g.state == StateFreed
	g.state = StateFreed
	s.notify()
	s.mu.Unlock()
	if err := s.removeFiles(g); err != nil {
		return fmt.Errorf("free segment %d: %w", number, err)
	}
	if !done {
		s.spool.bytes.Add(-g.bytes)
		s.log.Info("segment freed", "segment", number, "bytes", g.bytes)
	}
	return nil
}

// checkReceipt compares a receipt with what was written. It returns nil where the segment is free already.
func (s *Session) checkReceipt(number, chunks int, chainEnd chunk.Hash) (*freed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g, err := s.segment(number)
	if err != nil || g.state == StateFreed {
		return nil, err
	}
	start, err := s.chainStart(g)
	if err != nil {
		return nil, err
	}
	end, err := s.chainEnd(g)
	if err != nil {
		return nil, err
	}
	if end != chainEnd || chunks != g.chunks {
		return nil, fmt.Errorf("free segment %d: receipt for %d chunks, chain %s does not match %d chunks, chain %s",
			number, chunks, chainEnd, g.chunks, end)
	}
	return &freed{Chunks: g.chunks, ChainStart: start.String(), ChainEnd: end.String()}, nil
}

// removeFiles deletes the stream, then the index.
func (s *Session) removeFiles(g *segment) error {
	for _, suffix := range []string{StateOpen.String(), StateSealed.String(), StatePublished.String(), "chunks"} {
		if err := os.Remove(s.path(g.number, suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
