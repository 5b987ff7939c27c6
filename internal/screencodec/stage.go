package screencodec

// A patch is a part of a picture: h rows of w pixels, stride bytes apart.
type patch struct {
	pix          []byte
	w, h, stride int
}

func (s patch) area() int { return s.w * s.h }

// row returns the bytes of row number y.
func (s patch) row(y int) []byte {
	at := y * s.stride
	return s.pix[at : at+s.w*4 : at+s.w*4]
}

// patch returns r of a picture.
func (g geometry) patch(pix []byte, r rect) patch {
	return patch{pix[(r.y*g.width+r.x)*4:], r.w, r.h, g.stride()}
}

// maxFall is how far up a photo may come from in the picture before.
const maxFall = 64

// A stage holds what was copied from the new picture until it may take its place
// in the last one: while a row of tiles is coded, the maxFall pixels above it are
// still as they were before.
type stage struct {
	geometry geometry
	rows     int // rows of tiles it has room for
	size     int // bytes of a tile
	pix      []byte
}

func newStage(g geometry) stage {
	s := stage{geometry: g, rows: (maxFall+1<<g.shift-1)>>g.shift + 1, size: 4 << (2 * g.shift)}
	s.pix = make([]byte, min(s.rows, g.rows)*g.cols*s.size)
	return s
}

// place returns the memory of tile i.
func (s *stage) place(i int) []byte {
	i %= s.rows * s.geometry.cols
	return s.pix[i*s.size : (i+1)*s.size]
}

// take copies r, a part of tile i.
func (s *stage) take(pix []byte, i int, r rect) patch {
	out := patch{s.place(i), r.w, r.h, r.w * 4}
	for y := range r.h {
		copy(out.row(y), s.geometry.row(pix, r, y))
	}
	return out
}

// keep brings into pix what was taken for the row ty of tiles; boxes are those of
// all tiles.
func (s *stage) keep(pix []byte, ty int, boxes []span) {
	first := ty * s.geometry.cols
	for i, b := range boxes[first : first+s.geometry.cols] {
		if b.y1 == 0 {
			continue
		}
		r := s.geometry.box(first+i, b)
		from := patch{s.place(first + i), r.w, r.h, r.w * 4}
		for y := range r.h {
			copy(s.geometry.row(pix, r, y), from.row(y))
		}
	}
}
