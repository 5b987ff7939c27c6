package transcode

import (
	"bytes"
	"encoding/binary"
	"image"
)

// planes is one I420 picture of even size: the luma plane, then the two chroma planes of half its width and height. It is
// kept from frame to frame, so that only what changed on the desktop is converted.
type planes struct {
	pix           []byte
	width, height int // of the desktop
	evenW, evenH  int
	row           []byte // two rows of luma and one of each chroma, just converted
}

func newPlanes(width, height int) *planes {
	w, h := (width+1)&^1, (height+1)&^1
	return &planes{pix: make([]byte, w*h*3/2), width: width, height: height, evenW: w, evenH: h, row: make([]byte, 3*w)}
}

// BT.709 with limited range (ITU-R BT.709-6, items 3.2 to 3.4 and 4.6), in 16-bit fixed point. The weights of luma add up
// to 219/255 and those of each chroma to nothing, so that gray is exactly gray.
const (
	fixed = 1 << 16

	lumaRed   = 11966
	lumaGreen = 40254
	lumaBlue  = 4064
	lumaZero  = 16*fixed + fixed/2

	cbRed   = -6596
	cbGreen = -22188
	cbBlue  = 28784

	crRed   = 28784
	crGreen = -26145
	crBlue  = -2639

	chromaZero = 128*fixed + fixed/2
)

// convert brings the part of the picture that lies in r up to date from the desktop's BGR0 pixels, and reports whether that
// changed anything. A missing last column or row of an odd size repeats the one before it, so that no other color bleeds
// into the edge.
func (p *planes) convert(bgr0 []byte, r image.Rectangle) bool {
	r = r.Intersect(image.Rect(0, 0, p.width, p.height))
	if r.Empty() {
		return false
	}
	x0, x1 := r.Min.X&^1, (r.Max.X+1)&^1
	y0, y1 := r.Min.Y&^1, (r.Max.Y+1)&^1
	stride := p.width * 4
	chroma := p.pix[p.evenW*p.evenH:]
	cbPlane, crPlane := chroma[:len(chroma)/2], chroma[len(chroma)/2:]
	// Rows are converted aside, where they stay in the cache, and compared: what is the same need not be encoded.
	n := x1 - x0
	luma0, luma1, cb, cr := p.row[:n], p.row[n:2*n], p.row[2*n:2*n+n/2], p.row[2*n+n/2:3*n]
	whole := min(x1, p.width&^1) - x0
	changed := false
	for y := y0; y < y1; y += 2 {
		top := bgr0[y*stride+x0*4 : (y+1)*stride]
		bottom := top
		if y+1 < p.height {
			bottom = bgr0[(y+1)*stride+x0*4 : (y+2)*stride]
		}
		convertPairs(top[:whole*4], bottom[:whole*4], luma0, luma1, cb, cr)
		if whole < n { // the last column of an odd width
			a := uint64(binary.LittleEndian.Uint32(top[whole*4:])) * (1<<32 + 1)
			b := uint64(binary.LittleEndian.Uint32(bottom[whole*4:])) * (1<<32 + 1)
			luma0[whole], luma0[whole+1] = lumaOf(uint32(a)), lumaOf(uint32(a))
			luma1[whole], luma1[whole+1] = lumaOf(uint32(b)), lumaOf(uint32(b))
			cb[whole/2], cr[whole/2] = chromaOf(a, b)
		}
		at, half := y*p.evenW+x0, y/2*(p.evenW/2)+x0/2
		changed = update(p.pix[at:], luma0) || changed
		changed = update(p.pix[at+p.evenW:], luma1) || changed
		changed = update(cbPlane[half:], cb) || changed
		changed = update(crPlane[half:], cr) || changed
	}
	return changed
}

// update brings the beginning of to to what row is and reports whether it was anything else.
func update(to, row []byte) bool {
	to = to[:len(row)]
	if bytes.Equal(to, row) {
		return false
	}
	copy(to, row)
	return true
}

// convertPairs converts two rows of an even number of pixels. Its shape lets the compiler leave out the bounds checks.
func convertPairs(top, bottom, luma0, luma1, cb, cr []byte) {
	for len(top) >= 8 && len(bottom) >= 8 && len(luma0) >= 2 && len(luma1) >= 2 && len(cb) >= 1 && len(cr) >= 1 {
		a := binary.LittleEndian.Uint64(top)
		b := binary.LittleEndian.Uint64(bottom)
		luma0[0], luma0[1] = lumaOf(uint32(a)), lumaOf(uint32(a>>32))
		luma1[0], luma1[1] = lumaOf(uint32(b)), lumaOf(uint32(b>>32))
		cb[0], cr[0] = chromaOf(a, b)
		top, bottom, luma0, luma1, cb, cr = top[8:], bottom[8:], luma0[2:], luma1[2:], cb[1:], cr[1:]
	}
}

// lumaOf returns the luma of one BGR0 pixel.
func lumaOf(v uint32) byte {
	return byte((lumaBlue*(v&0xFF) + lumaGreen*(v>>8&0xFF) + lumaRed*(v>>16&0xFF) + lumaZero) >> 16)
}

// chromaOf returns the chroma of the mean of four pixels, two in each word.
func chromaOf(a, b uint64) (cb, cr byte) {
	const mask = 0x00FF00FF00FF00FF
	even := a&mask + b&mask // blue and red, sums of two
	odd := a>>8&mask + b>>8&mask
	blue := int32(even&0xFFFF + even>>32&0xFFFF)
	red := int32(even>>16&0xFFFF + even>>48&0xFFFF)
	green := int32(odd&0xFFFF + odd>>32&0xFFFF)
	cb = byte((cbBlue*blue + cbGreen*green + cbRed*red + 4*chromaZero) >> 18)
	cr = byte((crBlue*blue + crGreen*green + crRed*red + 4*chromaZero) >> 18)
	return cb, cr
}
