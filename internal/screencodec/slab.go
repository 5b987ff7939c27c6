package screencodec

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/huff0"
)

// slabArea is how many pixels a slab holds at most: photo-like tiles are put
// into one slab, in their order, until the next would not fit.
const slabArea = 1 << 16

// A photo is a part of the picture that is coded by prediction.
type photo struct {
	at        rect
	predictor int
	dx, dy    int // predictMotion: where it was in the picture before
}

// from returns where a photo is predicted from.
func (p photo) from() rect { return rect{p.at.x + p.dx, p.at.y + p.dy, p.at.w, p.at.h} }

// slabEnd returns how many of the photos go into the next slab, and their area.
func slabEnd(photos []photo) (n, area int) {
	for _, p := range photos {
		if area+p.at.area() > slabArea {
			break
		}
		area += p.at.area()
		n++
	}
	return n, area
}

// A stream holds the residuals of one context: the three planes have as many.
type stream struct {
	n      int
	planes [3][]byte
}

// A slabCoder codes and decodes slabs. Its buffers grow with the largest slab.
type slabCoder struct {
	geometry geometry
	streams  [maxContexts]stream
	table    [maxActivity]uint8
	cur, ref *planes
	rows     [3][]byte   // residuals of a row
	active   [2][]uint16 // activity of this row and the one above, one in front
	huff     huff0.Scratch
}

func newSlabCoder(g geometry) *slabCoder {
	side := 1 << g.shift
	c := &slabCoder{geometry: g, cur: newPlanes(side * side), ref: newPlanes(side * side)}
	for i := range c.rows {
		c.rows[i] = make([]byte, side)
	}
	for i := range c.active {
		c.active[i] = make([]uint16, side+1)
	}
	c.huff.Reuse = huff0.ReusePolicyNone
	return c
}

// reserve makes room for area residuals in each of count contexts.
func (c *slabCoder) reserve(count, area int) {
	for i := range c.streams[:count] {
		s := &c.streams[i]
		s.n = 0
		for p := range s.planes {
			if cap(s.planes[p]) < area {
				s.planes[p] = make([]byte, area)
			}
			s.planes[p] = s.planes[p][:cap(s.planes[p])]
		}
	}
}

// splitFor chooses contexts for a slab: few for few pixels, since every context
// brings three code tables.
func splitFor(area int) contextSplit {
	switch {
	case area < 2<<10:
		return contextSplit{1, 0}
	case area < 12<<10:
		return contextSplit{3, 3}
	}
	return contextSplit{6, 1}
}

// append codes the photos, which fill one slab.
func (c *slabCoder) append(b []byte, photos []photo, area int, cur, prev []byte) ([]byte, error) {
	s := splitFor(area)
	s.table(&c.table)
	c.reserve(s.count, area)
	for _, p := range photos {
		c.collect(p, cur, prev)
	}
	b = append(b, byte(s.count-1)|byte(s.shift)<<3)
	for i := range c.streams[:s.count] {
		b = binary.AppendUvarint(b, uint64(c.streams[i].n))
	}
	var err error
	for i := range c.streams[:s.count] {
		for p := range c.streams[i].planes {
			if b, err = c.appendBlock(b, c.streams[i].planes[p][:c.streams[i].n]); err != nil {
				return b, err
			}
		}
	}
	return b, nil
}

// collect sorts the residuals of one photo into the streams.
func (c *slabCoder) collect(p photo, cur, prev []byte) {
	c.cur.split(c.geometry, cur, p.at)
	if p.predictor == predictMotion {
		c.ref.split(c.geometry, prev, p.from())
	}
	w := p.at.w
	clear(c.active[0])
	clear(c.active[1])
	for y := range p.at.h {
		for i := range 3 {
			var up []byte
			if y > 0 {
				up = c.cur[i][(y-1)*w : y*w]
			}
			residuals(p.predictor, c.rows[i], c.cur[i][y*w:(y+1)*w], up, c.ref[i][y*w:(y+1)*w])
		}
		above, here := c.active[y&1][1:w+1], c.active[1-y&1][1:w+1]
		gs, bs, rs := c.rows[0][:w], c.rows[1][:w], c.rows[2][:w]
		left := uint16(0)
		for x := range gs {
			s := &c.streams[c.table[above[x]+left]&(maxContexts-1)]
			n := s.n
			s.planes[0][n], s.planes[1][n], s.planes[2][n] = gs[x], bs[x], rs[x]
			s.n = n + 1
			left = uint16(magnitude[gs[x]]) + uint16(magnitude[bs[x]]) + uint16(magnitude[rs[x]])
			here[x] = left
		}
	}
}

