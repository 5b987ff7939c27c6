package screencodec

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

func TestWordsAreEightBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(51, 52))
	some := [...]uint8{0, 1, 62, 63, 64, 127, 128, 129, 254, 255}
	pick := func() (w uint64, b [8]uint8) {
		for i := range b {
			b[i] = uint8(r.Uint32())
			if r.IntN(2) == 0 {
				b[i] = some[r.IntN(len(some))]
			}
		}
		return binary.LittleEndian.Uint64(b[:]), b
	}
	for range 20000 {
		x, a := pick()
		y, b := pick()
		z, c := pick()
		results := map[string]uint64{
			"subtract": subtract(x, y), "average": average(x, y), "atLeast": atLeast(x, y),
			"medians": medians(x, y, z), "sizes": sizes(x), "clip63": clip63(x),
		}
		sum := 0
		for i := range 8 {
			least := uint8(0)
			if a[i] >= b[i] {
				least = 255
			}
			want := map[string]uint8{
				"subtract": a[i] - b[i], "average": uint8((int(a[i]) + int(b[i])) / 2), "atLeast": least,
				"medians": uint8(median(int(a[i]), int(b[i]), int(c[i]))), "sizes": magnitude[a[i]], "clip63": min(a[i], 63),
			}
			for name, w := range want {
				if got := uint8(results[name] >> (8 * i)); got != w {
					t.Fatalf("%s of %d, %d, %d is %d instead of %d", name, a[i], b[i], c[i], got, w)
				}
			}
			sum += int(a[i])
		}
		if got := total(x); got != sum {
			t.Fatalf("the sum of %v is %d instead of %d", a, got, sum)
		}
	}
}

func TestPlanesOfWords(t *testing.T) {
	r := rand.New(rand.NewPCG(53, 54))
	for range 300 {
		g := newGeometry(1+r.IntN(32), 1+r.IntN(32), 5)
		pix := make([]byte, g.stride()*g.height)
		for i := range pix {
			pix[i] = byte(r.Uint32())
		}
		whole := rect{0, 0, g.width, g.height}
		p, want := newWordPlanes(32), newPlanes(32*32)
		p.split(g.patch(pix, whole))
		want.split(g, pix, whole)
		for plane := range 3 {
			for y := range g.height {
				for x := range g.width {
					got := byte(p.planes[plane][y*p.across+x/lanes] >> (x % lanes * 8))
					if w := want[plane][y*g.width+x]; got != w {
						t.Fatalf("%dx%d: plane %d at %d, %d is %d instead of %d", g.width, g.height, plane, x, y, got, w)
					}
				}
			}
		}
	}
}
