package desktop

// The patch is 40 squares in two rows at the top left of the screen: 32 bits of
// counter, then 8 bits of check, most significant bit first, white for one. A
// square is as large as an H.264 macroblock, which keeps it readable in
// pictures far worse than any that a recording shall have.
const (
	patchColumns = 20
	patchRows    = 2
	patchSquare  = 16

	// PatchWidth and PatchHeight are the size of the patch in pixels.
	PatchWidth  = patchColumns * patchSquare
	PatchHeight = patchRows * patchSquare
)

// drawPatch returns the patch as BGR0 pixels, row by row.
func drawPatch(counter uint32) []byte {
	bits := uint64(counter)<<8 | uint64(patchCheck(counter))
	pix := make([]byte, PatchWidth*PatchHeight*4)
	for square := range patchColumns * patchRows {
		if bits>>(patchColumns*patchRows-1-square)&1 == 0 {
			continue
		}
		left, top := square%patchColumns*patchSquare, square/patchColumns*patchSquare
		for y := top; y < top+patchSquare; y++ {
			row := pix[(y*PatchWidth+left)*4:][:patchSquare*4]
			for i := range row {
				row[i] = 0xff
			}
		}
	}
	return pix
}

// ReadCounter reads the patch off a picture. pix holds rows of stride bytes,
// each of width gray pixels or, if stride is at least four times width, of
// width BGR0 pixels. It reports false if there is no whole and clear patch.
func ReadCounter(pix []byte, width, height, stride int) (uint32, bool) {
	pixel := 1
	if stride >= 4*width {
		pixel = 4
	}
	if width < PatchWidth || height < PatchHeight || len(pix) < (PatchHeight-1)*stride+PatchWidth*pixel {
		return 0, false
	}
	var bits uint64
	for square := range patchColumns * patchRows {
		left, top := square%patchColumns*patchSquare, square/patchColumns*patchSquare
		// The middle half of a square is enough, and its edges may be blurred.
		const from, to = patchSquare / 4, patchSquare * 3 / 4
		sum := 0
		for y := top + from; y < top+to; y++ {
			for x := left + from; x < left+to; x++ {
				// Black and white are the same in every channel: green will do.
				sum += int(pix[y*stride+x*pixel+pixel/4])
			}
		}
		mean := sum / ((to - from) * (to - from))
		if mean > 96 && mean < 160 {
			return 0, false
		}
		bits <<= 1
		if mean >= 160 {
			bits |= 1
		}
	}
	counter := uint32(bits >> 8)
	return counter, patchCheck(counter) == byte(bits)
}

// patchCheck is a CRC-8 (x^8+x^2+x+1) over the counter, started and ended so
// that neither an all black nor an all white patch passes.
func patchCheck(counter uint32) byte {
	crc := byte(0xa5)
	for shift := 24; shift >= 0; shift -= 8 {
		crc ^= byte(counter >> shift)
		for range 8 {
			if crc&0x80 != 0 {
				crc = crc<<1 ^ 0x07
			} else {
				crc <<= 1
			}
		}
	}
	return crc ^ 0x3c
}