// The forms of a block.
const (
	blockRaw  = 0 // as it is
	blockSame = 1 // one byte that all are
	blockHuff = 2 // varint length, Huffman table and four streams
)

// appendBlock writes the residuals of one context and plane; nothing for none.
func (c *slabCoder) appendBlock(b, in []byte) ([]byte, error) {
	if len(in) == 0 {
		return b, nil
	}
	out, _, err := huff0.Compress4X(in, &c.huff)
	switch {
	case err == nil:
		b = append(b, blockHuff)
		b = binary.AppendUvarint(b, uint64(len(out)))
		return append(b, out...), nil
	case errors.Is(err, huff0.ErrUseRLE):
		return append(b, blockSame, in[0]), nil
	case errors.Is(err, huff0.ErrIncompressible):
		b = append(b, blockRaw)
		return append(b, in...), nil
	}
	return b, fmt.Errorf("code residuals: %w", err)
}

// read decodes the slab that b begins with into the streams and returns what
// follows it.
func (c *slabCoder) read(b []byte, area int) ([]byte, error) {
	bad := func(what string) ([]byte, error) {
		return nil, fmt.Errorf("slab: %s: %w", what, ErrCorrupt)
	}
	if len(b) == 0 {
		return bad("missing")
	}
	s := contextSplit{int(b[0]&7) + 1, uint(b[0] >> 3)}
	if s.shift > maxContextShift {
		return bad("wrong split")
	}
	b = b[1:]
	s.table(&c.table)
	var counts [maxContexts]int
	left := area
	for i := range s.count {
		n, rest, ok := takeUvarint(b, uint64(left))
		if !ok {
			return bad("wrong count")
		}
		counts[i], b = int(n), rest
		left -= int(n)
	}
	if left != 0 {
		return bad("wrong count")
	}
	var ok bool
	for i := range c.streams {
		st := &c.streams[i]
		st.n = 0
		for p := range st.planes {
			if st.planes[p], b, ok = c.readBlock(st.planes[p], b, counts[i]); !ok {
				return bad("wrong block")
			}
		}
	}
	return b, nil
}

// readBlock decodes a block of n residuals into dst and returns it and what
// follows the block.
func (c *slabCoder) readBlock(dst, b []byte, n int) ([]byte, []byte, bool) {
	dst = dst[:0]
	if n == 0 {
		return dst, b, true
	}
	if len(b) < 2 {
		return dst, nil, false
	}
	form := b[0]
	b = b[1:]
	dst = grow(dst, n)
	switch form {
	case blockRaw:
		if len(b) < n {
			return dst, nil, false
		}
		copy(dst, b[:n])
		return dst, b[n:], true
	case blockSame:
		for i := range dst {
			dst[i] = b[0]
		}
		return dst, b[1:], true
	case blockHuff:
		size, rest, ok := takeUvarint(b, uint64(len(b)))
		if !ok || size > uint64(len(rest)) {
			return dst, nil, false
		}
		_, data, err := huff0.ReadTable(rest[:size], &c.huff)
		if err != nil {
			return dst, nil, false
		}
		out, err := c.huff.Decoder().Decompress4X(dst[:0:n], data)
		if err != nil || len(out) != n {
			return dst, nil, false
		}
		return out, rest[size:], true
	}
	return dst, nil, false
}

// paint draws a photo from the streams. ref is the picture before.
func (c *slabCoder) paint(p photo, pix, ref []byte) bool {
	if p.predictor == predictMotion {
		c.ref.split(c.geometry, ref, p.from())
	}
	w := p.at.w
	clear(c.active[0])
	clear(c.active[1])
	for y := range p.at.h {
		above, here := c.active[y&1][1:w+1], c.active[1-y&1][1:w+1]
		var row, up, old [3][]byte
		var l [3]byte
		for i := range 3 {
			row[i], old[i] = c.cur[i][y*w:(y+1)*w], c.ref[i][y*w:(y+1)*w]
			l[i] = 128
			if y > 0 {
				up[i] = c.cur[i][(y-1)*w : y*w]
				l[i] = up[i][0]
			}
		}
		left := uint16(0)
		for x := range w {
			s := &c.streams[c.table[above[x]+left]&(maxContexts-1)]
			n := s.n
			if n >= len(s.planes[0]) || n >= len(s.planes[1]) || n >= len(s.planes[2]) {
				return false
			}
			s.n++
			left = 0
			for i := range 3 {
				v := s.planes[i][n]
				left += uint16(magnitude[v])
				v += predict(p.predictor, x, l[i], up[i], old[i])
				row[i][x], l[i] = v, v
			}
			here[x] = left
		}
	}
	c.cur.join(c.geometry, pix, p.at)
	return true
}
