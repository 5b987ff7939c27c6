package screencodec

import "math"

// A chooser decides how a photo is predicted: it tries the spatial predictors
// on some rows, looks for the place the photo came from in the picture before,
// and picks the better of both for every block.
type chooser struct {
	geometry  geometry
	key       bool // no picture before
	photos    int  // chosen in this picture
	distances [6]distance
	now, old  *wordPlanes // of the photo chosen last
	kinds     []uint8     // of its blocks
}

// A distance leads from a part of the picture to where it was before.
type distance struct{ dx, dy int }

const (
	wideEvery = 48 // one photo in this many is searched for far and wide
	wideRange = 24
)

func newChooser(g geometry) chooser {
	side := 1 << g.shift
	return chooser{geometry: g, now: newWordPlanes(side), old: newWordPlanes(side)}
}

// begin starts a picture.
func (c *chooser) begin(key bool) { c.key, c.photos = key, 0 }

// A look is what every fourth row of a part of the picture says about it.
type look struct {
	pixels    int // looked at
	turns     int // of them differ from the one to the left and from the one above
	predictor int // the best spatial one
	wrong     int // by how much it misses their green
}

func (s patch) look() look {
	var l look
	var left, mid, avg int
	for y := 1; y < s.h; y += 4 {
		row, up := s.row(y), s.row(y-1)
		up = up[:len(row)]
		last, corner := load(row), load(up)
		for x := 4; x+4 <= len(row); x += 4 {
			here, above := load(row[x:]), load(up[x:])
			if here != last && here != above {
				l.turns++
			}
			v, a, b, k := int(here>>8&0xff), int(last>>8&0xff), int(above>>8&0xff), int(corner>>8&0xff)
			left += abs(v - a)
			mid += abs(v - median(a, b, k))
			avg += abs(v - (a+b)>>1)
			last, corner = here, above
		}
		l.pixels += s.w - 1
	}
	l.wrong, l.predictor = left, predictLeft
	if avg < l.wrong {
		l.wrong, l.predictor = avg, predictAverage
	}
	if mid < l.wrong {
		l.wrong, l.predictor = mid, predictMedian
	}
	return l
}

// mean is by how much the best spatial predictor misses a pixel.
func (l look) mean() float64 { return float64(l.wrong) / float64(max(l.pixels, 1)) }

// photo tells whether a part of the picture is one for certain: it turns nearly
// everywhere, but only a little.
func (l look) photo() bool {
	return l.pixels > 0 && l.turns*2 >= l.pixels && l.wrong <= 12*l.pixels
}

// fewColors is how many colors a palette may have without a look at what a
// photo would cost, unless it turns at every other pixel.
const fewColors = 24

// prefersPalette tells whether a part of the picture that has a palette is cheaper
// with it than as a photo. Text turns seldom from color to color, but then to
// another one altogether; a photo turns at every pixel, and only a little.
func (l look) prefersPalette(p *palette, area int) bool {
	n := p.distinct
	if n <= fewColors && p.turns*2 < area {
		return true
	}
	asPhoto := 2.8 * (0.6 + math.Log2(1+l.mean()))
	asPalette := (float64(n)*24 + float64(p.turns)*(1+math.Log2(float64(n)))) / float64(area)
	return asPalette < asPhoto
}

// choose returns the photo at r, which is s, with its prediction, and leaves its
// planes and the kinds of its blocks in c.
func (c *chooser) choose(s patch, r rect, l look, prev []byte) photo {
	p := photo{at: r, coded: r.area(), predictor: l.predictor}
	c.now.split(s)
	c.kinds = c.kinds[:0]
	if c.key || r.w < 2*blockSide || r.h < 2*blockSide {
		return p
	}
	spatial := l.wrong * searchPixels(r) / max(l.pixels, 1)
	d, wrong := c.search(s, r, prev, spatial)
	c.photos++
	if wrong > spatial+spatial/2 {
		return p
	}
	p.distance = d
	c.old.split(c.geometry.patch(prev, p.from()))
	if c.blocks(&p) {
		c.remember(d)
		p.motion = true
	}
	return p
}

