package screencodec

import "math/bits"

// Photo-like parts of a picture are split into three planes (green, blue minus
// green, red minus green, the two differences around 128), every value is
// predicted from what the decoder already has, and what is left over is coded
// by a slab. The spatial predictors, one for a whole photo:
const (
	predictLeft    = iota // the value to the left
	predictMedian         // the median of left, above, and left+above-aboveleft
	predictAverage        // half of left+above, rounded down

	predictors
)

// A photo that is also found in the picture before says for each of its blocks,
// blockSide pixels wide and high, what is done about it.
const (
	blockSpatial = 0 // the photo's spatial predictor
	blockMotion  = 1 // the prediction is the value in the picture before
	blockCopy    = 2 // as blockMotion, and nothing is left over: none is coded

	blockSide = 8
)

// A photo is a part of the picture that is coded by prediction.
type photo struct {
	at        rect
	predictor int
	motion    bool     // blocks have kinds
	distance  distance // to where it was in the picture before
	kinds     [2]int   // where the kinds of its blocks begin and end
	coded     int      // pixels that have residuals
}

// from returns where a photo was in the picture before.
func (p photo) from() rect {
	return rect{p.at.x + p.distance.dx, p.at.y + p.distance.dy, p.at.w, p.at.h}
}

// blocks returns how many blocks a row and the photo have.
func (p photo) blocks() (across, all int) {
	across = (p.at.w + blockSide - 1) / blockSide
	return across, across * ((p.at.h + blockSide - 1) / blockSide)
}

// planes holds the three planes of one tile, row by row.
type planes [3][]byte

func newPlanes(area int) *planes {
	return &planes{make([]byte, area), make([]byte, area), make([]byte, area)}
}

// split fills the planes with r of pix.
func (p *planes) split(g geometry, pix []byte, r rect) {
	n := 0
	for y := range r.h {
		row := g.row(pix, r, y)
		gs, bs, rs := p[0][n:n+r.w], p[1][n:n+r.w], p[2][n:n+r.w]
		bs, rs = bs[:len(gs)], rs[:len(gs)]
		for x := range gs {
			px := row[x*4 : x*4+4 : x*4+4]
			gr := px[1]
			gs[x], bs[x], rs[x] = gr, px[0]-gr+128, px[2]-gr+128
		}
		n += r.w
	}
}

// join draws the planes to r of pix.
func (p *planes) join(g geometry, pix []byte, r rect) {
	n := 0
	for y := range r.h {
		row := g.row(pix, r, y)
		for x := range r.w {
			gr := p[0][n]
			store(row[x*4:], uint32(p[1][n]+gr-128)|uint32(gr)<<8|uint32(p[2][n]+gr-128)<<16)
			n++
		}
	}
}

// median returns the middle one of l, u and l+u-c.
func median(l, u, c int) int {
	lo, hi := min(l, u), max(l, u)
	return max(lo, min(hi, l+u-c))
}

// predict returns the spatial prediction of the value at x, given the one to
// its left.
func predict(predictor int, x int, l byte, up []byte) byte {
	switch {
	case up == nil || predictor == predictLeft:
		return l
	case predictor == predictAverage:
		return byte((int(l) + int(up[x])) >> 1)
	}
	c := up[0]
	if x > 0 {
		c = up[x-1]
	}
	return byte(median(int(l), int(up[x]), int(c)))
}

// magnitude is how far a residual is from 0, going around at 256.
var magnitude = func() (t [256]uint8) { //nolint:gochecknoglobals // a table that is never written
	for i := range t {
		t[i] = uint8(min(i, 256-i))
	}
	return t
}()

// A contextSplit sorts the pixels of a slab by how wrong the predictions were to the
// left and above: each group, called a context, gets codes of its own.
type contextSplit struct {
	count int  // contexts, 1 to maxContexts
	shift uint // activity is divided by 1<<shift, then its binary length counts
}

const (
	maxContexts     = 8
	maxContextShift = 7
	maxActivity     = 2*3*128 + 1
)

// table returns the context of every activity.
func (s contextSplit) table(t *[maxActivity]uint8) {
	for a := range t {
		t[a] = uint8(min(bits.Len(uint(a)>>s.shift), s.count-1))
	}
}

// appendKinds writes the kinds of a photo's blocks, four to a byte, the first in
// the lowest bits.
func appendKinds(b []byte, kinds []uint8) []byte {
	for i := 0; i < len(kinds); i += 4 {
		var v byte
		for j, k := range kinds[i:min(i+4, len(kinds))] {
			v |= k << (2 * j)
		}
		b = append(b, v)
	}
	return b
}

// takeKinds reads the kinds of p's blocks from b, appends them to kinds and
// counts the coded pixels.
func (p *photo) takeKinds(kinds []uint8, b []byte) ([]uint8, []byte, bool) {
	across, all := p.blocks()
	size := (all + 3) / 4
	if len(b) < size {
		return kinds, nil, false
	}
	p.kinds[0] = len(kinds)
	p.coded = 0
	for i := range all {
		k := b[i/4] >> (2 * (i & 3)) & 3
		if k > blockCopy {
			return kinds, nil, false
		}
		if k != blockCopy {
			w := min(blockSide, p.at.w-i%across*blockSide)
			h := min(blockSide, p.at.h-i/across*blockSide)
			p.coded += w * h
		}
		kinds = append(kinds, k)
	}
	p.kinds[1] = len(kinds)
	return kinds, b[size:], true
}
