package content

import "fmt"

const (
	barHeight   = 28 // panel at the top
	titleHeight = 26
)

// A desktop is a wallpaper, a panel, windows from back to front and a pointer.
type desktop struct {
	w, h    int
	back    *area
	windows []*window
	ui      *typeface
	bold    *typeface
	px, py  int // pointer
	seconds int // what the clock shows
	screen  *area
}

// A window is a picture with a place on the desktop.
type window struct {
	x, y  int
	pic   *area // frame included
	title string
}

func newDesktop(w, h int) *desktop {
	d := &desktop{w: w, h: h, ui: newSans(13, false), bold: newBold(13, false), px: w / 2, py: h / 2, seconds: 9*3600 + 41*60}
	d.back = landscape(w, h, 11, 2)
	d.screen = &area{w: w, h: h}
	for i, name := range []string{"Home", "Documents", "Invoices", "Projects", "Trash"} {
		d.icon(24, barHeight+20+i*92, name, i)
	}
	return d
}

// icon paints a shaded folder or document with its name below.
func (d *desktop) icon(x, y int, name string, kind int) {
	c := []color{rgb(240, 190, 70), rgb(90, 150, 220), rgb(230, 110, 80), rgb(120, 190, 110), rgb(150, 150, 160)}[kind%5]
	d.back.gradient(x, y+8, 52, 38, mix(c, rgb(255, 255, 255), 90), c)
	d.back.gradient(x, y+2, 22, 8, mix(c, rgb(255, 255, 255), 140), c)
	d.back.fill(x, y+46, 52, 1, mix(c, 0, 120))
	d.back.text(d.ui, x-2, y+51, name, rgb(10, 10, 10))
	d.back.text(d.ui, x-3, y+50, name, rgb(255, 255, 255))
}

// open puts a new window in front; its inside is w by h pixels, but never
// larger than the desktop leaves room for.
func (d *desktop) open(x, y, w, h int, title string, paper color) *window {
	w, h = max(min(w, d.w-x-4), 32), max(min(h, d.h-y-titleHeight-4), 32)
	win := &window{x: x, y: y, title: title, pic: newArea(w+2, h+titleHeight+1)}
	p := win.pic
	p.fill(0, 0, p.w, p.h, rgb(90, 92, 96))
	p.gradient(1, 1, w, titleHeight-2, rgb(246, 245, 244), rgb(218, 214, 210))
	p.text(d.bold, max(w/2-len(title)*4, 8), 4, title, rgb(46, 52, 54))
	for i, c := range []color{rgb(224, 27, 36), rgb(246, 211, 45), rgb(51, 209, 122)} {
		p.disc(w-14-i*22, titleHeight/2, 6, c)
	}
	p.fill(1, titleHeight, w, h, paper)
	d.windows = append(d.windows, win)
	return win
}

// inner returns the size of a window's inside, which starts at (1, titleHeight).
func (w *window) inner() (int, int) { return w.pic.w - 2, w.pic.h - titleHeight - 1 }

// compose draws everything into dst.
func (d *desktop) compose(dst []byte) {
	d.screen.pix = dst
	copy(dst, d.back.pix)
	for _, w := range d.windows {
		d.shadow(w)
		d.screen.blit(w.pic, w.x, w.y)
	}
	d.panel()
	d.pointer()
}

// shadow darkens a border of some pixels below and right of a window.
func (d *desktop) shadow(w *window) {
	const depth = 7
	dark := func(x, y, by int) {
		if x >= 0 && y >= 0 && x < d.w && y < d.h {
			d.screen.set(x, y, mix(d.screen.at(x, y), 0, by))
		}
	}
	for k := range depth {
		by := (depth - k) * 13
		for x := w.x + 3; x < w.x+w.pic.w+k; x++ {
			dark(x, w.y+w.pic.h+k, by)
		}
		for y := w.y + 3; y < w.y+w.pic.h+k; y++ {
			dark(w.x+w.pic.w+k, y, by)
		}
	}
}

func (d *desktop) panel() {
	d.screen.gradient(0, 0, d.w, barHeight, rgb(58, 60, 66), rgb(36, 38, 43))
	x := d.screen.text(d.bold, 12, 6, "Applications", rgb(238, 238, 236))
	d.screen.text(d.ui, x+20, 6, "Places", rgb(211, 215, 207))
	s := d.seconds
	clock := fmt.Sprintf("Tue 14 May  %02d:%02d:%02d", s/3600%24, s/60%60, s%60)
	d.screen.text(d.ui, d.w-170, 6, clock, rgb(238, 238, 236))
}

var arrow = []string{
	"#", "##", "#.#", "#..#", "#...#", "#....#", "#.....#", "#......#", "#.......#", "#........#",
	"#.....#####", "#..#..#", "#.# #..#", "##  #..#", "#    #..#", "     #..#", "      ##",
}

func (d *desktop) pointer() {
	for y, row := range arrow {
		for x, c := range row {
			switch c {
			case '#':
				d.screen.set(d.px+x, d.py+y, rgb(0, 0, 0))
			case '.':
				d.screen.set(d.px+x, d.py+y, rgb(255, 255, 255))
			}
		}
	}
}
