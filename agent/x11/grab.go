package x11

import (
	"errors"
	"fmt"
	"image"
	"io"
	"time"
)

const (
	opGetImage    = 73
	formatZPixmap = 2
	allPlanes     = 0xffffffff
	badMatch      = 8

	// bandBytes bounds what one request asks for: the server holds the answer in
	// its memory. Usual screens come in one band, at one instant.
	bandBytes = 16 << 20
	// maxPlace bounds a screen's sides, as a server's 16-bit coordinates do.
	maxPlace = 32767
)

// ErrSize says that the screen is not as large as the picture that was wanted.
var ErrSize = errors.New("screen has another size")

// Grabber takes pictures of a screen, the pointer drawn in. It is for one
// goroutine.
type Grabber struct {
	name    string
	timeout time.Duration
	client  *client
	// fixes is the extension's major opcode, 0 without pointers.
	fixes byte
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
		if err = errors.Join(g.client.pixels.check(), g.findFixes()); err != nil {
			err = errors.Join(err, g.client.close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open display %q: %w", display, err)
	}
	return g, nil
}

// Close ends the connection.
func (g *Grabber) Close() error { return g.client.close() }

// Grab fills pix with a picture of the whole screen as BGR0 rows of 4*width
// bytes, and blocks until the server has sent it. It fails with ErrSize, and
// what is in pix is of no use, where the screen is not of that size or was not
// all the time. After any other error the grabber is of no more use.
func (g *Grabber) Grab(width, height int, pix []byte) error {
	if width < 1 || height < 1 || width > maxPlace || height > maxPlace || len(pix) != 4*width*height {
		return fmt.Errorf("grab display %q: no picture of %dx%d in %d bytes", g.name, width, height, len(pix))
	}
	g.client.until(time.Now().Add(g.timeout))
	if err := g.grab(width, height, pix); err != nil {
		return fmt.Errorf("grab display %q: %w", g.name, err)
	}
	return nil
}

func (g *Grabber) grab(width, height int, pix []byte) error {
	if err := g.checkSize(width, height); err != nil {
		return err
	}
	stride := 4 * width
	rows := max(bandBytes/stride, 1)
	for y := 0; y < height; y += rows {
		n := min(rows, height-y)
		err := g.client.image(y, width, n, pix[y*stride:][:n*stride])
		// The screen was made smaller since it was looked at.
		if refused := (*requestError)(nil); errors.As(err, &refused) && refused.code == badMatch {
			return fmt.Errorf("%w: %w", ErrSize, err)
		}
		if err != nil {
			return err
		}
	}
	if err := g.drawPointer(width, height, pix); err != nil {
		return err
	}
	// A screen that grew meanwhile is in the picture in part.
	return g.checkSize(width, height)
}

func (g *Grabber) checkSize(width, height int) error {
	w, h, err := g.client.size()
	if err == nil && (w != width || h != height) {
		return fmt.Errorf("%w: %dx%d, not %dx%d", ErrSize, w, h, width, height)
	}
	return err
}

// image reads rows of the root window from y on.
func (c *client) image(y, width, height int, pix []byte) error {
	body := words(c.root, uint32(y)<<16, uint32(width)|uint32(height)<<16, allPlanes)
	if err := c.send(opGetImage, formatZPixmap, body); err != nil {
		return err
	}
	for {
		if err := c.fill(packetSize); err != nil {
			return err
		}
		// Only the picture itself is too large for next.
		if c.unread[0] == packetReply && wire.Uint16(c.unread[2:]) == c.sequence {
			break
		}
		if _, err := c.answer(); err != nil {
			return err
		}
	}
	head := c.unread[:packetSize]
	if got := 4 * uint64(wire.Uint32(head[4:])); got != uint64(len(pix)) {
		return fmt.Errorf("%w: picture of %d bytes, not %d", ErrLost, got, len(pix))
	}
	c.unread = c.unread[packetSize:]
	n := copy(pix, c.unread)
	c.unread = c.unread[n:]
	if _, err := io.ReadFull(c.conn, pix[n:]); err != nil {
		return lost(err)
	}
	return nil
}

// findFixes learns whether the server tells what its pointer looks like.
func (g *Grabber) findFixes() error {
	opcode, err := g.client.extension("XFIXES")
	if err != nil || opcode == 0 {
		return err
	}
	const queryVersion = 0
	if _, err := g.client.call(opcode, queryVersion, words(4, 0)); err != nil {
		return fmt.Errorf("read XFixes version: %w", err)
	}
	g.fixes = opcode
	return nil
}

func (g *Grabber) drawPointer(width, height int, pix []byte) error {
	if g.fixes == 0 {
		return nil
	}
	const getCursorImage = 4
	reply, err := g.client.call(g.fixes, getCursorImage, nil)
	if refused := (*requestError)(nil); errors.As(err, &refused) {
		return nil // there is no pointer
	}
	if err != nil {
		return err
	}
	place, shape, err := parsePointer(reply)
	if err != nil {
		return err
	}
	drawPointer(pix, image.Rect(0, 0, width, height), place, shape)
	return nil
}

// parsePointer reads the answer to GetCursorImage: where the pointer is, and
// its pixels, blue, green and red multiplied by alpha.
func parsePointer(reply []byte) (place image.Rectangle, shape []byte, err error) {
	at := func(i int) int { return int(wire.Uint16(reply[i:])) }
	w, h := at(12), at(14)
	if len(reply)-packetSize < 4*w*h {
		return place, nil, fmt.Errorf("%w: pointer of %dx%d is cut", ErrLost, w, h)
	}
	x, y := int(int16(at(8)))-at(16), int(int16(at(10)))-at(18)
	return image.Rect(x, y, x+w, y+h), reply[packetSize:], nil
}

// drawPointer lays the pointer's shape over the picture.
func drawPointer(pix []byte, screen, place image.Rectangle, shape []byte) {
	seen := place.Intersect(screen)
	for y := seen.Min.Y; y < seen.Max.Y; y++ {
		for x := seen.Min.X; x < seen.Max.X; x++ {
			from := shape[4*((y-place.Min.Y)*place.Dx()+x-place.Min.X):][:4]
			to := pix[4*(y*screen.Dx()+x):][:4]
			for i := range 3 {
				to[i] = byte(min(int(from[i])+(int(to[i])*(255-int(from[3]))+127)/255, 255))
			}
		}
	}
}
