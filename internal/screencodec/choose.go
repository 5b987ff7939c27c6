package screencodec

// A chooser picks the predictor of a photo by trying all of them on some rows.
type chooser struct {
	geometry geometry
	key      bool // no picture before
	dx, dy   int  // the distance of the last photo predicted by motion
}

func newChooser(g geometry) chooser { return chooser{geometry: g} }

func (c *chooser) begin(key bool) { c.key, c.dx, c.dy = key, 0, 0 }

// choose returns the photo at r with its predictor.
func (c *chooser) choose(r rect, cur, prev []byte) photo {
	p := photo{at: r, predictor: predictLeft}
	var left, mid, avg int
	for y := 1; y < r.h; y += 4 {
		row, up := c.geometry.row(cur, r, y), c.geometry.row(cur, r, y-1)
		l, k := int(row[1]), int(up[1])
		for x := 5; x < len(row); x += 4 {
			u, v := int(up[x]), int(row[x])
			left += abs(v - l)
			mid += abs(v - median(l, u, k))
			avg += abs(v - (l+u)>>1)
			l, k = v, u
		}
	}
	best := left
	if avg < best {
		best, p.predictor = avg, predictAverage
	}
	if mid < best {
		best, p.predictor = mid, predictMedian
	}
	return p
}

func abs(v int) int {
	if v < 0 {
		return -v
	}
	return v
}
