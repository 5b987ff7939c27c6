package main

import (
	"time"

	"github.com/recfleet/recfleet/internal/chunk"
)

const (
	frameRate     = 5
	width, height = 1920, 1080
)

// tape is a session's stream of chunks as an agent cuts them: numbered within their segments, each with the hash of its
// bytes and the chain from the session's id on.
type tape struct {
	session string
	number  int // of the open segment
	start   time.Time
	seq     int
	offset  int64
	frames  int64
	before  chunk.Hash // the chain before the segment
	chain   chunk.Hash
}

func newTape(session string, segment int, start time.Time) *tape {
	g := chunk.Genesis(session)
	return &tape{session: session, number: segment, start: start, before: g, chain: g}
}

// cut returns the next chunk, whose last frame is of the given time.
func (t *tape) cut(payload []byte, at time.Time) chunk.Chunk {
	t.frames = max(t.frames, 1, int64(at.Sub(t.start)*frameRate/time.Second))
	sum := chunk.Sum(payload)
	t.chain = t.chain.Next(sum)
	c := chunk.Chunk{
		Session: t.session, Segment: t.number, Seq: t.seq, Epoch: 1, Offset: t.offset, Sum: sum, Chain: t.chain,
		Frames: t.frames, Start: t.start, LastFrame: at, Width: width, Height: height, Bytes: len(payload), Payload: payload,
	}
	t.seq++
	t.offset += int64(len(payload))
	return c
}

// sealed is a segment that does not grow any more.
type sealed struct {
	number, chunks int
	bytes, frames  int64
	start, end     time.Time
	before, after  chunk.Hash
}

// seal ends the open segment, which must have a chunk, and begins the next one.
func (t *tape) seal(end time.Time) sealed {
	s := sealed{number: t.number, chunks: t.seq, bytes: t.offset, frames: t.frames, start: t.start, end: end, before: t.before, after: t.chain}
	*t = tape{session: t.session, number: t.number + 1, start: end, before: t.chain, chain: t.chain}
	return s
}
