package x11

import (
	"errors"
	"fmt"
	"image"
	"time"
)

const (
	badMatch = 8
	// maxPlace bounds a screen's sides, as a server's 16-bit coordinates do, and
	// maxPixels the memory for a picture.
	maxPlace  = 32767
	maxPixels = 1 << 26
	// trustEvery is how often what the server reports as changed is compared with
	// what has changed.
	trustEvery = 2 * time.Second
)

// ErrSize says that the screen is not as large as the picture that was wanted.
var ErrSize = errors.New("screen has another size")

// Picture is a picture of a whole screen, the pointer drawn in.
type Picture struct {
	// Pix holds BGR0 rows of 4*width bytes. It is the grabber's memory, the same
	// for all pictures of one size, and keeps what it holds until the next Grab.
	Pix []byte
	// Changed says where the picture may differ from the last that was grabbed.
	Changed []image.Rectangle
}

// Grabber takes pictures of a screen. It is for one goroutine.
//
// Where the server can, it puts pixels into memory that both share (MIT-SHM
// 1.2) and tells which parts of the screen were drawn to (DAMAGE), and only
// those are asked for. That report is not taken on trust: now and then the whole
// screen is compared with it, and a server that keeps changes to itself is asked
// for everything from then on.
type Grabber struct {
	name    string
	timeout time.Duration
	client  *client
	// fixes is the extension's major opcode, 0 without pointers.
	fixes  byte
	shares sharing
	damage damage

	memory  memory
	valid   bool // the memory holds the last picture
	pointer pointer
	// pending was reported as changed while the last picture was taken.
	pending []image.Rectangle
	trusted time.Time // when last compared
}

