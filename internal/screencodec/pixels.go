package screencodec

import "encoding/binary"

// store writes a color and a zero fourth byte.
func store(p []byte, c uint32) { binary.LittleEndian.PutUint32(p, c) }

// appendPlain writes the pixels row by row, 3 bytes each.
func (s patch) appendPlain(b []byte) []byte {
	for y := range s.h {
		row := s.row(y)
		at := len(b)
		b = grow(b, s.w*3)
		out := b[at:]
		for x := range s.w {
			out[x*3], out[x*3+1], out[x*3+2] = row[x*4], row[x*4+1], row[x*4+2]
		}
	}
	return b
}

// paintPlain draws r from what appendPlain wrote and returns what follows it.
func (g geometry) paintPlain(pix []byte, r rect, b []byte) ([]byte, bool) {
	if len(b) < r.area()*3 {
		return nil, false
	}
	for y := range r.h {
		row := g.row(pix, r, y)
		for x := range r.w {
			row[x*4], row[x*4+1], row[x*4+2], row[x*4+3] = b[x*3], b[x*3+1], b[x*3+2], 0
		}
		b = b[r.w*3:]
	}
	return b, true
}

// paintSolid draws r in the color that b begins with.
func (g geometry) paintSolid(pix []byte, r rect, b []byte) ([]byte, bool) {
	if len(b) < 3 {
		return nil, false
	}
	c := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
	first := g.row(pix, r, 0)
	for x := range r.w {
		store(first[x*4:], c)
	}
	for y := 1; y < r.h; y++ {
		copy(g.row(pix, r, y), first)
	}
	return b[3:], true
}
