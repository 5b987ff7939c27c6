package screencodec

import (
	"bytes"
	"encoding/binary"
	"image"
)

const colorBits = 0x00ffffff_00ffffff // two pixels without their fourth bytes

// samePixels compares two rows of pixels without their fourth bytes.
func samePixels(a, b []byte) bool {
	return bytes.Equal(a, b) || firstDifference(a, b) == len(a)/4
}

// firstDifference returns the number of leading pixels that are the same in a
// and b, which have the same length.
func firstDifference(a, b []byte) int {
	i := 0
	for ; i+8 <= len(a); i += 8 {
		x := (binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:])) & colorBits
		if x != 0 {
			if x&0xffffff != 0 {
				return i / 4
			}
			return i/4 + 1
		}
	}
	if i < len(a) && load(a[i:]) == load(b[i:]) {
		return i/4 + 1
	}
	return i / 4
}

// lastDifference returns the number of the last pixel that differs plus one.
func lastDifference(a, b []byte) int {
	i := len(a)
	for ; i >= 8; i -= 8 {
		x := (binary.LittleEndian.Uint64(a[i-8:]) ^ binary.LittleEndian.Uint64(b[i-8:])) & colorBits
		if x != 0 {
			if x>>32 != 0 {
				return i / 4
			}
			return i/4 - 1
		}
	}
	if i > 0 && load(a) != load(b) {
		return 1
	}
	return 0
}

// A span is the box within a tile that changed, from (x0, y0) to before
// (x1, y1), in pixels from the tile's corner. It is empty if y1 is 0.
type span struct{ x0, y0, x1, y1 uint8 }

// compare fills boxes, one per tile, with what differs between the pictures in
// the tiles that are seen, and returns in how many of them something does.
func (g geometry) compare(cur, prev []byte, seen []bool, boxes []span) int {
	clear(boxes)
	changed := 0
	for ty := range g.rows {
		see, line := seen[ty*g.cols:][:g.cols], boxes[ty*g.cols:][:g.cols]
		for tx := 0; tx < g.cols; tx++ {
			if !see[tx] {
				continue
			}
			first := tx
			for tx < g.cols && see[tx] {
				tx++
			}
			changed += g.compareRun(cur, prev, line[first:tx], first, ty)
		}
	}
	return changed
}

// compareRun is compare for neighboring tiles in a row, of which (tx, ty) is the
// first.
func (g geometry) compareRun(cur, prev []byte, boxes []span, tx, ty int) int {
	changed := 0
	x := tx << g.shift
	run := rect{x, ty << g.shift, min((tx+len(boxes))<<g.shift, g.width) - x, min(1<<g.shift, g.height-ty<<g.shift)}
	for y := range run.h {
		a, b := g.row(cur, run, y), g.row(prev, run, y)
		if bytes.Equal(a, b) {
			continue
		}
		for i := range boxes {
			x0, x1 := i<<g.shift*4, min((i+1)<<g.shift*4, len(a))
			if boxes[i].widen(a[x0:x1], b[x0:x1], uint8(y)) {
				changed++
			}
		}
	}
	return changed
}

// touch sets the tiles that r touches.
func (g geometry) touch(tiles []bool, r image.Rectangle) {
	r = r.Intersect(image.Rect(0, 0, g.width, g.height))
	if r.Empty() {
		return
	}
	for ty := r.Min.Y >> g.shift; ty <= (r.Max.Y-1)>>g.shift; ty++ {
		setAll(tiles[ty*g.cols+r.Min.X>>g.shift : ty*g.cols+(r.Max.X-1)>>g.shift+1])
	}
}

func setAll(v []bool) {
	for i := range v {
		v[i] = true
	}
}

// compareTile fills the box of one tile.
func (g geometry) compareTile(cur, prev []byte, i int) span {
	var s span
	r := g.tile(i)
	for y := range r.h {
		s.widen(g.row(cur, r, y), g.row(prev, r, y), uint8(y))
	}
	return s
}

// widen takes row y of a tile into its box and tells whether the box was empty
// and is not any more.
func (s *span) widen(a, b []byte, y uint8) bool {
	if bytes.Equal(a, b) {
		return false
	}
	first := firstDifference(a, b)
	if first*4 == len(a) {
		return false // only fourth bytes
	}
	if s.y1 == 0 {
		// The picture may change while it is read: at least the pixel at first counts.
		*s = span{uint8(first), y, uint8(max(lastDifference(a, b), first+1)), y + 1}
		return true
	}
	s.x0 = min(s.x0, uint8(first))
	s.y1 = y + 1
	if int(s.x1)*4 < len(a) {
		rest := int(s.x1) * 4
		if n := lastDifference(a[rest:], b[rest:]); n > 0 {
			s.x1 += uint8(n)
		}
	}
	return false
}
