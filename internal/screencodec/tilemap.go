package screencodec

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

// The set of changed tiles stands uncompressed in every key and change
// record, so that the work a record can cause is bounded by its length, and
// so that it can be read without decompressing. It is a bitmap or, for few
// tiles, a list of the distances between them.

// The flags of a key or change record are the first byte of its payload.
const (
	flagList   = 1 // the tile map is a list
	flagMotion = 2 // some photos are predicted by motion

	knownFlags = flagList | flagMotion
)

// appendTileMap writes the flags and the set of marked tiles. Key records
// always have the bitmap.
func appendTileMap(b []byte, marked []bool, count int, key bool) []byte {
	size := (len(marked) + 7) / 8
	if !key && count*2 < size {
		b = append(b, flagList)
		b = binary.AppendUvarint(b, uint64(count))
		next := 0
		for i, m := range marked {
			if m {
				b = binary.AppendUvarint(b, uint64(i-next))
				next = i + 1
			}
		}
		return b
	}
	b = append(b, 0)
	for i := 0; i < len(marked); i += 8 {
		var v byte
		for j, m := range marked[i:min(i+8, len(marked))] {
			if m {
				v |= 1 << j
			}
		}
		b = append(b, v)
	}
	return b
}

// readTileMap sets the marks that b begins with, behind the flags, in marked,
// where none is set, and appends
// the numbers of the marked tiles to list. It returns what follows the map.
func readTileMap(b []byte, flags byte, marked []bool, list []int32, key bool) ([]byte, []int32, error) {
	bad := func(what string) ([]byte, []int32, error) {
		return nil, list, fmt.Errorf("tile map: %s: %w", what, ErrCorrupt)
	}
	switch {
	case flags&flagList == 0:
		size := (len(marked) + 7) / 8
		if len(b) < size {
			return bad("short bitmap")
		}
		for i, v := range b[:size] {
			for ; v != 0; v &= v - 1 {
				t := i*8 + bits.TrailingZeros8(v)
				if t >= len(marked) {
					return bad("tile outside")
				}
				marked[t] = true
				list = append(list, int32(t))
			}
		}
		b = b[size:]
	case !key:
		count, b2, ok := takeUvarint(b, uint64(len(marked)))
		if !ok || count > uint64(len(b2)) {
			return bad("wrong count")
		}
		b = b2
		next := uint64(0)
		for range count {
			gap, b2, ok := takeUvarint(b, uint64(len(marked)))
			if !ok || next+gap >= uint64(len(marked)) {
				return bad("tile outside")
			}
			b = b2
			marked[next+gap] = true
			list = append(list, int32(next+gap))
			next += gap + 1
		}
	default:
		return bad("list in a key record")
	}
	if !key && len(list) == 0 {
		return bad("empty in a change record")
	}
	return b, list, nil
}

// takeUvarint reads a number of at most limit from the front of b.
func takeUvarint(b []byte, limit uint64) (uint64, []byte, bool) {
	v, n := binary.Uvarint(b)
	if n <= 0 || v > limit {
		return 0, b, false
	}
	return v, b[n:], true
}
