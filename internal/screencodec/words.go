package screencodec

import "encoding/binary"

// wordPlanes are the three planes of a photo for the encoder: rows of words,
// eight pixels in each, the last one filled up with pixels that are black.
type wordPlanes struct {
	w, h   int
	across int // words in a row
	planes [3][]uint64
	last   [4 * lanes]byte // pixels of a word that is filled up
}

func newWordPlanes(side int) *wordPlanes {
	n := side * side / lanes
	return &wordPlanes{planes: [3][]uint64{make([]uint64, n), make([]uint64, n), make([]uint64, n)}}
}

// split fills the planes with a part of a picture.
func (p *wordPlanes) split(s patch) {
	p.w, p.h, p.across = s.w, s.h, (s.w+lanes-1)/lanes
	at := 0
	for y := range s.h {
		row := s.row(y)
		gs, bs, rs := p.planes[0][at:at+p.across], p.planes[1][at:at+p.across], p.planes[2][at:at+p.across]
		bs, rs = bs[:len(gs)], rs[:len(gs)]
		for i := range gs {
			if len(row) < 4*lanes {
				clear(p.last[copy(p.last[:], row):])
				row = p.last[:]
			}
			gs[i], bs[i], rs[i] = splitWord(row)
			row = row[4*lanes:]
		}
		at += p.across
	}
}

// splitWord returns green, blue minus green, and red minus green of eight pixels,
// the latter two around 128.
func splitWord(b []byte) (gs, bs, rs uint64) {
	b = b[:4*lanes]
	const (
		one = 0x000000ff000000ff // one byte of each of two pixels
		two = 0x0000ffff0000ffff
	)
	w0, w1 := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])
	w2, w3 := binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:])
	g0, g1, g2, g3 := w0>>8&one, w1>>8&one, w2>>8&one, w3>>8&one
	gl, gh := g0|g1<<16, g2|g3<<16
	gs = uint64(uint32(gl|gl>>24)) | (gh|gh>>24)<<32
	lo := uint64(pair(w0, g0)) | uint64(pair(w1, g1))<<32
	hi := uint64(pair(w2, g2)) | uint64(pair(w3, g3))<<32
	bl, bh := lo&two, hi&two
	rl, rh := lo>>16&two, hi>>16&two
	bs = uint64(uint32(bl|bl>>16)) | (bh|bh>>16)<<32
	rs = uint64(uint32(rl|rl>>16)) | (rh|rh>>16)<<32
	return gs, bs, rs
}

// pair returns, for two pixels and their green, blue minus green of both and red
// minus green of both.
func pair(w, green uint64) uint32 {
	const even = 0x00ff00ff00ff00ff
	t := (w&even + 0x0180018001800180 - green - green<<16) & even
	return uint32(t | t>>24)
}

// residual returns a word of a plane, the word i of row y, minus its spatial
// prediction.
func (p *wordPlanes) residual(plane, predictor, y, i int) uint64 {
	at := y * p.across
	row := p.planes[plane][at : at+p.across]
	cur := row[i]
	if y == 0 {
		l := uint64(128)
		if i > 0 {
			l = row[i-1] >> 56
		}
		return subtract(cur, cur<<8|l)
	}
	up := p.planes[plane][at-p.across : at]
	u := up[i]
	l, c := up[0]&0xff, up[0]&0xff
	if i > 0 {
		l, c = row[i-1]>>56, up[i-1]>>56
	}
	l |= cur << 8
	switch predictor {
	case predictLeft:
		return subtract(cur, l)
	case predictAverage:
		return subtract(cur, average(l, u))
	}
	return subtract(cur, medians(l, u, u<<8|c))
}

// same tells whether a word of all planes is that of o.
func (p *wordPlanes) same(o *wordPlanes, at int) bool {
	return p.planes[0][at] == o.planes[0][at] && p.planes[1][at] == o.planes[1][at] && p.planes[2][at] == o.planes[2][at]
}
