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

// A film is a camera that moves over a landscape, with things that move in
// front of it. Every frame has its own grain.
type film struct {
	w, h   int
	ground *area
	grain  []int8 // a long strip of noise, read from a new place in each row
	r      *rand.Rand
	t      float64
	cut    float64 // phase of the camera, changed at every cut
	n      int
}

func newFilm(w, h int, seed uint64) *film {
	f := &film{w: w, h: h, r: newRand(seed)}
	f.ground = landscape(w+w/2, h+h/2, seed+1, 1)
	f.grain = make([]int8, 1<<16)
	for i := range f.grain { // nearly normal, sigma about 1.3
		f.grain[i] = int8((f.r.IntN(7) + f.r.IntN(7) + f.r.IntN(7) - 9) / 3)
	}
	return f
}

// next draws the film's next picture to (x, y) of a.
func (f *film) next(a *area, x, y int) {
	f.t += 0.2
	f.n++
	if f.n%60 == 0 {
		f.cut += 1.7
	}
	spanX, spanY := float64(f.ground.w-f.w-2), float64(f.ground.h-f.h-2)
	camX := (0.5 + 0.5*math.Sin(f.t*0.11+f.cut)) * spanX
	camY := (0.5 + 0.5*math.Cos(f.t*0.07+f.cut*2)) * spanY
	xi, yi := int(camX), int(camY)
	fx, fy := int((camX-float64(xi))*16), int((camY-float64(yi))*16)
	stride := f.ground.w * 4
	for py := range f.h {
		g := f.r.IntN(len(f.grain) - f.w)
		grain := f.grain[g : g+f.w]
		up := f.ground.pix[(yi+py)*stride+xi*4:][:f.w*4+4]
		low := f.ground.pix[(yi+py+1)*stride+xi*4:][:f.w*4+4]
		out := a.pix[((y+py)*a.w+x)*4:][:f.w*4]
		for i := 0; i < len(out); i += 4 {
			n := int(grain[i/4])
			for c := range 3 {
				v := (int(up[i+c])*(16-fx)+int(up[i+4+c])*fx)*(16-fy) + (int(low[i+c])*(16-fx)+int(low[i+4+c])*fx)*fy
				out[i+c] = byte(min(max(v>>8+n, 0), 255))
			}
		}
	}
	for k := range 4 { // balls that cross the picture
		p := f.t*(0.5+0.2*float64(k)) + float64(k)*1.9 + f.cut
		cx := x + int((0.5+0.45*math.Sin(p))*float64(f.w))
		cy := y + int((0.5+0.4*math.Cos(p*0.8+float64(k)))*float64(f.h))
		f.ball(a, x, y, cx, cy, f.h/14+k*f.h/40, k)
	}
}

// ball draws a shaded sphere, cut off at the film's edges.
func (f *film) ball(a *area, x, y, cx, cy, rad, kind int) {
	base := []color{rgb(200, 60, 50), rgb(230, 190, 70), rgb(90, 60, 160), rgb(220, 220, 225)}[kind]
	for py := max(cy-rad, y); py < min(cy+rad, y+f.h); py++ {
		for px := max(cx-rad, x); px < min(cx+rad, x+f.w); px++ {
			dx, dy := px-cx, py-cy
			d2 := dx*dx + dy*dy
			if d2 >= rad*rad {
				continue
			}
			light := 255 - 200*((dx+rad/3)*(dx+rad/3)+(dy+rad/3)*(dy+rad/3))/(2*rad*rad)
			c := mix(rgb(10, 10, 14), base, min(max(light, 0), 255))
			n := int(f.grain[(px*31+py*17+f.n*7919)&(len(f.grain)-1)])
			r, g, b := c.parts()
			a.set(px, py, rgb(min(max(r+n, 0), 255), min(max(g+n, 0), 255), min(max(b+n, 0), 255)))
		}
	}
}
