package content

import "math"

// An office is the desktop all scenes happen on; each of its methods is
// something a person does for the time of one frame.
type office struct {
	editor, term, shell *page
	browser             *window
	doc                 *area
	docY                int
	player              *window
	film                *film
	dragged             *window
	phase               float64
	plan                func(o *office, d *desktop, n int)
}

func newScene(name string, d *desktop) scene {
	if name == "motion" {
		return &cinema{film: newFilm(d.w, d.h, 71)}
	}
	o := &office{}
	fw, fh := float64(d.w)/1920, float64(d.h)/1080
	at := func(x, y, w, h float64) (int, int, int, int) {
		return int(x * fw), barHeight + int(y*fh), int(w * fw), int(h * fh)
	}
	x, y, w, h := at(980, 20, 900, 640)
	o.browser = d.open(x, y, w, h, "Quarterly report - Browser", rgb(255, 255, 255))
	bw, bh := o.browser.inner()
	o.doc = document(bw, bh*6, 31)
	o.browser.pic.blitPart(o.doc, 0, 0, bw, bh, 1, titleHeight)

	x, y, w, h = at(140, 60, 900, 760)
	o.editor = newPage(d.open(x, y, w, h, "segment.go - Editor", rgb(255, 255, 255)), newMono(14, true), 32, rgb(255, 255, 255))
	o.editor.fill(func() []span { return codeLine(o.editor.r) })

	x, y, w, h = at(860, 480, 980, 520)
	o.term = newPage(d.open(x, y, w, h, "build@host: ~/src", rgb(46, 52, 54)), newMono(13, false), 33, rgb(46, 52, 54))
	o.term.fill(o.logLine)

	x, y, w, h = at(200, 560, 620, 380)
	o.shell = newPage(d.open(x, y, w, h, "user@host: ~", rgb(48, 10, 36)), newMono(13, false), 34, rgb(48, 10, 36))
	o.shell.line([]span{{"user@host", termGreen}, {":~$ tail -n 12 service.log", termText}})
	for range 12 {
		o.shell.line(logLine(o.shell.r, o.shell.lines))
	}
	o.dragged = o.shell.win

	if name == "video" || name == "mixed" {
		x, y, w, h = at(420, 180, 854, 480)
		o.player = d.open(x, y, w, h, "Training video", 0)
		pw, ph := o.player.inner()
		o.film = newFilm(pw, ph, 51)
		o.film.next(o.player.pic, 1, titleHeight)
	}
	o.plan = map[string]func(*office, *desktop, int){
		"idle": (*office).rest, "typing": (*office).write, "terminal": (*office).build, "scroll": (*office).read,
		"drag": (*office).drag, "video": (*office).watch, "mixed": (*office).work,
	}[name]
	return o
}

func (o *office) step(d *desktop, n int) { o.plan(o, d, n) }

func (o *office) logLine() []span { return logLine(o.term.r, o.term.lines) }

// rest is a clock that ticks and a caret that blinks.
func (o *office) rest(d *desktop, n int) {
	d.seconds = 9*3600 + 41*60 + n/5
	o.editor.showCaret(n*200/530%2 == 0)
}

// write types one or two letters and now and then thinks.
func (o *office) write(d *desktop, n int) {
	o.rest(d, n)
	if n%25 >= 21 {
		return
	}
	for range 1 + n%2 {
		o.editor.typeOne(func() []span { return codeLine(o.editor.r) })
	}
	o.editor.showCaret(true)
}

// build prints lines into the terminal, in bursts.
func (o *office) build(d *desktop, n int) {
	o.rest(d, n)
	for range []int{1, 3, 12, 0, 30, 2, 5, 0}[n%8] {
		o.term.line(o.logLine())
	}
}

// read turns the wheel over the document.
func (o *office) read(d *desktop, n int) {
	o.rest(d, n)
	w, h := o.browser.inner()
	if n%10 < 6 {
		o.docY += 53
	}
	if o.docY+h > o.doc.h {
		o.docY = 0
	}
	o.browser.pic.blitPart(o.doc, 0, o.docY, w, h, 1, titleHeight)
	d.px, d.py = o.browser.x+w*2/3, o.browser.y+h/3
}

// drag moves a window about by its title bar.
func (o *office) drag(d *desktop, n int) {
	o.rest(d, n)
	o.phase += 0.12
	w := o.dragged
	w.x = int((0.5 + 0.48*math.Sin(o.phase)) * float64(d.w-w.pic.w))
	w.y = barHeight + int((0.5+0.5*math.Sin(o.phase*1.7+1))*float64(d.h-w.pic.h-barHeight))
	d.px, d.py = w.x+w.pic.w/3, w.y+9
}

// watch plays the film in its window.
func (o *office) watch(d *desktop, n int) {
	o.rest(d, n)
	o.film.next(o.player.pic, 1, titleHeight)
}

// work is a minute of everything: half of it rest, a tenth of it film.
func (o *office) work(d *desktop, n int) {
	front := func(w *window) {
		for i, x := range d.windows {
			if x == w && i < len(d.windows)-1 {
				d.windows = append(append(d.windows[:i:i], d.windows[i+1:]...), w)
			}
		}
	}
	switch n %= 300; {
	case n < 40:
		o.rest(d, n)
	case n < 85:
		front(o.editor.win)
		o.write(d, n)
	case n < 110:
		front(o.term.win)
		o.build(d, n)
	case n < 150:
		o.rest(d, n)
	case n < 170:
		front(o.shell.win)
		o.drag(d, n)
	case n < 200:
		front(o.player)
		o.watch(d, n)
	case n < 230:
		front(o.browser)
		o.read(d, n)
	default:
		o.rest(d, n)
	}
}

// A cinema shows a film over the whole screen.
type cinema struct{ film *film }

func (c *cinema) step(d *desktop, _ int) {
	d.windows = nil
	c.film.next(d.back, 0, 0)
}