// OpenGrabber connects to a display; the errors are those of Open. The caller
// must Close the grabber.
func OpenGrabber(display string, opts Options) (*Grabber, error) {
	g := &Grabber{name: display, timeout: opts.timeout()}
	number, cookies, err := credentials(display, opts)
	if err == nil {
		g.client, err = connect(number, cookies, time.Now().Add(g.timeout))
	}
	if err == nil {
		if err = errors.Join(g.client.pixels.check(), g.prepare()); err != nil {
			err = errors.Join(err, g.client.close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open display %q: %w", display, err)
	}
	return g, nil
}

// prepare learns what the server can do.
func (g *Grabber) prepare() error {
	if err := g.findFixes(); err != nil {
		return err
	}
	var err error
	if g.shares, err = g.client.findSharing(); err != nil || !g.shares.able || g.fixes == 0 {
		return err
	}
	g.damage, err = g.client.findDamage(g.fixes)
	return err
}

// Close ends the connection and frees the pictures' memory.
func (g *Grabber) Close() error { return errors.Join(g.client.close(), g.memory.free()) }

// Shared and Partial tell how pictures are taken: through memory that is shared
// with the server, and only of what has changed.
func (g *Grabber) Shared() bool { return g.shares.able }

// Partial reports whether only what has changed is read. See Shared.
func (g *Grabber) Partial() bool { return g.damage.able }

// Grab takes a picture of the whole screen and blocks until the server has
// delivered it. It fails with ErrSize where the screen is not of that size or
// was not all the time; the next Grab is then of everything. After any other
// error the grabber is of no more use.
func (g *Grabber) Grab(width, height int) (Picture, error) {
	if width < 1 || height < 1 || width > maxPlace || height > maxPlace || width*height > maxPixels {
		return Picture{}, fmt.Errorf("grab display %q: no picture of %dx%d", g.name, width, height)
	}
	g.client.until(time.Now().Add(g.timeout))
	changed, err := g.grab(image.Rect(0, 0, width, height))
	if err != nil {
		g.valid = false
		return Picture{}, fmt.Errorf("grab display %q: %w", g.name, err)
	}
	g.valid = true
	return Picture{Pix: g.memory.pix, Changed: changed}, nil
}

func (g *Grabber) grab(screen image.Rectangle) ([]image.Rectangle, error) {
	if g.memory.size != screen.Max {
		if err := g.hold(screen.Max); err != nil {
			return nil, err
		}
	}
	pointer, drawn, err := g.look(screen)
	if err != nil {
		return nil, err
	}
	changed := append(g.pending, drawn...)
	g.pending = nil
	old := g.pointer
	if !pointer.same(old) {
		changed = append(changed, old.place.Intersect(screen), pointer.place.Intersect(screen))
		g.pointer = pointer
	}
	switch {
	case !g.valid || !g.damage.able:
		g.pending, err = g.fetch(screen, all(screen))
		g.trusted = time.Now()
		return []image.Rectangle{screen}, err
	case time.Since(g.trusted) >= trustEvery:
		return g.compare(screen, append(changed, old.place))
	case len(changed) > 0:
		return g.update(screen, changed)
	}
	return nil, nil
}

func all(screen image.Rectangle) []rows { return []rows{rowsOf(screen)} }

// update brings what has changed into the picture. What was drawn while it was
// being read may be in it in part: then all is read again, at one instant.
func (g *Grabber) update(screen image.Rectangle, changed []image.Rectangle) ([]image.Rectangle, error) {
	bands := bandsOf(changed, g.pointer.place.Intersect(screen))
	later, err := g.fetch(screen, bands)
	if err == nil && !covered(later, bands) {
		changed = append(changed, later...)
		later, err = g.fetch(screen, all(screen))
	}
	g.pending = later
	return append(changed, later...), err
}

// compare reads everything, and stops trusting the server's reports if more has
// changed than they say.
func (g *Grabber) compare(screen image.Rectangle, changed []image.Rectangle) ([]image.Rectangle, error) {
	before := g.memory.sums()
	later, err := g.fetch(screen, all(screen))
	if err != nil {
		return nil, err
	}
	// The pointer is in both, and may have been drawn otherwise.
	changed = append(changed, later...)
	told := bandsOf(append(changed, g.pointer.place), image.Rectangle{})
	for i, sum := range g.memory.sums() {
		if strip := (rows{i * stripRows, (i + 1) * stripRows}); sum != before[i] && !strip.touches(told) {
			g.damage.able = false
			return []image.Rectangle{screen}, nil
		}
	}
	g.pending, g.trusted = later, time.Now()
	return changed, nil
}

// look asks for what is drawn over the screen, what was drawn on it since it was
// last asked, and whether it still has its size.
func (g *Grabber) look(screen image.Rectangle) (p pointer, drawn []image.Rectangle, err error) {
	c := g.client
	size := c.put(opGetGeometry, 0, words(c.root))
	shape := g.putPointer()
	region := g.damage.put(c)
	if err := c.flush(); err != nil {
		return p, nil, err
	}
	if err := c.sizeIs(size, screen.Max); err != nil {
		return p, nil, err
	}
	if p, err = g.pointerOf(shape); err != nil {
		return p, nil, err
	}
	drawn, err = g.damage.region(c, region, screen)
	return p, drawn, err
}

// fetch reads bands of the screen into the picture, draws the pointer where they
// touch it, and returns what was drawn on the screen meanwhile.
func (g *Grabber) fetch(screen image.Rectangle, bands []rows) ([]image.Rectangle, error) {
	c := g.client
	if !g.shares.able {
		// A screen that is as large as that is a picture of some 10 ms.
		if err := c.image(screen.Max, g.memory.pix); err != nil {
			return nil, sizeError(err)
		}
		bands = all(screen)
	}
	var images []uint16
	if g.shares.able {
		for _, band := range bands {
			images = append(images, g.shares.put(c, screen.Max.X, band))
		}
	}
	region := g.damage.put(c)
	size := c.put(opGetGeometry, 0, words(c.root))
	if err := c.flush(); err != nil {
		return nil, err
	}
	for _, sequence := range images {
		// The screen may have been made smaller since it was looked at.
		if _, err := c.reply(sequence); err != nil {
			return nil, sizeError(err)
		}
	}
	later, err := g.damage.region(c, region, screen)
	if err != nil {
		return nil, err
	}
	// A screen that grew meanwhile is in the picture in part.
	if err := c.sizeIs(size, screen.Max); err != nil {
		return nil, err
	}
	if rowsOf(g.pointer.place).touches(bands) {
		g.pointer.draw(g.memory.pix, screen)
	}
	return later, nil
}

// hold gets memory for pictures of a size.
func (g *Grabber) hold(size image.Point) error {
	g.valid = false
	if g.shares.able {
		return g.share(size)
	}
	g.memory = memory{size: size, pix: make([]byte, 4*size.X*size.Y)}
	return nil
}

func (c *client) sizeIs(sequence uint16, want image.Point) error {
	reply, err := c.reply(sequence)
	if err != nil {
		return err
	}
	if w, h := int(wire.Uint16(reply[16:])), int(wire.Uint16(reply[18:])); w != want.X || h != want.Y {
		return fmt.Errorf("%w: %dx%d, not %dx%d", ErrSize, w, h, want.X, want.Y)
	}
	return nil
}

func sizeError(err error) error {
	if refused := (*requestError)(nil); errors.As(err, &refused) && refused.code == badMatch {
		return fmt.Errorf("%w: %w", ErrSize, err)
	}
	return err
}
