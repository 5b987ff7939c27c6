package x11

import "fmt"

// pixels says how the pixels of a screen are laid out in a picture of it.
type pixels struct {
	depth, bits byte      // significant and in all
	masks       [3]uint32 // of red, green and blue
	bigEndian   bool
}

// check says that a pixel is BGR0: blue, green and red in a byte each, and one
// that means nothing. That is what the capture takes for granted.
func (p pixels) check() error {
	if p.depth == 24 && p.bits == 32 && p.masks == [3]uint32{0xff0000, 0xff00, 0xff} && !p.bigEndian {
		return nil
	}
	order := ""
	if p.bigEndian {
		order = ", big-endian"
	}
	return fmt.Errorf("%w: depth %d in %d bits, masks %x%s; only 24 in 32 bits with blue first can be recorded",
		ErrPixels, p.depth, p.bits, p.masks, order)
}

// parseMasks finds a visual in the list of a screen's depths and returns which
// bits of a pixel are its red, green and blue; zero where there is none.
func parseMasks(list []byte, depths int, visual uint32) [3]uint32 {
	const head, size = 8, 24
	for ; depths > 0 && len(list) >= head; depths-- {
		count := int(wire.Uint16(list[2:]))
		list = list[head:]
		for ; count > 0 && len(list) >= size; count-- {
			if wire.Uint32(list) == visual {
				return [3]uint32{wire.Uint32(list[8:]), wire.Uint32(list[12:]), wire.Uint32(list[16:])}
			}
			list = list[size:]
		}
	}
	return [3]uint32{}
}
