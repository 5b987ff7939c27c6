package content

import (
	"image"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// A typeface draws text of one size. Glyphs are drawn three times as large and
// brought down, which gives anti-aliasing, and with lcd set a coverage of its
// own for each of the three colors of a pixel.
type typeface struct {
	face   font.Face
	lcd    bool
	height int
	ascent int
	cache  map[rune]*glyph
}

type glyph struct {
	w, h    int
	dx, dy  int // from the pen to the upper left corner
	advance int
	cover   []byte // three bytes a pixel, red green blue
}

func newTypeface(ttf []byte, size float64, lcd bool) *typeface {
	f, err := opentype.Parse(ttf)
	if err != nil {
		panic("content: parse built-in font: " + err.Error())
	}
	face, err := opentype.NewFace(f, &opentype.FaceOptions{Size: size * 3, DPI: 72, Hinting: font.HintingNone})
	if err != nil {
		panic("content: open built-in font: " + err.Error())
	}
	m := face.Metrics()
	return &typeface{
		face: face, lcd: lcd, cache: map[rune]*glyph{},
		height: (m.Height.Ceil() + 2) / 3, ascent: (m.Ascent.Ceil() + 2) / 3,
	}
}

func newMono(size float64, lcd bool) *typeface { return newTypeface(gomono.TTF, size, lcd) }
func newSans(size float64, lcd bool) *typeface { return newTypeface(goregular.TTF, size, lcd) }
func newBold(size float64, lcd bool) *typeface { return newTypeface(gobold.TTF, size, lcd) }

// glyph returns the cached picture of r.
func (t *typeface) glyph(r rune) *glyph {
	if g, ok := t.cache[r]; ok {
		return g
	}
	dr, mask, mp, adv, ok := t.face.Glyph(fixed.P(0, 0), r)
	g := &glyph{advance: (adv.Round() + 1) / 3}
	t.cache[r] = g
	if !ok || dr.Empty() {
		return g
	}
	x0, y0 := floorDiv(dr.Min.X, 3)-1, floorDiv(dr.Min.Y, 3)
	x1, y1 := floorDiv(dr.Max.X, 3)+2, floorDiv(dr.Max.Y, 3)+1
	g.dx, g.dy, g.w, g.h = x0, y0, x1-x0, y1-y0
	g.cover = make([]byte, g.w*g.h*3)
	sub := func(x, y int) int { // coverage of one of the nine parts of a pixel
		p := image.Pt(x, y)
		if !p.In(dr) {
			return 0
		}
		_, _, _, a := mask.At(x-dr.Min.X+mp.X, y-dr.Min.Y+mp.Y).RGBA()
		return int(a >> 8)
	}
	for y := range g.h {
		for x := range g.w {
			var col [5]int // the pixel's three columns and one on each side
			for i := range col {
				for k := range 3 {
					col[i] += sub((x0+x)*3+i-1, (y0+y)*3+k)
				}
			}
			out := g.cover[(y*g.w+x)*3:]
			all := (col[1] + col[2] + col[3]) / 9
			for i := range 3 {
				if t.lcd {
					all = (col[i] + col[i+1] + col[i+2]) / 9
				}
				out[i] = byte(min(all, 255))
			}
		}
	}
	return g
}

func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// text draws s with its upper left corner at (x, y) and returns the x after it.
func (a *area) text(t *typeface, x, y int, s string, c color) int {
	r, g, b := c.parts()
	for _, ch := range s {
		gl := t.glyph(ch)
		for gy := range gl.h {
			py := y + t.ascent + gl.dy + gy
			if py < 0 || py >= a.h {
				continue
			}
			for gx := range gl.w {
				px := x + gl.dx + gx
				if px < 0 || px >= a.w {
					continue
				}
				k := gl.cover[(gy*gl.w+gx)*3:]
				if k[0]|k[1]|k[2] == 0 {
					continue
				}
				o := a.pix[(py*a.w+px)*4:]
				o[2] = blend(o[2], r, k[0])
				o[1] = blend(o[1], g, k[1])
				o[0] = blend(o[0], b, k[2])
			}
		}
		x += gl.advance
	}
	return x
}

func blend(from byte, to int, t byte) byte { return byte(int(from) + (to-int(from))*int(t)/255) }
