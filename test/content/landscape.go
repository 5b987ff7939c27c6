package content

import (
	"math"
	"math/rand/v2"
)

// landscape paints a picture with the look of a photo: clouds, hills and
// texture at every scale, and the noise of a sensor.
func landscape(w, h int, seed uint64, noise int) *area {
	r := newRand(seed)
	a := newArea(w, h)
	coarse, fine := newField(r, 64), newField(r, 64)
	unit := float64(max(w, h))
	for y := range h {
		horizon := float64(h) * 0.55
		for x := range w {
			u, v := float64(x)/unit, float64(y)/unit
			c := coarse.sum(u*5, v*5, 5)
			f := fine.sum(u*40, v*40, 4)
			var R, G, B float64
			if float64(y) < horizon+(c-0.5)*float64(h)*0.5 {
				t := float64(y) / float64(h)
				cl := math.Max(0, c*1.7-0.6)
				R, G, B = 70+90*t+110*cl, 120+70*t+80*cl, 190+30*t+40*cl
			} else {
				R, G, B = 40+70*c+60*f, 60+80*c+55*f, 25+40*c+45*f
			}
			n := float64(r.IntN(2*noise+1)+r.IntN(2*noise+1)) - float64(2*noise)
			a.set(x, y, rgb(clamp(R+n), clamp(G+n*0.8), clamp(B+n*1.1)))
		}
	}
	return a
}

func clamp(v float64) int { return int(min(max(v, 0), 255)) }

// A field is smooth noise over a plane that repeats every size steps.
type field struct {
	size int
	val  []float64
}

func newField(r *rand.Rand, size int) *field {
	f := &field{size: size, val: make([]float64, size*size)}
	for i := range f.val {
		f.val[i] = r.Float64()
	}
	return f
}

func (f *field) at(x, y float64) float64 {
	xi, yi := math.Floor(x), math.Floor(y)
	fx, fy := x-xi, y-yi
	fx, fy = fx*fx*(3-2*fx), fy*fy*(3-2*fy)
	m := f.size - 1 // size is a power of two
	x0, y0 := int(xi)&m, int(yi)&m
	x1, y1 := (x0+1)&m, (y0+1)&m
	top := f.val[y0*f.size+x0]*(1-fx) + f.val[y0*f.size+x1]*fx
	low := f.val[y1*f.size+x0]*(1-fx) + f.val[y1*f.size+x1]*fx
	return top*(1-fy) + low*fy
}

// sum adds octaves of the field, from 0 to 1.
func (f *field) sum(x, y float64, octaves int) float64 {
	v, amp, all := 0.0, 1.0, 0.0
	for range octaves {
		v += f.at(x, y) * amp
		all += amp
		x, y, amp = x*2.03, y*2.03, amp*0.55
	}
	return v / all
}
