package screencodec

import (
	"fmt"

	"github.com/klauspost/compress/huff0"
)

// A stream holds the residuals of one context: the three planes have as many.
type stream struct {
	n      int
	planes [3][]byte
}

// A slabReader decodes slabs. Its buffers grow with the largest slab.
type slabReader struct {
	geometry geometry
	streams  [maxContexts]stream
	table    [maxActivity]uint8
	cur, ref *planes
	active   [2][]uint16 // activity of this row and the one above, one in front
	huff     huff0.Scratch
}

func newSlabReader(g geometry) *slabReader {
	side := 1 << g.shift
	c := &slabReader{geometry: g, cur: newPlanes(side * side), ref: newPlanes(side * side)}
	for i := range c.active {
		c.active[i] = make([]uint16, side+1)
	}
	return c
}

// read decodes the slab that b begins with into the streams and returns what
// follows it.
func (c *slabReader) read(b []byte, area int) ([]byte, error) {
	bad := func(what string) ([]byte, error) {
		return nil, fmt.Errorf("slab: %s: %w", what, ErrCorrupt)
	}
	if area == 0 {
		return b, nil
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
func (c *slabReader) readBlock(dst, b []byte, n int) ([]byte, []byte, bool) {
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

// paint draws a photo from the streams. before is the picture before.
func (c *slabReader) paint(p photo, kinds []uint8, pix, before []byte) bool {
	if p.motion {
		c.ref.split(c.geometry, before, p.from())
	}
	w := p.at.w
	across, _ := p.blocks()
	clear(c.active[0])
	clear(c.active[1])
	for y := range p.at.h {
		if !p.motion {
			if _, ok := c.paintRow(p.predictor, y, 0, w, w, 0); !ok {
				return false
			}
			continue
		}
		left, ok := uint16(0), true
		for bx, kind := range kinds[y/blockSide*across:][:across] {
			x0, x1 := bx*blockSide, min((bx+1)*blockSide, w)
			switch kind {
			case blockSpatial:
				left, ok = c.paintRow(p.predictor, y, x0, x1, w, left)
			case blockMotion:
				left, ok = c.paintRow(predictors, y, x0, x1, w, left)
			case blockCopy:
				for i := range 3 {
					copy(c.cur[i][y*w+x0:y*w+x1], c.ref[i][y*w+x0:y*w+x1])
				}
				clear(c.active[1-y&1][1+x0 : 1+x1])
				left = 0
			}
			if !ok {
				return false
			}
		}
	}
	c.cur.join(c.geometry, pix, p.at)
	return true
}

// paintRow fills c.cur from the streams. The
// predictor called predictors is the picture before.
func (c *slabReader) paintRow(predictor, y, x0, x1, w int, left uint16) (uint16, bool) {
	above, here := c.active[y&1][1:w+1], c.active[1-y&1][1:w+1]
	var row, up, old [3][]byte
	var l [3]byte
	for i := range 3 {
		row[i], old[i] = c.cur[i][y*w:(y+1)*w], c.ref[i][y*w:(y+1)*w]
		if y > 0 {
			up[i] = c.cur[i][(y-1)*w : y*w]
		}
		switch {
		case x0 > 0:
			l[i] = row[i][x0-1]
		case y > 0:
			l[i] = up[i][0]
		default:
			l[i] = 128
		}
	}
	for x := x0; x < x1; x++ {
		s := &c.streams[c.table[above[x]+left]&(maxContexts-1)]
		n := s.n
		if n >= len(s.planes[0]) || n >= len(s.planes[1]) || n >= len(s.planes[2]) {
			return 0, false
		}
		s.n++
		left = 0
		for i := range 3 {
			v := s.planes[i][n]
			left += uint16(magnitude[v])
			if predictor == predictors {
				v += old[i][x]
			} else {
				v += predict(predictor, x, l[i], up[i])
			}
			row[i][x], l[i] = v, v
		}
		here[x] = left
	}
	return left, true
}
