package screencodec

import (
	"encoding/binary"
	"image"
)

// A rect is a part of a picture, in pixels.
type rect struct{ x, y, w, h int }

func (r rect) area() int { return r.w * r.h }

// geometry is a picture's size and how it falls into tiles, which are numbered
// row by row from the upper left.
type geometry struct {
	width, height int
	shift         uint // log2 of a tile's side
	cols, rows    int
}

func newGeometry(width, height int, shift uint) geometry {
	side := 1 << shift
	return geometry{
		width: width, height: height, shift: shift,
		cols: (width + side - 1) >> shift, rows: (height + side - 1) >> shift,
	}
}

func (g geometry) tiles() int  { return g.cols * g.rows }
func (g geometry) stride() int { return g.width * 4 }

// tile returns the place of tile i.
func (g geometry) tile(i int) rect {
	x, y, side := i%g.cols<<g.shift, i/g.cols<<g.shift, 1<<g.shift
	return rect{x, y, min(side, g.width-x), min(side, g.height-y)}
}

// box returns the place of a box in tile i.
func (g geometry) box(i int, s span) rect {
	t := g.tile(i)
	return rect{t.x + int(s.x0), t.y + int(s.y0), int(s.x1) - int(s.x0), int(s.y1) - int(s.y0)}
}

// contains tells whether r is not empty and lies within the picture.
func (g geometry) contains(r rect) bool {
	return r.x >= 0 && r.y >= 0 && r.w > 0 && r.h > 0 && r.w <= g.width-r.x && r.h <= g.height-r.y
}

// row returns the bytes of r's row number i.
func (g geometry) row(pix []byte, r rect, i int) []byte {
	at := ((r.y+i)*g.width + r.x) * 4
	return pix[at : at+r.w*4 : at+r.w*4]
}

// maxRaw bounds the uncompressed tile data of a record with these many tiles.
func (g geometry) maxRaw(tiles int) int {
	return min(tiles<<(2*g.shift), g.width*g.height)*3 + tiles*tileOverhead
}

// tileOverhead bounds what a tile's data can need beyond 3 bytes a pixel.
const tileOverhead = 1024

// usual is for how many bytes of tile data, and of slabs, an encoder takes memory
// before it needs it: growing to that would leave as much behind again. What is not
// needed is not touched.
func (g geometry) usual() int { return g.width * g.height * 3 / 4 }

// maxPayload bounds the length of any record's payload.
func (g geometry) maxPayload() int {
	raw := g.maxRaw(g.tiles())
	return 1<<16 + 2*raw + raw/64
}

// load returns a pixel's color without its fourth byte.
func load(p []byte) uint32 { return binary.LittleEndian.Uint32(p) & 0xffffff }

// copyTile copies tile i from one picture to another.
func (g geometry) copyTile(to, from []byte, i int) {
	r := g.tile(i)
	for y := range r.h {
		copy(g.row(to, r, y), g.row(from, r, y))
	}
}

// rectangles covers the listed tiles, merging neighbors in a row and equal rows.
func (g geometry) rectangles(out []image.Rectangle, list []int32) []image.Rectangle {
	above := 0 // first rectangle that ends at the row above
	row, rowStart := -1, len(out)
	for i := 0; i < len(list); {
		first := int(list[i])
		n := 1
		for i+n < len(list) && int(list[i+n]) == first+n && (first+n)%g.cols != 0 {
			n++
		}
		i += n
		r, last := g.tile(first), g.tile(first+n-1)
		box := image.Rect(r.x, r.y, last.x+last.w, r.y+r.h)
		if y := first / g.cols; y != row {
			row, above, rowStart = y, rowStart, len(out)
		}
		merged := false
		for j := above; j < rowStart; j++ {
			if o := &out[j]; o.Max.Y == box.Min.Y && o.Min.X == box.Min.X && o.Max.X == box.Max.X {
				o.Max.Y, merged = box.Max.Y, true
				break
			}
		}
		if !merged {
			out = append(out, box)
		}
	}
	return out
}
