package screencodec

import (
	"encoding/binary"
	"fmt"
)

// encode brings a picture into the last and returns its payload with room for a
// record's head before it, valid until the next one.
func (e *Encoder) encode(pix []byte) (FrameInfo, []byte, error) {
	e.begin()
	info := FrameInfo{Kind: KindKey}
	var moves []move
	if e.toKey == 0 {
		info.ChangedTiles = e.markAll(pix)
	} else {
		info.Kind = KindChange
		if info.ChangedTiles = e.geometry.compare(pix, e.prev, e.seen, e.boxes); info.ChangedTiles == 0 {
			info.Kind = KindRepeat
			return info, e.front, nil
		}
		for i, s := range e.boxes {
			e.marked[i] = s.y1 != 0
		}
		moves = e.moves.find(pix, e.prev, e.boxes, info.ChangedTiles)
		e.apply(pix, moves)
	}
	e.front = appendTileMap(e.front, e.marked, info.ChangedTiles, info.Kind == KindKey)
	if info.Kind == KindChange {
		e.front = appendMoves(e.front, moves)
	}
	if err := e.tiles(pix, info.Kind); err != nil {
		return info, nil, err
	}
	if err := e.compress(info.Kind); err != nil {
		return info, nil, err
	}
	return info, e.slabs.behind(e.front), nil
}

// markAll marks every tile that is not all black: a key picture is the
// difference to a black one.
func (e *Encoder) markAll(pix []byte) int {
	g := e.geometry
	n := 0
	for i := range e.boxes {
		r := g.tile(i)
		e.boxes[i] = span{0, 0, uint8(r.w), uint8(r.h)}
		if e.marked[i] = !g.black(pix, r); e.marked[i] {
			n++
			continue
		}
		e.boxes[i] = span{}
		for y := range r.h {
			clear(g.row(e.prev, r, y))
		}
	}
	return n
}

// black tells whether all of r is black.
func (g geometry) black(pix []byte, r rect) bool {
	for y := range r.h {
		row := g.row(pix, r, y)
		for i := 0; i < len(row); i += 4 {
			if load(row[i:]) != 0 {
				return false
			}
		}
	}
	return true
}

// apply brings the moved parts into the last picture and compares the tiles
// they touch again.
func (e *Encoder) apply(pix []byte, moves []move) {
	g := e.geometry
	for rest := moves; len(rest) > 0; {
		n := 1
		for n < len(rest) && rest[n].distance() == rest[0].distance() {
			n++
		}
		e.line = g.shiftAll(e.prev, rest[:n], e.line)
		rest = rest[n:]
	}
	for _, m := range moves {
		for ty := m.to.y >> g.shift; ty <= (m.to.y+m.to.h-1)>>g.shift; ty++ {
			for tx := m.to.x >> g.shift; tx <= (m.to.x+m.to.w-1)>>g.shift; tx++ {
				i := ty*g.cols + tx
				e.boxes[i] = g.compareTile(pix, e.prev, i)
			}
		}
	}
}

// compress puts e.raw through zstd to e.front.
func (e *Encoder) compress(kind Kind) error {
	e.zout.b = e.zout.b[:0]
	if kind == KindKey {
		e.zw.Reset(&e.zout)
	}
	if len(e.raw) > 0 {
		if _, err := e.zw.Write(e.raw); err != nil {
			return fmt.Errorf("compress picture: %w", err)
		}
		if err := e.zw.Flush(); err != nil {
			return fmt.Errorf("compress picture: %w", err)
		}
	}
	e.front = binary.AppendUvarint(e.front, uint64(len(e.raw)))
	e.front = binary.AppendUvarint(e.front, uint64(len(e.zout.b)))
	e.front = append(e.front, e.zout.b...)
	return nil
}
