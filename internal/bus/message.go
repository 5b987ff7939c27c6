package bus

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/recfleet/recfleet/internal/chunk"
)

// Header names of a chunk's message. Times are Unix microseconds.
const (
	headerEpoch     = "Rf-Epoch"
	headerOffset    = "Rf-Offset"
	headerSum       = "Rf-Sum"
	headerChain     = "Rf-Chain"
	headerFrames    = "Rf-Frames"
	headerStart     = "Rf-Start"
	headerLastFrame = "Rf-Last-Frame"
	headerSize      = "Rf-Size"

	// Set by the server where a consumer asks for headers only.
	headerMsgSize = "Nats-Msg-Size"
)

func streamName(session string) string { return streamPrefix + session }

func subject(session string, segment, seq int) string {
	return "chunks." + session + "." + strconv.Itoa(segment) + "." + strconv.Itoa(seq)
}

// segmentSubjects matches every chunk of a segment.
func segmentSubjects(session string, segment int) string {
	return "chunks." + session + "." + strconv.Itoa(segment) + ".*"
}

// sessionSubjects matches every chunk of a session.
func sessionSubjects(session string) string { return "chunks." + session + ".*.*" }

func toMessage(c chunk.Chunk) *nats.Msg {
	m := nats.NewMsg(subject(c.Session, c.Segment, c.Seq))
	m.Header.Set(headerEpoch, strconv.Itoa(c.Epoch))
	m.Header.Set(headerOffset, strconv.FormatInt(c.Offset, 10))
	m.Header.Set(headerSum, c.Sum.String())
	m.Header.Set(headerChain, c.Chain.String())
	m.Header.Set(headerFrames, strconv.FormatInt(c.Frames, 10))
	m.Header.Set(headerStart, strconv.FormatInt(c.Start.UnixMicro(), 10))
	m.Header.Set(headerLastFrame, strconv.FormatInt(c.LastFrame.UnixMicro(), 10))
	m.Header.Set(headerSize, fmt.Sprintf("%dx%d", c.Width, c.Height))
	m.Data = c.Payload
	return m
}

// fromMessage reads what an agent published: outside input, so every field is checked for form. Whether the hashes are
// true is for whoever has the payload.
func fromMessage(subject string, header nats.Header, payload []byte) (chunk.Chunk, error) {
	var c chunk.Chunk
	var err error
	if c.Session, c.Segment, c.Seq, err = parseSubject(subject); err != nil {
		return c, err
	}
	f := fields{header: header}
	c.Epoch = int(f.number(headerEpoch, 1<<31-1))
	c.Offset = f.number(headerOffset, 1<<50)
	c.Sum, c.Chain = f.hash(headerSum), f.hash(headerChain)
	c.Frames = f.number(headerFrames, 1<<40)
	c.Start = time.UnixMicro(f.number(headerStart, 1<<53)).UTC()
	c.LastFrame = time.UnixMicro(f.number(headerLastFrame, 1<<53)).UTC()
	c.Width, c.Height = f.size(headerSize)
	c.Payload, c.Bytes = payload, len(payload)
	if header.Get(headerMsgSize) != "" {
		c.Payload, c.Bytes = nil, int(f.number(headerMsgSize, agentPayloadBytes))
	}
	if f.err != nil {
		return c, fmt.Errorf("read chunk %s: %w: %w", subject, ErrMalformed, f.err)
	}
	return c, nil
}

func parseSubject(s string) (session string, segment, seq int, err error) {
	parts := strings.Split(s, ".")
	if len(parts) != 4 || parts[0] != "chunks" || !chunk.ValidSession(parts[1]) {
		return "", 0, 0, fmt.Errorf("read chunk: subject %q: %w", s, ErrMalformed)
	}
	segment, ok := index(parts[2])
	if ok {
		seq, ok = index(parts[3])
	}
	if !ok {
		return "", 0, 0, fmt.Errorf("read chunk: subject %q: %w", s, ErrMalformed)
	}
	return parts[1], segment, seq, nil
}

// index reads a number in the one form in which it may be written.
func index(s string) (int, bool) {
	n, err := strconv.ParseInt(s, 10, 32)
	return int(n), err == nil && n >= 0 && strconv.FormatInt(n, 10) == s
}

// fields reads headers and keeps the first error.
type fields struct {
	header nats.Header
	err    error
}

func (f *fields) number(name string, most int64) int64 {
	n, err := strconv.ParseInt(f.header.Get(name), 10, 64)
	if err != nil || n < 0 || n > most {
		f.fail(name)
		return 0
	}
	return n
}

func (f *fields) hash(name string) chunk.Hash {
	var h chunk.Hash
	if err := h.UnmarshalText([]byte(f.header.Get(name))); err != nil {
		f.fail(name)
	}
	return h
}

func (f *fields) size(name string) (width, height int) {
	w, h, found := strings.Cut(f.header.Get(name), "x")
	width, ok := index(w)
	if height, _ = index(h); !found || !ok || width < 1 || height < 1 {
		f.fail(name)
		return 0, 0
	}
	return width, height
}

func (f *fields) fail(name string) {
	if f.err == nil {
		f.err = fmt.Errorf("header %s is missing or malformed", name)
	}
}
