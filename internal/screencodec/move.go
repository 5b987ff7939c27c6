package screencodec

import (
	"encoding/binary"
	"fmt"
)

// A move says that a part of the picture is what another part of the picture
// before was: a scroll, or a window that was dragged.
type move struct {
	to    rect
	fromX int
	fromY int
}

func (m move) from() rect { return rect{m.fromX, m.fromY, m.to.w, m.to.h} }

// distance leads from where a part was to where it is.
func (m move) distance() distance { return distance{m.to.x - m.fromX, m.to.y - m.fromY} }

// shiftAll carries out moves that share one distance, in a picture that need not
// be there a second time: it goes over the rows in the order in which none is
// written to before it was read. line is memory for a row, which is returned.
func (g geometry) shiftAll(pix []byte, moves []move, line []byte) []byte {
	first, end := g.height, 0
	for _, m := range moves {
		first, end = min(first, m.to.y), max(end, m.to.y+m.to.h)
	}
	d := moves[0].distance()
	for n := range end - first {
		y := first + n
		if d.dy > 0 {
			y = end - 1 - n
		}
		if d.dy == 0 {
			line = append(line[:0], g.row(pix, rect{0, y, g.width, 1}, 0)...)
		}
		for _, m := range moves {
			if y < m.to.y || y >= m.to.y+m.to.h {
				continue
			}
			from := g.row(pix, m.from(), y-m.to.y)
			if d.dy == 0 {
				from = line[m.fromX*4:]
			}
			copy(g.row(pix, m.to, y-m.to.y), from)
		}
	}
	return line
}

const (
	maxMoves = 64
	maxCover = 4
)

// appendMoves writes the moves of a change record.
func appendMoves(b []byte, moves []move) []byte {
	b = binary.AppendUvarint(b, uint64(len(moves)))
	for _, m := range moves {
		for _, v := range [...]int{m.to.x, m.to.y, m.to.w, m.to.h, m.fromX, m.fromY} {
			b = binary.AppendUvarint(b, uint64(v))
		}
	}
	return b
}

// readMoves reads the moves that b begins with. Every tile they touch must be
// marked, as tiles are, and together they may not cover more than maxCover times the pixels
// of the marked tiles.
func (g geometry) readMoves(b []byte, marked []bool, tiles int, moves []move) ([]byte, []move, error) {
	count, b, ok := takeUvarint(b, maxMoves)
	if !ok {
		return nil, moves, fmt.Errorf("moves: wrong count: %w", ErrCorrupt)
	}
	left := tiles * maxCover << (2 * g.shift)
	for range count {
		var v [6]int
		for i := range v {
			n, rest, ok := takeUvarint(b, MaxSide)
			if !ok {
				return nil, moves, fmt.Errorf("moves: number out of range: %w", ErrCorrupt)
			}
			v[i], b = int(n), rest
		}
		m := move{to: rect{v[0], v[1], v[2], v[3]}, fromX: v[4], fromY: v[5]}
		if !g.contains(m.to) || !g.contains(m.from()) {
			return nil, moves, fmt.Errorf("moves: outside the picture: %w", ErrCorrupt)
		}
		if left -= m.to.area(); left < 0 {
			return nil, moves, fmt.Errorf("moves: too much: %w", ErrCorrupt)
		}
		for ty := m.to.y >> g.shift; ty <= (m.to.y+m.to.h-1)>>g.shift; ty++ {
			for tx := m.to.x >> g.shift; tx <= (m.to.x+m.to.w-1)>>g.shift; tx++ {
				if !marked[ty*g.cols+tx] {
					return nil, moves, fmt.Errorf("moves: tile not marked: %w", ErrCorrupt)
				}
			}
		}
		moves = append(moves, m)
	}
	return b, moves, nil
}
