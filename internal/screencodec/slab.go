package screencodec

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/huff0"
)

// slabArea is how many coded pixels a slab holds at most: photos are put into
// one slab, in their order, until the next would not fit. A slab of photos
// without coded pixels takes no bytes.
const slabArea = 1 << 16

// slabEnd returns how many of the photos go into the next slab, and their
// coded pixels.
func slabEnd(photos []photo) (n, area int) {
	for _, p := range photos {
		if area+p.coded > slabArea {
			break
		}
		area += p.coded
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

// append codes the photos, which fill one slab of area pixels. kinds are those
// of all photos.
func (c *slabCoder) append(b []byte, photos []photo, kinds []uint8, area int, cur, prev []byte) ([]byte, error) {
	if area == 0 {
		return b, nil
	}
	s := splitFor(area)
	s.table(&c.table)
	c.reserve(s.count, area)
	for _, p := range photos {
		c.collect(p, kinds[p.kinds[0]:p.kinds[1]], cur, prev)
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
func (c *slabCoder) collect(p photo, kinds []uint8, cur, prev []byte) {
	if p.coded == 0 {
		return
	}
	c.cur.split(c.geometry, cur, p.at)
	w := p.at.w
	across, _ := p.blocks()
	clear(c.active[0])
	clear(c.active[1])
	for y := range p.at.h {
		for i := range 3 {
			var up []byte
			if y > 0 {
				up = c.cur[i][(y-1)*w : y*w]
			}
			residuals(p.predictor, c.rows[i], c.cur[i][y*w:(y+1)*w], up)
		}
		if !p.motion {
			c.collectRow(y, 0, w, 0)
			continue
		}
		left := uint16(0)
		for bx, kind := range kinds[y/blockSide*across:][:across] {
			x0, x1 := bx*blockSide, min((bx+1)*blockSide, w)
			switch kind {
			case blockCopy:
				clear(c.active[1-y&1][1+x0 : 1+x1])
				left = 0
				continue
			case blockMotion:
				old := c.geometry.row(prev, p.from(), y)[x0*4 : x1*4]
				for x := x0; x < x1; x++ {
					px := old[:4:4]
					old = old[4:]
					at, gr := y*w+x, px[1]
					c.rows[0][x] = c.cur[0][at] - gr
					c.rows[1][x] = c.cur[1][at] - (px[0] - gr + 128)
					c.rows[2][x] = c.cur[2][at] - (px[2] - gr + 128)
				}
			}
			left = c.collectRow(y, x0, x1, left)
		}
	}
}

// collectRow sorts the residuals from x0 to before x1 of a row into the
// streams. left is the activity before x0; that of the last pixel is returned.
func (c *slabCoder) collectRow(y, x0, x1 int, left uint16) uint16 {
	gs, bs, rs := c.rows[0][x0:x1], c.rows[1][x0:x1], c.rows[2][x0:x1]
	above, here := c.active[y&1][1+x0:1+x1], c.active[1-y&1][1+x0:1+x1]
	bs, rs, above, here = bs[:len(gs)], rs[:len(gs)], above[:len(gs)], here[:len(gs)]
	for x := range gs {
		s := &c.streams[c.table[above[x]+left]&(maxContexts-1)]
		n := s.n
		s.planes[0][n], s.planes[1][n], s.planes[2][n] = gs[x], bs[x], rs[x]
		s.n = n + 1
		left = uint16(magnitude[gs[x]]) + uint16(magnitude[bs[x]]) + uint16(magnitude[rs[x]])
		here[x] = left
	}
	return left
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
