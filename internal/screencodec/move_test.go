package screencodec

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// All moves of a record read the picture before; the encoder has no second one,
// and must come to the same.
func TestMovesInOnePicture(t *testing.T) {
	r := rand.New(rand.NewPCG(41, 42))
	for range 3000 {
		g := newGeometry(1+r.IntN(40), 1+r.IntN(40), 5)
		before := make([]byte, g.stride()*g.height)
		for i := range before {
			before[i] = byte(r.Uint32())
		}
		got, want := bytes.Clone(before), bytes.Clone(before)
		var moves []move
		var line []byte
		for range 1 + r.IntN(3) {
			d := distance{r.IntN(9) - 4, r.IntN(9) - 4}
			earlier := len(moves)
			for range r.IntN(5) {
				to := rect{r.IntN(g.width), r.IntN(g.height), 1 + r.IntN(20), 1 + r.IntN(20)}
				m := move{to, to.x - d.dx, to.y - d.dy}
				if g.contains(to) && g.contains(m.from()) && free(moves[:earlier], to, d.dx, d.dy) {
					moves = append(moves, m)
				}
			}
			if earlier == len(moves) {
				continue
			}
			line = g.shiftAll(got, moves[earlier:], line)
		}
		for _, m := range moves {
			for y := range m.to.h {
				copy(g.row(want, m.to, y), g.row(before, m.from(), y))
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%dx%d: %v come out otherwise", g.width, g.height, moves)
		}
	}
}
