package screencodec

import (
	"encoding/binary"
	"slices"
)

const maxColors = 256

// A palette numbers colors in the order in which they first appear, 256 at
// most. It lives from one key picture to the next: a part of the picture adds
// the colors that are new to it, so that the same letter is the same numbers
// wherever it stands.
type palette struct {
	colors []uint32
	keys   [1024]uint32 // open hash: color plus 1, 0 is free
	values [1024]uint8
	used   []uint16 // the slot of every color
	index  []uint8  // color number of every pixel of the part built last

	known    int // colors from here on are new with that part
	distinct int // colors it has
	turns    int // pixels of it that differ from the one before them

	seen  [maxColors]uint32 // the last part with that color
	part  uint32
	saved []uint32 // what the part replaced
}

func newPalette(area int) *palette {
	return &palette{
		colors: make([]uint32, 0, maxColors), saved: make([]uint32, 0, maxColors),
		used: make([]uint16, 0, maxColors), index: make([]uint8, 0, area),
	}
}

// build numbers the pixels of s and tells whether 256 colors were enough. If
// there is no room behind the colors known before, they are dropped. undo takes
// back what it did to the colors.
func (p *palette) build(s patch) bool {
	p.known = len(p.colors)
	p.saved = p.saved[:0]
	if p.number(s) {
		return true
	}
	p.forget(p.known)
	if p.known > 0 {
		p.saved = append(p.saved, p.colors...)
		p.forget(0)
		p.known = 0
		if p.number(s) {
			return true
		}
	}
	p.undo()
	return false
}

// undo brings the colors back to what they were before build.
func (p *palette) undo() {
	p.forget(p.known)
	for _, c := range p.saved {
		p.add(p.slot(c+1), c+1)
	}
	p.saved, p.known = p.saved[:0], len(p.colors)
}

// forget drops all but the first n colors.
func (p *palette) forget(n int) {
	for i := len(p.used) - 1; i >= n; i-- {
		p.keys[p.used[i]] = 0
	}
	p.used, p.colors = p.used[:n], p.colors[:n]
}

// slot returns where key is or would be.
func (p *palette) slot(key uint32) uint32 {
	h := key * 2654435761 >> 22
	for p.keys[h] != key && p.keys[h] != 0 {
		h = (h + 1) & 1023
	}
	return h
}

func (p *palette) add(slot, key uint32) {
	p.keys[slot], p.values[slot] = key, uint8(len(p.colors))
	p.colors = append(p.colors, key-1)
	p.used = append(p.used, uint16(slot))
}

// number fills index, adding the colors that are not known. It stops if they
// get too many.
func (p *palette) number(s patch) bool {
	p.turns, p.distinct = 0, 0
	p.part++
	p.index = p.index[:s.area()]
	n := 0
	last, number := uint32(0), uint8(0)
	for y := range s.h {
		row := s.row(y)
		out := p.index[n : n+s.w]
		n += s.w
		for x := range out {
			key := load(row[x*4:x*4+4]) + 1
			if key != last {
				h := p.slot(key)
				if p.keys[h] == 0 {
					if len(p.colors) == maxColors {
						return false
					}
					p.add(h, key)
				}
				last, number = key, p.values[h]
				p.turns++
				if p.seen[number] != p.part {
					p.seen[number] = p.part
					p.distinct++
				}
			}
			out[x] = number
		}
	}
	return true
}

// depth returns the bits that number n colors.
func depth(n int) int {
	switch {
	case n <= 2:
		return 1
	case n <= 4:
		return 2
	case n <= 16:
		return 4
	}
	return 8
}

// packed returns the bytes of one row of w numbers.
func packed(w, bits int) int { return (w*bits + 7) / 8 }

// append writes how many colors stay, how many are new, the new ones, and then
// the numbers row by row, each row in whole bytes, the first pixel in the
// lowest bits.
func (p *palette) append(b []byte, s patch) []byte {
	b = binary.AppendUvarint(b, uint64(p.known))
	b = binary.AppendUvarint(b, uint64(len(p.colors)-p.known))
	for _, c := range p.colors[p.known:] {
		b = append(b, byte(c), byte(c>>8), byte(c>>16))
	}
	bits := depth(len(p.colors))
	if bits == 8 {
		return append(b, p.index[:s.area()]...)
	}
	per := 8 / bits
	for y := range s.h {
		row := p.index[y*s.w : (y+1)*s.w]
		for len(row) >= per {
			v := row[0]
			for i := 1; i < per; i++ {
				v |= row[i] << (i * bits)
			}
			b = append(b, v)
			row = row[per:]
		}
		if len(row) > 0 {
			var v byte
			for i, n := range row {
				v |= n << (i * bits)
			}
			b = append(b, v)
		}
	}
	return b
}

// A paletteReader is the decoder's half of a palette.
type paletteReader struct {
	colors [maxColors]uint32
	n      int
}

// paint draws r from what append wrote and returns what follows it.
func (p *paletteReader) paint(g geometry, pix []byte, r rect, b []byte) ([]byte, bool) {
	stay, b, ok := takeUvarint(b, uint64(p.n))
	if !ok {
		return nil, false
	}
	added, b, ok := takeUvarint(b, maxColors-stay)
	if !ok || stay+added == 0 {
		return nil, false
	}
	n := int(stay + added)
	bits := depth(n)
	line := packed(r.w, bits)
	if len(b) < int(added)*3+line*r.h {
		return nil, false
	}
	for i := int(stay); i < n; i++ {
		p.colors[i] = uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
		b = b[3:]
	}
	p.n = n
	colors := &p.colors
	mask := byte(1<<bits - 1)
	for y := range r.h {
		row := g.row(pix, r, y)
		in := b[:line]
		b = b[line:]
		if bits == 8 {
			for x, v := range in {
				if int(v) >= n {
					return nil, false
				}
				store(row[x*4:], colors[v])
			}
			continue
		}
		shift := 0
		for x := range r.w {
			v := in[0] >> shift & mask
			if int(v) >= n {
				return nil, false
			}
			store(row[x*4:], colors[v])
			if shift += bits; shift == 8 {
				in, shift = in[1:], 0
			}
		}
	}
	return b, true
}

// grow returns b with n more bytes, whose content is not defined.
func grow(b []byte, n int) []byte { return slices.Grow(b, n)[:len(b)+n] }
