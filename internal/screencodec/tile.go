package screencodec

import "encoding/binary"

// The ways to write a tile; each may be limited to a box within the tile.
const (
	tileKeep    = 0 // as after the moves
	tileSolid   = 1
	tilePalette = 2
	tilePlain   = 3
	tilePhoto   = 4 // plus the spatial predictor: 4, 5, 6

	tileMotion = 0x40 // flag on photos: distance and kinds of blocks follow
	tileBox    = 0x80 // flag: a box follows the mode
)

// minPhoto is the area below which nothing is coded as a photo.
const minPhoto = 64

// tiles writes the data of the marked tiles to e.raw and lists the photos.
func (e *Encoder) tiles(kind Kind) {
	e.raw, e.photos = e.raw[:0], e.photos[:0]
	e.chooser.begin(kind == KindKey)
	if kind == KindKey {
		e.palette.forget(0)
	}
	for i, m := range e.marked {
		if !m {
			continue
		}
		s := e.boxes[i]
		if s.y1 == 0 {
			e.raw = append(e.raw, tileKeep)
			continue
		}
		r := e.geometry.box(i, s)
		flag := byte(0)
		if r != e.geometry.tile(i) {
			flag = tileBox
		}
		e.tile(i, r, flag, s)
	}
}

// tile writes one tile, or the box s of it, in the form that suits it.
func (e *Encoder) tile(i int, r rect, flag byte, s span) {
	head := func(mode byte) {
		e.raw = append(e.raw, mode|flag)
		if flag != 0 {
			e.raw = append(e.raw, s.x0, s.y0, s.x1-s.x0-1, s.y1-s.y0-1)
		}
	}
	area := r.area()
	if !e.manyColors(i, r) && e.palette.build(e.geometry, e.cur, r) {
		stay, colors := e.palette.known, len(e.palette.colors)
		switch {
		case e.palette.distinct == 1:
			e.palette.undo()
			head(tileSolid)
			c := load(e.geometry.row(e.cur, r, 0))
			e.raw = append(e.raw, byte(c), byte(c>>8), byte(c>>16))
			return
		case area < minPhoto && (colors-stay)*3+packed(r.w, depth(colors))*r.h < area*3,
			area >= minPhoto && e.chooser.prefers(e.palette, r, e.cur):
			head(tilePalette)
			e.raw = e.palette.append(e.raw, r)
			return
		}
		e.palette.undo()
	}
	if area < minPhoto {
		head(tilePlain)
		e.raw = e.geometry.appendPlain(e.raw, e.cur, r)
		return
	}
	p := e.chooser.choose(r, e.cur, e.prev)
	mode := tilePhoto + byte(p.predictor)
	if p.motion {
		head(mode | tileMotion)
		e.record[maxRecordHead] |= flagMotion
		e.raw = binary.AppendVarint(e.raw, int64(p.distance.dx))
		e.raw = binary.AppendVarint(e.raw, int64(p.distance.dy))
		e.raw = appendKinds(e.raw, e.chooser.kinds[p.kinds[0]:p.kinds[1]])
	} else {
		head(mode)
	}
	e.photos = append(e.photos, p)
	e.photo[i] = true
}

// manyColors tells whether a tile that was a photo when it was written last
// still looks like one, from its first rows, which saves numbering its colors.
func (e *Encoder) manyColors(i int, r rect) bool {
	if !e.photo[i] {
		return false
	}
	e.photo[i] = false
	if r.h <= sampleRows {
		return false
	}
	sample := r
	sample.h = sampleRows
	many := !e.palette.build(e.geometry, e.cur, sample) || e.palette.distinct > sampleRows*fewColors/2
	e.palette.undo()
	return many
}

const sampleRows = 6
