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

// tiles writes the data of the marked tiles to e.raw and their photos to e.slabs,
// and brings them into the last picture. Of every pixel that it writes it has
// read pix once.
func (e *Encoder) tiles(pix []byte, kind Kind) error {
	g := e.geometry
	e.raw = e.raw[:0]
	e.chooser.begin(kind == KindKey)
	e.slabs.begin()
	if kind == KindKey {
		e.palette.forget(0)
	}
	for ty := range g.rows {
		if ty >= e.stage.rows {
			e.stage.keep(e.prev, ty-e.stage.rows, e.boxes)
		}
		for i := ty * g.cols; i < (ty+1)*g.cols; i++ {
			if !e.marked[i] {
				continue
			}
			s := e.boxes[i]
			if s.y1 == 0 {
				e.raw = append(e.raw, tileKeep)
				continue
			}
			if err := e.tile(pix, i, s); err != nil {
				return err
			}
		}
	}
	for ty := max(g.rows-e.stage.rows, 0); ty < g.rows; ty++ {
		e.stage.keep(e.prev, ty, e.boxes)
	}
	return e.slabs.flush()
}

// tile writes the box b of a tile in the form that suits it.
func (e *Encoder) tile(pix []byte, i int, b span) error {
	r := e.geometry.box(i, b)
	s := e.stage.take(pix, i, r)
	whole := r == e.geometry.tile(i)
	head := func(mode byte) {
		if whole {
			e.raw = append(e.raw, mode)
			return
		}
		e.raw = append(e.raw, mode|tileBox, b.x0, b.y0, b.x1-b.x0-1, b.y1-b.y0-1)
	}
	area := s.area()
	var l look
	if area >= minPhoto {
		l = s.look()
	}
	if !l.photo() && e.palette.build(s) {
		stay, colors := e.palette.known, len(e.palette.colors)
		switch {
		case e.palette.distinct == 1:
			e.palette.undo()
			head(tileSolid)
			c := load(s.row(0))
			e.raw = append(e.raw, byte(c), byte(c>>8), byte(c>>16))
			return nil
		case area < minPhoto && (colors-stay)*3+packed(s.w, depth(colors))*s.h < area*3,
			area >= minPhoto && l.prefersPalette(e.palette, area):
			head(tilePalette)
			e.raw = e.palette.append(e.raw, s)
			return nil
		}
		e.palette.undo()
	}
	if area < minPhoto {
		head(tilePlain)
		e.raw = s.appendPlain(e.raw)
		return nil
	}
	p := e.chooser.choose(s, r, l, e.prev)
	mode := tilePhoto + byte(p.predictor)
	if p.motion {
		head(mode | tileMotion)
		e.front[maxRecordHead] |= flagMotion
		e.raw = binary.AppendVarint(e.raw, int64(p.distance.dx))
		e.raw = binary.AppendVarint(e.raw, int64(p.distance.dy))
		e.raw = appendKinds(e.raw, e.chooser.kinds)
	} else {
		head(mode)
	}
	return e.slabs.add(p, e.chooser.kinds, e.chooser.now, e.chooser.old)
}
