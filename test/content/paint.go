package content

import "encoding/binary"

// A color is 0x00RRGGBB, which is BGR0 in memory.
type color uint32

func rgb(r, g, b int) color { return color(r<<16 | g<<8 | b) }

func (c color) parts() (r, g, b int) { return int(c >> 16 & 255), int(c >> 8 & 255), int(c & 255) }

// mix returns the color t/255 of the way from a to b.
func mix(a, b color, t int) color {
	ar, ag, ab := a.parts()
	br, bg, bb := b.parts()
	return rgb(ar+(br-ar)*t/255, ag+(bg-ag)*t/255, ab+(bb-ab)*t/255)
}

// An area is a picture of its own that can be drawn on.
type area struct {
	w, h int
	pix  []byte
}

func newArea(w, h int) *area { return &area{w: w, h: h, pix: make([]byte, w*h*4)} }

func (a *area) at(x, y int) color {
	return color(binary.LittleEndian.Uint32(a.pix[(y*a.w+x)*4:]))
}

func (a *area) set(x, y int, c color) {
	if x >= 0 && y >= 0 && x < a.w && y < a.h {
		binary.LittleEndian.PutUint32(a.pix[(y*a.w+x)*4:], uint32(c))
	}
}

// fill paints the part of the rectangle that lies on the area.
func (a *area) fill(x, y, w, h int, c color) {
	x0, y0, x1, y1 := max(x, 0), max(y, 0), min(x+w, a.w), min(y+h, a.h)
	if x0 >= x1 || y0 >= y1 {
		return
	}
	first := a.pix[(y0*a.w+x0)*4 : (y0*a.w+x1)*4]
	for i := 0; i < len(first); i += 4 {
		binary.LittleEndian.PutUint32(first[i:], uint32(c))
	}
	for yy := y0 + 1; yy < y1; yy++ {
		copy(a.pix[(yy*a.w+x0)*4:(yy*a.w+x1)*4], first)
	}
}

// gradient fills the rectangle from top to bottom.
func (a *area) gradient(x, y, w, h int, top, bottom color) {
	for i := range h {
		a.fill(x, y+i, w, 1, mix(top, bottom, i*255/max(h-1, 1)))
	}
}

// disc paints a filled circle with a soft edge.
func (a *area) disc(cx, cy, r int, c color) {
	for y := cy - r - 1; y <= cy+r+1; y++ {
		for x := cx - r - 1; x <= cx+r+1; x++ {
			if x < 0 || y < 0 || x >= a.w || y >= a.h {
				continue
			}
			d2 := (x-cx)*(x-cx) + (y-cy)*(y-cy)
			t := 255 * (r*r + r - d2) / (2*r + 1)
			a.set(x, y, mix(a.at(x, y), c, min(max(t, 0), 255)))
		}
	}
}

// blit copies src to (x, y), cut off at the edges.
func (a *area) blit(src *area, x, y int) { a.blitPart(src, 0, 0, src.w, src.h, x, y) }

// blitPart copies the rectangle (sx, sy, w, h) of src to (x, y).
func (a *area) blitPart(src *area, sx, sy, w, h, x, y int) {
	if x < 0 {
		sx, w, x = sx-x, w+x, 0
	}
	if y < 0 {
		sy, h, y = sy-y, h+y, 0
	}
	w, h = min(w, a.w-x, src.w-sx), min(h, a.h-y, src.h-sy)
	if w <= 0 {
		return
	}
	for i := range h {
		copy(a.pix[((y+i)*a.w+x)*4:][:w*4], src.pix[((sy+i)*src.w+sx)*4:][:w*4])
	}
}

// scroll moves the rectangle's content up by n rows; the rows that come free
// keep what they had.
func (a *area) scroll(x, y, w, h, n int) {
	if n <= 0 || n >= h {
		return
	}
	for i := range h - n {
		copy(a.pix[((y+i)*a.w+x)*4:][:w*4], a.pix[((y+i+n)*a.w+x)*4:][:w*4])
	}
}
