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
