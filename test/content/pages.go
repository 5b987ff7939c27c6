package content

import "math/rand/v2"

// A page is a window's worth of text that grows at its end and scrolls.
type page struct {
	win     *window
	face    *typeface
	r       *rand.Rand
	paper   color
	x, y    int // the pen, inside the window
	lines   int // drawn so far
	margin  int
	current []span // what is still to be typed on this line
	at      int    // letters of current[0] that stand already
	caret   bool
}

func newPage(win *window, face *typeface, seed uint64, paper color) *page {
	p := &page{win: win, face: face, r: newRand(seed), paper: paper, margin: 6}
	p.x, p.y = p.margin, 4
	return p
}

// newline moves to the next line and scrolls if the window is full.
func (p *page) newline() {
	p.showCaret(false)
	w, h := p.win.inner()
	p.x = p.margin
	p.y += p.face.height
	p.lines++
	if p.y+p.face.height > h {
		p.win.pic.scroll(1, titleHeight, w, h, p.face.height)
		p.y -= p.face.height
		p.win.pic.fill(1, titleHeight+p.y, w, h-p.y, p.paper)
	}
}

// line draws a whole line and moves on.
func (p *page) line(spans []span) {
	for _, s := range spans {
		p.put(s.text, s.color)
	}
	p.newline()
}

// put draws text at the pen, as far as it fits.
func (p *page) put(s string, c color) {
	w, _ := p.win.inner()
	for _, r := range s {
		if p.x+p.face.glyph(r).advance > w-p.margin {
			return
		}
		p.x = p.win.pic.text(p.face, p.x+1, titleHeight+p.y, string(r), c) - 1
	}
}

// fill draws lines until the window is full.
func (p *page) fill(line func() []span) {
	_, h := p.win.inner()
	for range h/p.face.height + 3 {
		p.line(line())
	}
}

// typeOne draws the next letter of a text that is being written.
func (p *page) typeOne(line func() []span) {
	p.showCaret(false)
	if len(p.current) == 0 {
		p.newline()
		p.current, p.at = line(), 0
		return
	}
	s := p.current[0]
	p.put(s.text[p.at:p.at+1], s.color)
	if p.at++; p.at == len(s.text) {
		p.current, p.at = p.current[1:], 0
	}
}

// showCaret draws or removes the caret at the pen.
func (p *page) showCaret(on bool) {
	if p.caret == on {
		return
	}
	p.caret = on
	for y := p.y; y < p.y+p.face.height; y++ { // inverts, so that twice is nothing
		for x := p.x + 1; x < p.x+3; x++ {
			if x < p.win.pic.w && y+titleHeight < p.win.pic.h {
				p.win.pic.set(x, y+titleHeight, p.win.pic.at(x, y+titleHeight)^0xffffff)
			}
		}
	}
}

// document paints a long page of headings, prose and photos, w by h pixels.
func document(w, h int, seed uint64) *area {
	r := newRand(seed)
	a := newArea(w, h)
	a.fill(0, 0, w, h, rgb(255, 255, 255))
	text, head := newSans(15, true), newBold(22, true)
	for y := 24; y < h-40; {
		switch k := r.IntN(8); {
		case k == 0:
			a.text(head, 40, y, sentence(r, 4), rgb(20, 40, 90))
			y += head.height + 12
		case k == 1 && h-y > 340:
			pic := landscape(min(480, w-80), 300, r.Uint64(), 2)
			a.blit(pic, 40, y)
			y += 320
		default:
			for range 2 + r.IntN(5) {
				s := sentence(r, 30)
				for len(s) > 0 && text.width(s) > w-80 {
					s = s[:len(s)-1]
				}
				a.text(text, 40, y, s, rgb(34, 34, 34))
				y += text.height + 5
			}
			y += 14
		}
	}
	return a
}

// width returns how far s moves the pen.
func (t *typeface) width(s string) int {
	n := 0
	for _, r := range s {
		n += t.glyph(r).advance
	}
	return n
}