// searchPixels is how many pixels of r a distance is tried on.
func searchPixels(r rect) int { return max((r.h+2)/4*((r.w+2)/4), 1) }

// search returns the distance at which the picture before is most like r, as
// far as it looks, and how wrong it is. It is content with what is much better
// than the spatial prediction.
func (c *chooser) search(s patch, r rect, prev []byte, spatial int) (distance, int) {
	best := distance{}
	wrong := c.wrong(s, r, prev, best, 1<<30)
	try := func(d distance) bool {
		if w := c.wrong(s, r, prev, d, wrong); w < wrong {
			best, wrong = d, w
			return true
		}
		return false
	}
	for _, d := range c.distances {
		if wrong*2 < spatial {
			return best, wrong
		}
		if d != (distance{}) {
			try(d)
		}
	}
	if wrong*4 < 3*spatial {
		return best, wrong
	}
	if c.photos%wideEvery == 0 {
		from := best
		for dy := -wideRange; dy <= wideRange; dy += 2 {
			for dx := -wideRange; dx <= wideRange; dx += 2 {
				try(distance{from.dx + dx, from.dy + dy})
			}
		}
	}
	for step := 2; step >= 1; step-- {
		for range 6 {
			from := best
			better := try(distance{from.dx + step, from.dy})
			better = try(distance{from.dx - step, from.dy}) || better
			better = try(distance{from.dx, from.dy + step}) || better
			better = try(distance{from.dx, from.dy - step}) || better
			if !better {
				break
			}
		}
	}
	return best, wrong
}

// wrong adds up how much r differs from what lies at a distance before, in the
// green of every fourth pixel of every fourth row, stopping at limit.
func (c *chooser) wrong(s patch, r rect, prev []byte, d distance, limit int) int {
	g := c.geometry
	from := rect{r.x + d.dx, r.y + d.dy, r.w, r.h}
	if d.dy < -maxFall || !g.contains(from) {
		return limit
	}
	sum := 0
	old := g.patch(prev, from)
	for y := 1; y < r.h; y += 4 {
		a, b := s.row(y), old.row(y)
		b = b[:len(a)]
		for x := 5; x < len(a); x += 16 {
			d := int(a[x]) - int(b[x])
			m := d >> 63
			sum += (d ^ m) - m
		}
		if sum >= limit {
			return limit
		}
	}
	return sum
}

// blocks chooses the kind of every block of a photo and tells whether any is
// predicted by motion.
func (c *chooser) blocks(p *photo) bool {
	now := c.now
	moved := false
	p.coded = 0
	for y0 := 0; y0 < now.h; y0 += blockSide {
		h := min(blockSide, now.h-y0)
		for i := range now.across {
			w := min(blockSide, now.w-i*blockSide)
			kind := c.block(p.predictor, y0, h, i, w)
			if kind != blockSpatial {
				moved = true
			}
			if kind != blockCopy {
				p.coded += w * h
			}
			c.kinds = append(c.kinds, kind)
		}
	}
	if !moved {
		c.kinds = c.kinds[:0]
		p.coded = p.at.area()
	}
	return moved
}

// block chooses the kind of the block that is the words i of the rows from y0 on.
func (c *chooser) block(predictor, y0, h, i, w int) uint8 {
	now, old := c.now, c.old
	same := true
	for y := y0; y < y0+h && same; y++ {
		same = now.same(old, y*now.across+i)
	}
	if same {
		return blockCopy
	}
	motion, spatial := 0, 0
	inside := ^uint64(0) >> (8 * (lanes - w))
	for y := y0; y < y0+h; y++ {
		at := y*now.across + i
		motion += total(sizes(subtract(now.planes[0][at], old.planes[0][at]) & inside))
		spatial += total(sizes(now.residual(0, predictor, y, i) & inside))
	}
	if motion < spatial {
		return blockMotion
	}
	return blockSpatial
}

// remember puts a distance that was of use before the others.
func (c *chooser) remember(d distance) {
	at := len(c.distances) - 1
	for i, o := range c.distances {
		if o == d {
			at = i
			break
		}
	}
	copy(c.distances[1:at+1], c.distances[:at])
	c.distances[0] = d
}

func abs(v int) int {
	if v < 0 {
		return -v
	}
	return v
}
