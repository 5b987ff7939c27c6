package screencodec

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/klauspost/compress/huff0"
)

// room is memory for the residuals of a slab, and for the whole word in which the
// last of them are.
type room [slabArea + lanes]byte

// A slabWriter codes photos. It collects the residuals of a slab in the order of
// the pixels, and sorts them by context when it is full.
type slabWriter struct {
	n      int     // pixels collected
	in     [3]room // their residuals, plane by plane
	active room    // and the sizes of their neighbors, of which those above 63 count as 63
	sorted [3]room
	above  []uint64 // sizes of the row above
	table  [maxActivity]uint8
	huff   huff0.Scratch
	out    []byte // the slabs of this picture that are done
}

func newSlabWriter(g geometry) *slabWriter {
	c := &slabWriter{above: make([]uint64, 1<<g.shift/lanes), out: make([]byte, 0, g.usual())}
	c.huff.Reuse = huff0.ReusePolicyNone
	return c
}

// begin starts a picture.
func (c *slabWriter) begin() { c.n, c.out = 0, c.out[:0] }

// add collects the residuals of a photo, which are those of now, or the difference
// to old in the blocks that move.
func (c *slabWriter) add(p photo, kinds []uint8, now, old *wordPlanes) error {
	if p.coded == 0 {
		return nil
	}
	if c.n+p.coded > slabArea {
		if err := c.flush(); err != nil {
			return err
		}
	}
	above := c.above[:now.across]
	clear(above)
	for y := range now.h {
		left := uint64(0)
		for i := range above {
			kind := uint8(blockSpatial)
			if p.motion {
				kind = kinds[y/blockSide*now.across+i]
			}
			var gs, bs, rs uint64
			switch kind {
			case blockCopy:
				above[i], left = 0, 0
				continue
			case blockMotion:
				at := y*now.across + i
				gs = subtract(now.planes[0][at], old.planes[0][at])
				bs = subtract(now.planes[1][at], old.planes[1][at])
				rs = subtract(now.planes[2][at], old.planes[2][at])
			default:
				gs = now.residual(0, p.predictor, y, i)
				bs = now.residual(1, p.predictor, y, i)
				rs = now.residual(2, p.predictor, y, i)
			}
			size := clip63(clip63(sizes(gs)) + clip63(sizes(bs)) + clip63(sizes(rs)))
			n := c.n
			binary.LittleEndian.PutUint64(c.in[0][n:], gs)
			binary.LittleEndian.PutUint64(c.in[1][n:], bs)
			binary.LittleEndian.PutUint64(c.in[2][n:], rs)
			binary.LittleEndian.PutUint64(c.active[n:], above[i]+(size<<8|left))
			above[i], left = size, size>>56
			c.n = n + min(lanes, now.w-i*lanes)
		}
	}
	return nil
}

// flush codes the slab.
func (c *slabWriter) flush() error {
	if c.n == 0 {
		return nil
	}
	s := splitFor(c.n)
	s.table(&c.table)
	counts := c.sort()
	c.out = append(c.out, byte(s.count-1)|byte(s.shift)<<3)
	for _, n := range counts[:s.count] {
		c.out = binary.AppendUvarint(c.out, uint64(n))
	}
	at := 0
	for _, n := range counts[:s.count] {
		for i := range c.sorted {
			if err := c.block(c.sorted[i][at : at+n]); err != nil {
				return err
			}
		}
		at += n
	}
	c.n = 0
	return nil
}

// sort brings the pixels of each context together and returns how many there are.
// It goes over both halves at once, since each step has to wait for the one before
// it.
func (c *slabWriter) sort() (counts [maxContexts]int) {
	half := c.n / 2
	a, b := c.active[:half], c.active[half:c.n]
	b = b[:len(a)+c.n&1]
	var inA, inB [maxContexts]int
	for i, x := range a {
		x, y := c.table[x]&(maxContexts-1), c.table[b[i]]&(maxContexts-1)
		a[i], b[i] = x, y
		inA[x]++
		inB[y]++
	}
	if len(b) > half {
		b[half] = c.table[b[half]] & (maxContexts - 1)
		inB[b[half]]++
	}
	var nextA, nextB [maxContexts]uint16 // the end of a full slab goes around to 0 and is not used
	at := 0
	for i := range counts {
		counts[i] = inA[i] + inB[i]
		nextA[i], nextB[i] = uint16(at), uint16(at+inA[i])
		at += counts[i]
	}
	gs, bs, rs := &c.sorted[0], &c.sorted[1], &c.sorted[2]
	ga, ba, ra := c.in[0][:half], c.in[1][:half], c.in[2][:half]
	gb, bb, rb := c.in[0][half:c.n], c.in[1][half:c.n], c.in[2][half:c.n]
	for i := range a {
		k := &nextA[a[i]&(maxContexts-1)]
		n := *k
		*k = n + 1
		gs[n], bs[n], rs[n] = ga[i], ba[i], ra[i]
		k = &nextB[b[i]&(maxContexts-1)]
		n = *k
		*k = n + 1
		gs[n], bs[n], rs[n] = gb[i], bb[i], rb[i]
	}
	if len(b) > half {
		n := nextB[b[half]]
		gs[n], bs[n], rs[n] = gb[half], bb[half], rb[half]
	}
	return counts
}

// behind returns the picture's slabs with front before them, in the memory of the
// slabs.
func (c *slabWriter) behind(front []byte) []byte {
	n := len(c.out)
	c.out = grow(c.out, len(front))
	copy(c.out[len(front):], c.out[:n])
	copy(c.out, front)
	return c.out
}

// block writes the residuals of one context and plane; nothing for none.
func (c *slabWriter) block(in []byte) error {
	if len(in) == 0 {
		return nil
	}
	out, _, err := huff0.Compress4X(in, &c.huff)
	switch {
	case err == nil:
		c.out = append(c.out, blockHuff)
		c.out = binary.AppendUvarint(c.out, uint64(len(out)))
		c.out = append(c.out, out...)
		return nil
	case errors.Is(err, huff0.ErrUseRLE):
		c.out = append(c.out, blockSame, in[0])
		return nil
	case errors.Is(err, huff0.ErrIncompressible):
		c.out = append(c.out, blockRaw)
		c.out = append(c.out, in...)
		return nil
	}
	return fmt.Errorf("code residuals: %w", err)
}
