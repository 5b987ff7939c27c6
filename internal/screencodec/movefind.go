package screencodec

// The search for moves. Both pictures are run over with a rolling hash of
// featureRun pixels; where its upper bits are zero there is a feature. Features
// that both pictures have vote for the distance between them, and the
// distances with most votes are tried on whole tiles.
const (
	featureRun    = 32 // pixels that the rolling hash remembers (64 bits, 2 a pixel)
	featureBits   = 6  // one position in 64 is a feature
	featureSlots  = 1 << 14
	voteSlots     = 1 << 10
	minTilesMoved = 4   // changed tiles from which on a search is worth it
	manyTiles     = 400 // changed tiles from which on a part of their rows says enough
	minVotes      = 6
	maxDistances  = 4
)

type feature struct {
	hash uint32
	x, y int16
}

type vote struct {
	dx, dy int16
	n      int32
}

// A moveFinder holds what the search needs between frames.
type moveFinder struct {
	geometry geometry
	features []feature
	votes    []vote
	touched  []int32 // slots of votes in use
	moved    []bool  // tiles that a distance explains
	taken    []bool  // tiles that a move covers already
	moves    []move
}

func newMoveFinder(g geometry) *moveFinder {
	return &moveFinder{
		geometry: g,
		features: make([]feature, featureSlots),
		votes:    make([]vote, voteSlots),
		moved:    make([]bool, g.tiles()),
		taken:    make([]bool, g.tiles()),
	}
}

// find returns moves that turn parts of prev into parts of cur, looking only
// at the tiles with a box. The result is valid until the next call.
func (f *moveFinder) find(cur, prev []byte, boxes []span, changed int) []move {
	f.moves = f.moves[:0]
	if changed < minTilesMoved {
		return nil
	}
	clear(f.features)
	for _, i := range f.touched {
		f.votes[i] = vote{}
	}
	f.touched = f.touched[:0]
	if changed < manyTiles {
		f.scan(prev, boxes, 1, 1, false)
		f.scan(cur, boxes, 1, 2, true)
	} else {
		f.scan(prev, boxes, 4, 1, false)
		f.scan(cur, boxes, 1, 8, true)
	}
	clear(f.taken)
	for range maxDistances {
		best := vote{n: minVotes - 1}
		at := -1
		for _, i := range f.touched {
			if v := f.votes[i]; v.n > best.n {
				best, at = v, int(i)
			}
		}
		if at < 0 {
			break
		}
		f.votes[at].n = 0
		f.try(cur, prev, boxes, int(best.dx), int(best.dy))
	}
	return f.moves
}

// scan remembers the features in the changed tiles of the picture before, or
// recalls those of the new one. Of the rows of tiles it takes one in tileStep, of
// their rows of pixels one in step.
func (f *moveFinder) scan(pix []byte, boxes []span, tileStep, step int, recall bool) {
	g := f.geometry
	for ty := tileStep / 2; ty < g.rows; ty += tileStep {
		line := boxes[ty*g.cols : (ty+1)*g.cols]
		for tx := 0; tx < g.cols; tx++ {
			if line[tx].y1 == 0 {
				continue
			}
			first := tx
			for tx < g.cols && line[tx].y1 != 0 {
				tx++
			}
			x0, x1 := first<<g.shift, min(tx<<g.shift, g.width)
			if x1-x0 <= featureRun {
				continue
			}
			y1 := min((ty+1)<<g.shift, g.height)
			for y := ty << g.shift; y < y1; y += step {
				row := pix[(y*g.width+x0)*4 : (y*g.width+x1)*4]
				var h uint64
				last := uint32(1 << 31)
				for i := 0; i+4 <= len(row); i += 4 {
					p := load(row[i:])
					h = h<<2 + uint64(p+1)*0x9e3779b97f4a7c15
					if h>>(64-featureBits) == 0 && p != last && i >= featureRun*4 {
						if recall {
							f.recall(h, x0+i/4, y)
						} else {
							f.remember(h, x0+i/4, y)
						}
					}
					last = p
				}
			}
		}
	}
}

// remember notes a feature of the picture before, unless it has it twice.
func (f *moveFinder) remember(hash uint64, x, y int) {
	key := uint32(hash>>20) | 1
	s := &f.features[hash>>(64-featureBits-14)&(featureSlots-1)]
	switch s.hash {
	case 0:
		*s = feature{key, int16(x), int16(y)}
	case key:
		s.x = -1
	}
}

