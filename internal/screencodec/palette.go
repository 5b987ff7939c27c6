package screencodec

import "slices"

// A palette numbers the colors of a part of the picture in the order in which
// they first appear, 256 at most.
type palette struct {
	colors []uint32
	keys   [1024]uint32 // open hash: color plus 1, 0 is free
	values [1024]uint8
	used   []uint16
	index  []uint8 // color number of every pixel
}

const maxColors = 256

func newPalette(area int) *palette {
	return &palette{
		colors: make([]uint32, 0, maxColors), used: make([]uint16, 0, maxColors),
		index: make([]uint8, 0, area),
	}
}

// build numbers the pixels of r and tells whether the colors were enough. It
// stops early if they were not.
func (p *palette) build(g geometry, pix []byte, r rect) bool {
	for _, i := range p.used {
		p.keys[i] = 0
	}
	p.used, p.colors = p.used[:0], p.colors[:0]
	p.index = p.index[:r.area()]
	n := 0
	last, number := uint32(0), uint8(0)
	for y := range r.h {
		row := g.row(pix, r, y)
		out := p.index[n : n+r.w]
		n += r.w
		for x := range out {
			key := load(row[x*4:x*4+4]) + 1
			if key != last {
				h := key * 2654435761 >> 22
				for p.keys[h] != key {
					if p.keys[h] == 0 {
						if len(p.colors) == maxColors {
							return false
						}
						p.keys[h], p.values[h] = key, uint8(len(p.colors))
						p.colors = append(p.colors, key-1)
						p.used = append(p.used, uint16(h))
						break
					}
					h = (h + 1) & 1023
				}
				last, number = key, p.values[h]
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

// append writes the colors and then the numbers row by row, each row in whole
// bytes, the first pixel in the lowest bits.
func (p *palette) append(b []byte, r rect) []byte {
	b = append(b, byte(len(p.colors)-1))
	for _, c := range p.colors {
		b = append(b, byte(c), byte(c>>8), byte(c>>16))
	}
	bits := depth(len(p.colors))
	if bits == 8 {
		return append(b, p.index[:r.area()]...)
	}
	per := 8 / bits
	for y := range r.h {
		row := p.index[y*r.w : (y+1)*r.w]
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

// paintPalette draws r from what append wrote and returns what follows it.
func (g geometry) paintPalette(pix []byte, r rect, b []byte, colors *[maxColors]uint32) ([]byte, bool) {
	if len(b) == 0 {
		return nil, false
	}
	n := int(b[0]) + 1
	b = b[1:]
	bits := depth(n)
	line := packed(r.w, bits)
	if len(b) < n*3+line*r.h {
		return nil, false
	}
	for i := range n {
		colors[i] = uint32(b[i*3]) | uint32(b[i*3+1])<<8 | uint32(b[i*3+2])<<16
	}
	b = b[n*3:]
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
		for x := 0; x < r.w; x++ {
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
