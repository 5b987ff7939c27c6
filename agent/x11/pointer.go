package x11

import (
	"errors"
	"fmt"
	"image"
	"slices"
)

const fixesGetCursorImage = 4

// pointer is what is drawn over the screen where the mouse is.
type pointer struct {
	place image.Rectangle
	// shape has blue, green and red multiplied by alpha, and alpha.
	shape []byte
	// serial is another for every other shape.
	serial uint32
}

func (p pointer) same(q pointer) bool { return p.place == q.place && p.serial == q.serial }

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

// putPointer queues the question for the pointer.
func (g *Grabber) putPointer() uint16 {
	if g.fixes == 0 {
		return 0
	}
	return g.client.put(g.fixes, fixesGetCursorImage, nil)
}

func (g *Grabber) pointerOf(sequence uint16) (pointer, error) {
	if g.fixes == 0 {
		return pointer{}, nil
	}
	reply, err := g.client.reply(sequence)
	if refused := (*requestError)(nil); errors.As(err, &refused) {
		return pointer{}, nil // there is none
	}
	if err != nil {
		return pointer{}, err
	}
	p, err := parsePointer(reply)
	if err == nil && p.same(g.pointer) {
		return g.pointer, nil
	}
	p.shape = slices.Clone(p.shape) // the reply is a part of what was received
	return p, err
}

// parsePointer reads the answer to GetCursorImage.
func parsePointer(reply []byte) (pointer, error) {
	at := func(i int) int { return int(wire.Uint16(reply[i:])) }
	w, h := at(12), at(14)
	if len(reply)-packetSize < 4*w*h {
		return pointer{}, fmt.Errorf("%w: pointer of %dx%d is cut", ErrLost, w, h)
	}
	x, y := int(int16(at(8)))-at(16), int(int16(at(10)))-at(18)
	return pointer{image.Rect(x, y, x+w, y+h), reply[packetSize:], wire.Uint32(reply[20:])}, nil
}

// draw lays the pointer over a picture of the screen.
func (p pointer) draw(pix []byte, screen image.Rectangle) {
	seen := p.place.Intersect(screen)
	for y := seen.Min.Y; y < seen.Max.Y; y++ {
		for x := seen.Min.X; x < seen.Max.X; x++ {
			from := p.shape[4*((y-p.place.Min.Y)*p.place.Dx()+x-p.place.Min.X):][:4]
			to := pix[4*(y*screen.Dx()+x):][:4]
			for i := range 3 {
				to[i] = byte(min(int(from[i])+(int(to[i])*(255-int(from[3]))+127)/255, 255))
			}
		}
	}
}