// recall lets a feature of the new picture vote.
func (f *moveFinder) recall(hash uint64, x, y int) {
	s := &f.features[hash>>(64-featureBits-14)&(featureSlots-1)]
	if s.hash != uint32(hash>>20)|1 || s.x < 0 {
		return
	}
	dx, dy := int16(x)-s.x, int16(y)-s.y
	if dx == 0 && dy == 0 {
		return
	}
	at := (uint32(uint16(dx))*0x9e37 + uint32(uint16(dy))*0x79b9) % voteSlots
	for range 8 {
		v := &f.votes[at]
		if v.n == 0 && v.dx == 0 && v.dy == 0 {
			*v = vote{dx, dy, 1}
			f.touched = append(f.touched, int32(at))
			return
		}
		if v.dx == dx && v.dy == dy {
			v.n++
			return
		}
		at = (at + 1) % voteSlots
	}
}

// try looks for the tiles that the distance explains and adds moves for them.
func (f *moveFinder) try(cur, prev []byte, boxes []span, dx, dy int) {
	g := f.geometry
	clear(f.moved)
	earlier := f.moves
	n := 0
	for i := range boxes {
		if boxes[i].y1 != 0 && !f.taken[i] && free(earlier, g.tile(i), dx, dy) && f.same(cur, prev, g.tile(i), dx, dy) {
			f.moved[i] = true
			n++
		}
	}
	if n < 2 {
		return
	}
	for i := range f.moved {
		if !f.moved[i] {
			continue
		}
		if len(f.moves) == maxMoves {
			return
		}
		x0, y0 := i%g.cols, i/g.cols
		x1, y1 := x0+1, y0+1
		for x1 < g.cols && f.moved[y0*g.cols+x1] {
			x1++
		}
		for y1 < g.rows && all(f.moved[y1*g.cols+x0:y1*g.cols+x1]) {
			y1++
		}
		for y := y0; y < y1; y++ {
			clear(f.moved[y*g.cols+x0 : y*g.cols+x1])
			for x := x0; x < x1; x++ {
				f.taken[y*g.cols+x] = true
			}
		}
		r := rect{x0 << g.shift, y0 << g.shift, 0, 0}
		r.w, r.h = min(x1<<g.shift, g.width)-r.x, min(y1<<g.shift, g.height)-r.y
		if s := f.stretch(cur, prev, boxes, r, dx, dy); s.area() <= r.area()*maxCover && free(earlier, s, dx, dy) {
			r = s
		}
		f.moves = append(f.moves, move{to: r, fromX: r.x - dx, fromY: r.y - dy})
	}
}

// free tells whether nothing of what r was before is overwritten by the earlier
// moves: the encoder carries out one distance after the other in one picture.
func free(earlier []move, r rect, dx, dy int) bool {
	x, y := r.x-dx, r.y-dy
	for _, m := range earlier {
		if m.to.x < x+r.w && x < m.to.x+m.to.w && m.to.y < y+r.h && y < m.to.y+m.to.h {
			return false
		}
	}
	return true
}

func all(v []bool) bool {
	for _, b := range v {
		if !b {
			return false
		}
	}
	return true
}

// same tells whether r of cur is what prev has at that distance.
func (f *moveFinder) same(cur, prev []byte, r rect, dx, dy int) bool {
	g := f.geometry
	s := rect{r.x - dx, r.y - dy, r.w, r.h}
	if !g.contains(r) || !g.contains(s) {
		return false
	}
	for y := range r.h {
		if !samePixels(g.row(cur, r, y), g.row(prev, s, y)) {
			return false
		}
	}
	return true
}

// stretch widens r into the changed tiles around it, row by row and column by
// column, as far as the distance explains them.
func (f *moveFinder) stretch(cur, prev []byte, boxes []span, r rect, dx, dy int) rect {
	g := f.geometry
	side := 1 << g.shift
	open := func(s rect) bool { // all tiles of s changed
		if !g.contains(s) {
			return false
		}
		for ty := s.y >> g.shift; ty <= (s.y+s.h-1)>>g.shift; ty++ {
			for tx := s.x >> g.shift; tx <= (s.x+s.w-1)>>g.shift; tx++ {
				if boxes[ty*g.cols+tx].y1 == 0 {
					return false
				}
			}
		}
		return true
	}
	fits := func(s rect) bool { return open(s) && f.same(cur, prev, s, dx, dy) }
	for n := 1; n < side && fits(rect{r.x, r.y - 1, r.w, 1}); n++ {
		r.y, r.h = r.y-1, r.h+1
	}
	for n := 1; n < side && fits(rect{r.x, r.y + r.h, r.w, 1}); n++ {
		r.h++
	}
	for n := 1; n < side && fits(rect{r.x - 1, r.y, 1, r.h}); n++ {
		r.x, r.w = r.x-1, r.w+1
	}
	for n := 1; n < side && fits(rect{r.x + r.w, r.y, 1, r.h}); n++ {
		r.w++
	}
	return r
}
