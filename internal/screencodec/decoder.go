package screencodec

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"
)

// A Decoder reads the pictures of one stream. It reads ahead of what it has
// returned, and is not safe for concurrent use.
type Decoder struct {
	header   Header
	limits   Limits
	geometry geometry
	records  recordReader
	err      error // what every further Next returns
	at       time.Duration
	frames   int
	began    bool // a key picture was seen

	pix     []byte // the picture
	before  []byte // the one before, once a record has needed it
	stale   []bool // tiles of before that are behind
	motion  bool   // this record predicts from before
	marked  []bool
	list    []int32
	moves   []move
	photos  []photo
	kinds   []uint8 // of the photos' blocks
	palette paletteReader
	slabs   *slabReader
	changed []image.Rectangle

	zr   *zstd.Decoder
	feed feeder
	raw  []byte
}

// feeder gives zstd the compressed bytes of one record.
type feeder struct{ b []byte }

func (f *feeder) Read(p []byte) (int, error) {
	if len(f.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, f.b)
	f.b = f.b[n:]
	return n, nil
}

// NewDecoder reads the stream's header and checks it against the limits before
// it takes memory for a picture. It returns ErrTruncated, ErrCorrupt,
// ErrVersion, ErrLimit or the error of r.
func NewDecoder(r io.Reader, limits Limits) (*Decoder, error) {
	d := &Decoder{limits: limits.withDefaults()}
	d.records = recordReader{r: bufio.NewReaderSize(r, 64<<10), keep: true}
	h, err := d.records.readHeader()
	if err != nil {
		return nil, err
	}
	if h.Width > d.limits.MaxWidth || h.Height > d.limits.MaxHeight {
		return nil, fmt.Errorf("picture of %dx%d: %w", h.Width, h.Height, ErrLimit)
	}
	d.header, d.geometry = h, d.records.geometry
	d.zr, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(zstdWindow), zstd.IgnoreChecksum(true))
	if err != nil {
		return nil, fmt.Errorf("new screen decoder: %w", err)
	}
	return d, nil
}

// Header returns what the stream says about itself.
func (d *Decoder) Header() Header { return d.header }

// End returns the time at which the last picture stops being shown; it is
// known once Next has returned io.EOF, before that it is the last picture's.
func (d *Decoder) End() time.Duration { return d.at }

// Next returns the next picture. It returns io.EOF after a proper end record
// only; ErrTruncated where the input ends before, ErrCorrupt or ErrLimit for
// bad input, or the reader's error. After an error it returns that again.
func (d *Decoder) Next() (Frame, error) {
	if d.err != nil {
		return Frame{}, d.err
	}
	f, err := d.next()
	if err != nil {
		d.err = err
		if !errors.Is(err, io.EOF) {
			d.err = fmt.Errorf("decode picture %d: %w", d.frames, err)
		}
		return Frame{}, d.err
	}
	return f, nil
}

func (d *Decoder) next() (Frame, error) {
	rec, err := d.records.next()
	if err != nil {
		return Frame{}, err
	}
	if d.frames > 0 && rec.step == 0 && rec.kind != kindEnd {
		return Frame{}, fmt.Errorf("time stands still: %w", ErrCorrupt)
	}
	d.at += rec.step
	if d.at > d.limits.MaxDuration {
		return Frame{}, fmt.Errorf("time %v: %w", d.at, ErrLimit)
	}
	if rec.kind == kindEnd {
		return Frame{}, d.end(rec.payload)
	}
	if d.frames++; d.frames > d.limits.MaxFrames {
		return Frame{}, fmt.Errorf("%d pictures: %w", d.frames, ErrLimit)
	}
	if !d.began && rec.kind != KindKey {
		return Frame{}, fmt.Errorf("%s record before a key: %w", rec.kind, ErrCorrupt)
	}
	d.changed = d.changed[:0]
	if rec.kind == KindRepeat {
		if len(rec.payload) != 0 {
			return Frame{}, fmt.Errorf("repeat record with payload: %w", ErrCorrupt)
		}
	} else if err := d.decode(rec); err != nil {
		return Frame{}, err
	}
	return Frame{Pix: d.pix, At: d.at, Kind: rec.kind, Changed: d.changed}, nil
}

// end checks the end record against what was decoded.
func (d *Decoder) end(b []byte) error {
	n, b, ok := takeUvarint(b, uint64(d.limits.MaxFrames))
	if !ok || len(b) != 4 || n != uint64(d.frames) {
		return fmt.Errorf("end record for %d pictures: %w", n, ErrCorrupt)
	}
	sum := uint32(0)
	if d.frames > 0 {
		sum = checksum(d.pix)
	}
	if binary.LittleEndian.Uint32(b) != sum {
		return fmt.Errorf("wrong checksum of the last picture: %w", ErrCorrupt)
	}
	return io.EOF
}

