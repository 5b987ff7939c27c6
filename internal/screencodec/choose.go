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
	residual  []byte // of the green plane by the spatial predictor
	green     []byte
	kinds     []uint8 // of all photos of this picture
}

// A distance leads from a part of the picture to where it was before.
type distance struct{ dx, dy int }

const (
	wideEvery = 48 // one photo in this many is searched for far and wide
	wideRange = 24
)

func newChooser(g geometry) chooser {
	area := 1 << (2 * g.shift)
	return chooser{geometry: g, residual: make([]byte, area), green: make([]byte, area)}
}

// begin starts a picture.
func (c *chooser) begin(key bool) {
	c.key, c.photos, c.kinds = key, 0, c.kinds[:0]
}

// fewColors is how many colors a palette may have without a look at what a
// photo would cost.
const fewColors = 24

// prefers tells whether a part of the picture that has a palette is cheaper
// with it than as a photo. Text turns seldom from color to color, but then to
// another one altogether; a photo turns at every pixel, and only a little.
func (c *chooser) prefers(p *palette, r rect, cur []byte) bool {
	n, area := p.distinct, float64(r.area())
	if n <= fewColors {
		return true
	}
	_, wrong := c.spatial(r, cur)
	mean := float64(wrong) / float64(searchPixels(r))
	asPhoto := 2.8 * (0.6 + math.Log2(1+mean))
	asPalette := (float64(n)*24 + float64(p.turns)*(1+math.Log2(float64(n)))) / area
	return asPalette < asPhoto
}

// choose returns the photo at r with its prediction.
func (c *chooser) choose(r rect, cur, prev []byte) photo {
	p := photo{at: r, coded: r.area()}
	var spatial int
	p.predictor, spatial = c.spatial(r, cur)
	if c.key || r.w < 2*blockSide || r.h < 2*blockSide {
		return p
	}
	d, wrong := c.search(r, cur, prev)
	c.photos++
	if wrong > spatial+spatial/2 {
		return p
	}
	p.distance = d
	if c.blocks(&p, cur, prev) {
		c.remember(d)
		p.motion = true
	}
	return p
}

// spatial returns the best spatial predictor and how wrong it is for as many
// pixels as search looks at, in green.
func (c *chooser) spatial(r rect, cur []byte) (int, int) {
	var left, mid, avg int
	n := 0
	for y := 1; y < r.h; y += 4 {
		row, up := c.geometry.row(cur, r, y), c.geometry.row(cur, r, y-1)
		l, k := int(row[1]), int(up[1])
		for x := 5; x < len(row); x += 4 {
			u, v := int(up[x]), int(row[x])
			left += abs(v - l)
			mid += abs(v - median(l, u, k))
			avg += abs(v - (l+u)>>1)
			l, k = v, u
			n++
		}
	}
	best, predictor := left, predictLeft
	if avg < best {
		best, predictor = avg, predictAverage
	}
	if mid < best {
		best, predictor = mid, predictMedian
	}
	return predictor, best * searchPixels(r) / max(n, 1)
}

// searchPixels is how many pixels of r a distance is tried on.
func searchPixels(r rect) int { return max((r.h+2)/4*((r.w+2)/4), 1) }

// search returns the distance at which the picture before is most like r, as
// far as it looks, and how wrong it is.
func (c *chooser) search(r rect, cur, prev []byte) (distance, int) {
	best := distance{}
	wrong := c.wrong(r, cur, prev, best, 1<<30)
	try := func(d distance) bool {
		if w := c.wrong(r, cur, prev, d, wrong); w < wrong {
			best, wrong = d, w
			return true
		}
		return false
	}
	for _, d := range c.distances {
		if d != (distance{}) {
			try(d)
		}
	}
	if wrong == 0 {
		return best, 0
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
func (c *chooser) wrong(r rect, cur, prev []byte, d distance, limit int) int {
	g := c.geometry
	from := rect{r.x + d.dx, r.y + d.dy, r.w, r.h}
	if !g.contains(from) {
		return limit
	}
	sum := 0
	now, old := (r.y*g.width+r.x)*4, (from.y*g.width+from.x)*4
	for y := 1; y < r.h; y += 4 {
		at := y * g.stride()
		a, b := cur[now+at:now+at+r.w*4], prev[old+at:old+at+r.w*4]
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
func (c *chooser) blocks(p *photo, cur, prev []byte) bool {
	g, r := c.geometry, p.at
	from := p.from()
	green, res := c.green[:r.area()], c.residual[:r.area()]
	for y := range r.h {
		row, out := g.row(cur, r, y), green[y*r.w:(y+1)*r.w]
		for x := range out {
			out[x] = row[x*4+1]
		}
		var up []byte
		if y > 0 {
			up = green[(y-1)*r.w : y*r.w]
		}
		residuals(p.predictor, res[y*r.w:(y+1)*r.w], out, up)
	}
	at, any := len(c.kinds), false
	p.coded = 0
	for by := 0; by < r.h; by += blockSide {
		h := min(blockSide, r.h-by)
		for bx := 0; bx < r.w; bx += blockSide {
			w := min(blockSide, r.w-bx)
			now, old := rect{r.x + bx, r.y + by, w, h}, rect{from.x + bx, from.y + by, w, h}
			kind := uint8(blockSpatial)
			same := true
			motion, spatial := 0, 0
			for y := range h {
				a, b := g.row(cur, now, y), g.row(prev, old, y)
				same = same && samePixels(a, b)
				if same {
					continue
				}
				line := res[(by+y)*r.w+bx:][:w]
				for x, v := range line {
					spatial += int(magnitude[v])
					motion += int(magnitudeOf(a[x*4+1], b[x*4+1]))
				}
			}
			switch {
			case same:
				kind = blockCopy
			case motion < spatial:
				kind = blockMotion
			}
			if kind != blockSpatial {
				any = true
			}
			if kind != blockCopy {
				p.coded += w * h
			}
			c.kinds = append(c.kinds, kind)
		}
	}
	if !any {
		c.kinds = c.kinds[:at]
		p.coded = r.area()
		return false
	}
	p.kinds = [2]int{at, len(c.kinds)}
	return true
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

// magnitudeOf is the difference of two values.
func magnitudeOf(a, b byte) uint8 {
	return max(a, b) - min(a, b)
}
