package content

import "math"

// A film is what a video player shows: shots of a camera that pans over a
// landscape or stands still, with things that move in front of it, sensor
// grain in every frame, and the traces of the lossy codec it was stored with:
// color at half the resolution, and blocks that a frame takes over from the one
// before, moved with the camera, where little changed.
type film struct {
	w, h       int
	ground     *area
	grain      []int8 // noise, read from a new place in each row
	t          float64
	n          int
	camX, camY float64
	raw        *area // what the camera sees
	shown      *area // what the codec makes of it
	before     *area
	seed       uint64
}

const (
	shotFrames = 20
	blockSide  = 16
	skipBelow  = 5 // mean difference, in quarters, below which a block is taken over
)

func newFilm(w, h int, seed uint64) *film {
	f := &film{w: w, h: h, seed: seed, raw: newArea(w, h), shown: newArea(w, h), before: newArea(w, h)}
	f.ground = landscape(w+w/2, h+h/2, seed+1, 1)
	f.grain = make([]int8, 1<<16)
	r := newRand(seed)
	for i := range f.grain { // nearly normal, sigma about 1.3
		f.grain[i] = int8((r.IntN(7) + r.IntN(7) + r.IntN(7) - 9) / 3)
	}
	return f
}

// next draws the film's next picture to (x, y) of a.
func (f *film) next(a *area, x, y int) {
	f.t += 0.2
	moveX, moveY := f.camera()
	f.expose()
	for k := range 4 { // balls that cross the picture
		p := f.t*(0.5+0.2*float64(k)) + float64(k)*1.9
		cx := int((0.5 + 0.45*math.Sin(p)) * float64(f.w))
		cy := int((0.5 + 0.4*math.Cos(p*0.8+float64(k))) * float64(f.h))
		f.ball(cx, cy, f.h/14+k*f.h/40, k)
	}
	f.before, f.shown = f.shown, f.before
	for by := 0; by < f.h; by += blockSide {
		for bx := 0; bx < f.w; bx += blockSide {
			w, h := min(blockSide, f.w-bx), min(blockSide, f.h-by)
			if f.n%shotFrames != 0 && f.skips(bx, by, w, h, moveX, moveY) {
				f.shown.blitPart(f.before, bx+moveX, by+moveY, w, h, bx, by)
			} else {
				f.store(bx, by, w, h)
			}
		}
	}
	f.n++
	a.blit(f.shown, x, y)
}

// camera moves to its next place and returns by how many whole pixels.
func (f *film) camera() (int, int) {
	oldX, oldY := f.camX, f.camY
	spanX, spanY := float64(f.ground.w-f.w-2), float64(f.ground.h-f.h-2)
	switch shot := f.n / shotFrames % 3; shot {
	case 0: // slow pan
		f.camX = (0.5 + 0.5*math.Sin(f.t*0.11)) * spanX
		f.camY = (0.5 + 0.5*math.Cos(f.t*0.07)) * spanY
	case 1: // standing still
	case 2: // following something fast
		f.camX = (0.5 + 0.5*math.Sin(f.t*0.6)) * spanX
		f.camY = (0.5 + 0.5*math.Cos(f.t*0.4)) * spanY
	}
	return int(math.Round(f.camX - oldX)), int(math.Round(f.camY - oldY))
}

// expose draws the landscape with grain, between pixels where the camera is.
func (f *film) expose() {
	xi, yi := int(f.camX), int(f.camY)
	fx, fy := int((f.camX-float64(xi))*16), int((f.camY-float64(yi))*16)
	stride := f.ground.w * 4
	r := newRand(f.seed + uint64(f.n)*977)
	for py := range f.h {
		grain := f.grain[r.IntN(len(f.grain)-f.w):]
		up := f.ground.pix[(yi+py)*stride+xi*4:][:f.w*4+4]
		low := f.ground.pix[(yi+py+1)*stride+xi*4:][:f.w*4+4]
		out := f.raw.pix[py*f.w*4:][:f.w*4]
		for i := 0; i < len(out); i += 4 {
			n := int(grain[i/4])
			for c := range 3 {
				v := (int(up[i+c])*(16-fx)+int(up[i+4+c])*fx)*(16-fy) + (int(low[i+c])*(16-fx)+int(low[i+4+c])*fx)*fy
				out[i+c] = byte(min(max(v>>8+n, 0), 255))
			}
		}
	}
}

// ball draws a shaded sphere, cut off at the film's edges.
func (f *film) ball(cx, cy, rad, kind int) {
	base := []color{rgb(200, 60, 50), rgb(230, 190, 70), rgb(90, 60, 160), rgb(220, 220, 225)}[kind]
	for py := max(cy-rad, 0); py < min(cy+rad, f.h); py++ {
		for px := max(cx-rad, 0); px < min(cx+rad, f.w); px++ {
			dx, dy := px-cx, py-cy
			if dx*dx+dy*dy >= rad*rad {
				continue
			}
			light := 255 - 200*((dx+rad/3)*(dx+rad/3)+(dy+rad/3)*(dy+rad/3))/(2*rad*rad)
			r, g, b := mix(rgb(10, 10, 14), base, min(max(light, 0), 255)).parts()
			n := int(f.grain[(px*31+py*17+f.n*7919)&(len(f.grain)-1)])
			f.raw.set(px, py, rgb(min(max(r+n, 0), 255), min(max(g+n, 0), 255), min(max(b+n, 0), 255)))
		}
	}
}

// skips tells whether a block differs so little from where it was before that
// a codec takes it over.
func (f *film) skips(x, y, w, h, moveX, moveY int) bool {
	sx, sy := x+moveX, y+moveY
	if sx < 0 || sy < 0 || sx+w > f.w || sy+h > f.h {
		return false
	}
	sum, n := 0, 0
	for i := 0; i < h; i += 2 {
		now := f.raw.pix[((y+i)*f.w+x)*4:][:w*4]
		old := f.before.pix[((sy+i)*f.w+sx)*4:][:w*4]
		for k := 1; k < len(now); k += 8 {
			d := int(now[k]) - int(old[k])
			sum += max(d, -d)
			n++
		}
	}
	return sum*4 < skipBelow*n
}

// store brings a block to luma and color of half the resolution and back.
func (f *film) store(x, y, w, h int) {
	for i := 0; i < h; i += 2 {
		for k := 0; k < w; k += 2 {
			var luma [4]int
			cb, cr, n := 0, 0, 0
			for j := range 4 {
				dx, dy := k+j&1, i+j>>1
				if dx >= w || dy >= h {
					continue
				}
				r, g, b := f.raw.at(x+dx, y+dy).parts()
				luma[j] = (66*r+129*g+25*b+128)>>8 + 16
				cb += (-38*r - 74*g + 112*b + 128) >> 8
				cr += (112*r - 94*g - 18*b + 128) >> 8
				n++
			}
			cb, cr = cb/n, cr/n
			for j, l := range luma {
				dx, dy := k+j&1, i+j>>1
				if dx >= w || dy >= h {
					continue
				}
				l = 298 * (l - 16)
				f.shown.set(x+dx, y+dy, rgb(clampInt((l+409*cr+128)>>8), clampInt((l-100*cb-208*cr+128)>>8), clampInt((l+516*cb+128)>>8)))
			}
		}
	}
}

func clampInt(v int) int { return min(max(v, 0), 255) }
