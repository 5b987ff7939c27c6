package screencodec

// slabArea is how many coded pixels a slab holds at most: photos are put into
// one slab, in their order, until the next would not fit. A slab of photos
// without coded pixels takes no bytes.
const slabArea = 1 << 16

// slabEnd returns how many of the photos go into the next slab, and their
// coded pixels.
func slabEnd(photos []photo) (n, area int) {
	for _, p := range photos {
		if area+p.coded > slabArea {
			break
		}
		area += p.coded
		n++
	}
	return n, area
}

// splitFor chooses contexts for a slab: few for few pixels, since every context
// brings three code tables.
func splitFor(area int) contextSplit {
	switch {
	case area < 2<<10:
		return contextSplit{1, 0}
	case area < 12<<10:
		return contextSplit{3, 3}
	}
	return contextSplit{6, 1}
}

// The forms of a block.
const (
	blockRaw  = 0 // as it is
	blockSame = 1 // one byte that all are
	blockHuff = 2 // varint length, Huffman table and four streams
)