// decode brings the picture to what a key or change record says.
func (d *Decoder) decode(rec record) error {
	key := rec.kind == KindKey
	g := d.geometry
	if d.marked == nil {
		d.marked, d.stale = make([]bool, g.tiles()), make([]bool, g.tiles())
	}
	for _, i := range d.list { // of the record before
		d.marked[i] = false
	}
	if len(rec.payload) == 0 || rec.payload[0]&^knownFlags != 0 {
		return fmt.Errorf("%s record: unknown flags: %w", rec.kind, ErrCorrupt)
	}
	flags := rec.payload[0]
	if key && flags&flagMotion != 0 {
		return fmt.Errorf("motion in a key record: %w", ErrCorrupt)
	}
	b, list, err := readTileMap(rec.payload[1:], flags, d.marked, d.list[:0], key)
	d.list = list
	if err != nil {
		return err
	}
	d.moves = d.moves[:0]
	if !key {
		if b, d.moves, err = g.readMoves(b, d.marked, len(d.list), d.moves); err != nil {
			return err
		}
	}
	if b, err = d.decompress(b, key); err != nil {
		return err
	}
	if key {
		d.blacken()
		d.palette.n = 0
	}
	d.motion = flags&flagMotion != 0
	if d.motion || len(d.moves) > 0 {
		d.catchUp()
		d.move()
	}
	if err := d.paint(); err != nil {
		return err
	}
	if err := d.paintPhotos(b); err != nil {
		return err
	}
	for _, i := range d.list {
		d.stale[i] = true
	}
	if key {
		d.began = true
		d.changed = append(d.changed, image.Rect(0, 0, g.width, g.height))
	} else {
		d.changed = g.rectangles(d.changed, d.list)
	}
	return nil
}

// decompress fills d.raw with the tile data and returns what follows it.
func (d *Decoder) decompress(b []byte, key bool) ([]byte, error) {
	size, b, ok := takeUvarint(b, uint64(d.geometry.maxRaw(len(d.list))))
	if !ok {
		return nil, fmt.Errorf("tile data: wrong size: %w", ErrCorrupt)
	}
	packed, b, ok := takeUvarint(b, uint64(len(b)))
	if !ok || packed > uint64(len(b)) {
		return nil, fmt.Errorf("tile data: wrong length: %w", ErrCorrupt)
	}
	d.feed.b = b[:packed]
	if key {
		if err := d.zr.Reset(&d.feed); err != nil {
			return nil, fmt.Errorf("tile data: %w: %w", err, ErrCorrupt)
		}
	}
	d.raw = d.raw[:0]
	for left := int(size); left > 0; {
		n := min(left, readStep)
		at := len(d.raw)
		d.raw = grow(d.raw, n)
		if _, err := io.ReadFull(d.zr, d.raw[at:]); err != nil {
			return nil, fmt.Errorf("tile data: %w: %w", err, ErrCorrupt)
		}
		left -= n
	}
	if len(d.feed.b) != 0 {
		return nil, fmt.Errorf("tile data: more than announced: %w", ErrCorrupt)
	}
	return b[packed:], nil
}

// catchUp brings the tiles of before that are behind to what the picture is.
// That is work for tiles that were marked since, and the first time for all.
func (d *Decoder) catchUp() {
	if d.before == nil {
		d.before = make([]byte, len(d.pix))
		copy(d.before, d.pix)
		clear(d.stale)
		return
	}
	for i, s := range d.stale {
		if s {
			d.geometry.copyTile(d.before, d.pix, i)
			d.stale[i] = false
		}
	}
}

// blacken makes the picture black, taking its memory the first time.
func (d *Decoder) blacken() {
	if d.pix == nil {
		d.pix = make([]byte, d.geometry.stride()*d.geometry.height)
		return
	}
	clear(d.pix)
	for i := range d.stale {
		d.stale[i] = true
	}
}

// move carries out the moves: all of them read the picture as it was. Motion
// is then predicted from the picture after the moves.
func (d *Decoder) move() {
	g := d.geometry
	for _, m := range d.moves {
		for y := range m.to.h {
			copy(g.row(d.pix, m.to, y), g.row(d.before, m.from(), y))
		}
	}
	if d.motion && len(d.moves) > 0 {
		for _, i := range d.list {
			g.copyTile(d.before, d.pix, int(i))
		}
	}
}
