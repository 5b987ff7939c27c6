package screencodec

import "math/bits"

// Photo-like parts of a picture are split into three planes (green, blue minus
// green, red minus green, the two differences around 128), every value is
// predicted from what the decoder already has, and what is left over is coded
// by a slab. The predictors:
const (
	predictLeft    = iota // the value to the left
	predictMedian         // the median of left, above, and left+above-aboveleft
	predictAverage        // half of left+above, rounded down
	predictMotion         // the value in the picture before, at a distance
)

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

// residuals writes cur minus its prediction to out, for one row. up is the row
// above, nil for the first; ref is the row of the picture before.
func residuals(predictor int, out, cur, up, ref []byte) {
	out = out[:len(cur)]
	if predictor == predictMotion {
		ref = ref[:len(cur)]
		for x, v := range cur {
			out[x] = v - ref[x]
		}
		return
	}
	if up == nil {
		l := byte(128)
		for x, v := range cur {
			out[x] = v - l
			l = v
		}
		return
	}
	up = up[:len(cur)]
	switch predictor {
	case predictLeft:
		l := up[0]
		for x, v := range cur {
			out[x] = v - l
			l = v
		}
	case predictMedian:
		l, c := int(up[0]), int(up[0])
		for x, v := range cur {
			u := int(up[x])
			out[x] = v - byte(median(l, u, c))
			l, c = int(v), u
		}
	case predictAverage:
		l := int(up[0])
		for x, v := range cur {
			out[x] = v - byte((l+int(up[x]))>>1)
			l = int(v)
		}
	}
}

// predict returns the prediction of the value at x, given the one to its left.
func predict(predictor int, x int, l byte, up, ref []byte) byte {
	switch {
	case predictor == predictMotion:
		return ref[x]
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
var magnitude = func() (t [256]uint8) {
	for i := range t {
		t[i] = uint8(min(i, 256-i))
	}
	return t
}()

// A split sorts the pixels of a slab by how wrong the predictions were to the
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
