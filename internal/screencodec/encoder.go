package screencodec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"
)

const (
	defaultTileShift = 5
	zstdWindow       = 4 << 20
)

// An Encoder writes the pictures of one screen to one stream after the other.
// It keeps the last picture and is not safe for concurrent use.
type Encoder struct {
	geometry geometry
	interval int

	w      io.Writer
	err    error // why the stream cannot go on
	open   bool
	last   time.Duration // time of the last picture
	frames int
	toKey  int // pictures until the next key picture

	prev    []byte
	seen    []bool // tiles to be compared
	boxes   []span
	marked  []bool
	moves   *moveFinder
	palette *palette
	stage   stage
	slabs   *slabWriter
	chooser chooser

	zw    *zstd.Encoder
	zout  sink
	raw   []byte
	line  []byte // of a picture
	front []byte // of the record: all but the slabs
}

// sink collects what zstd writes.
type sink struct{ b []byte }

func (s *sink) Write(p []byte) (int, error) {
	s.b = append(s.b, p...)
	return len(p), nil
}

// NewEncoder allocates an encoder. Begin must be called before Encode.
func NewEncoder(cfg Config) (*Encoder, error) { return newEncoder(cfg, defaultTileShift) }

func newEncoder(cfg Config, shift uint) (*Encoder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("new screen encoder: %w", err)
	}
	g := newGeometry(cfg.Width, cfg.Height, shift)
	zw, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithWindowSize(zstdWindow),
		zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("new screen encoder: %w", err)
	}
	e := &Encoder{
		geometry: g, interval: cfg.KeyInterval, zw: zw,
		prev: make([]byte, g.stride()*g.height), seen: make([]bool, g.tiles()),
		boxes: make([]span, g.tiles()), marked: make([]bool, g.tiles()),
		moves: newMoveFinder(g), palette: newPalette(1 << (2 * shift)), stage: newStage(g),
		slabs: newSlabWriter(g), chooser: newChooser(g), raw: make([]byte, 0, g.usual()),
	}
	if e.interval == 0 {
		e.interval = DefaultKeyInterval
	}
	return e, nil
}

// Begin starts a new stream on w, whose media time 0 is start, and writes its
// header. A stream that was not ended is left as it is. The next picture is a
// key picture.
func (e *Encoder) Begin(w io.Writer, start time.Time) error {
	e.w, e.open, e.err = w, true, nil
	e.last, e.frames, e.toKey = -1, 0, 0
	e.chooser.distances = [len(e.chooser.distances)]distance{}
	g := e.geometry
	e.front = appendHeader(e.front[:0], g.width, g.height, g.shift, start)
	return e.write(e.front)
}

// write hands a whole record to the stream.
func (e *Encoder) write(b []byte) error {
	if _, err := e.w.Write(b); err != nil {
		e.err = fmt.Errorf("write screen stream: %w", err)
	}
	return e.err
}

var errNotOpen = errors.New("no stream was begun")

// Encode writes one picture: BGR0 rows of 4*width bytes, the fourth byte of
// every pixel ignored. at is its media time, which counts in microseconds and
// must be larger than the one before. pix stays the caller's and is never written
// to. Where something else writes to it during the call, the picture is a mix of
// what was there, but the stream as good as any. After an error of the writer the
// stream is at its end, and Begin starts another.
func (e *Encoder) Encode(pix []byte, at time.Duration) (FrameInfo, error) {
	setAll(e.seen)
	return e.encodeSeen(pix, at)
}

// EncodeChanged is Encode for a caller that knows where the picture differs from
// the one before: changed covers at least every pixel that does. Only the tiles
// it touches are read, unless a key picture is due, which takes the whole
// picture. Parts of rectangles outside the picture count for nothing. What is
// written is what Encode would write.
func (e *Encoder) EncodeChanged(pix []byte, changed []image.Rectangle, at time.Duration) (FrameInfo, error) {
	clear(e.seen)
	for _, r := range changed {
		e.geometry.touch(e.seen, r)
	}
	return e.encodeSeen(pix, at)
}

func (e *Encoder) encodeSeen(pix []byte, at time.Duration) (FrameInfo, error) {
	if err := e.ready(); err != nil {
		return FrameInfo{}, err
	}
	if len(pix) != len(e.prev) {
		return FrameInfo{}, fmt.Errorf("encode picture: %d bytes instead of %d", len(pix), len(e.prev))
	}
	if at < 0 {
		return FrameInfo{}, fmt.Errorf("encode picture: time %v", at)
	}
	at = at.Truncate(time.Microsecond)
	if at <= e.last || at-max(e.last, 0) > maxStep*time.Microsecond || at > maxTime*time.Microsecond {
		return FrameInfo{}, fmt.Errorf("encode picture: time %v after %v", at, e.last)
	}
	info, payload, err := e.encode(pix)
	if err != nil {
		e.err = err
		return FrameInfo{}, err
	}
	rec := sealRecord(payload, info.Kind, at-max(e.last, 0))
	info.Bytes = len(rec)
	e.last = at
	e.frames++
	if e.toKey--; e.toKey < 0 {
		e.toKey = e.interval - 1
	}
	return info, e.write(rec)
}

func (e *Encoder) ready() error {
	if !e.open {
		return errNotOpen
	}
	return e.err
}

// End writes the end record; the stream is complete then. at is when the last
// picture stops being shown, not before its time.
func (e *Encoder) End(at time.Duration) error {
	if err := e.ready(); err != nil {
		return err
	}
	at = at.Truncate(time.Microsecond)
	from := max(e.last, 0)
	if at < from || at-from > maxStep*time.Microsecond {
		return fmt.Errorf("end screen stream: time %v after %v", at, from)
	}
	e.open = false
	e.begin()
	e.front = binary.AppendUvarint(e.front, uint64(e.frames))
	sum := uint32(0)
	if e.frames > 0 {
		sum = checksum(e.prev)
	}
	e.front = binary.LittleEndian.AppendUint32(e.front, sum)
	return e.write(sealRecord(e.front, kindEnd, at-from))
}

// begin starts a record, leaving room for its head.
func (e *Encoder) begin() { e.front = grow(e.front[:0], maxRecordHead) }

// checksum returns the CRC-32C of a picture with its fourth bytes at 0, which
// it sets.
func checksum(pix []byte) uint32 {
	for i := 3; i < len(pix); i += 4 {
		pix[i] = 0
	}
	return crc32.Checksum(pix, castagnoli)
}
