package screencodec

// Words of eight bytes, the first in the lowest bits: what is done to one byte is
// done to all of them.
const (
	lanes    = 8
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// subtract returns a - b.
func subtract(a, b uint64) uint64 {
	return ((a | highBits) - (b &^ highBits)) ^ ((a ^ ^b) & highBits)
}

// average returns half of a + b, rounded down.
func average(a, b uint64) uint64 { return (a & b) + (a^b)>>1&^highBits }

// atLeast returns 255 where a >= b and 0 elsewhere.
func atLeast(a, b uint64) uint64 {
	d := (a | highBits) - (b &^ highBits)
	return ((a&^b | ^(a^b)&d) & highBits >> 7) * 255
}

// medians returns the middle one of l, u and l + u - c.
func medians(l, u, c uint64) uint64 {
	m := atLeast(l, u)
	hi, lo := l&m|u&^m, u&m|l&^m
	above, below := atLeast(c, hi), atLeast(lo, c)
	between := subtract(hi, subtract(c, lo))
	return lo&above | (hi&below|between&^below)&^above
}

// sizes returns how far the bytes are from 0, going around at 256.
func sizes(r uint64) uint64 {
	sign := r >> 7 & lowBits
	return (r ^ sign*255) + sign
}

// clip63 returns the bytes, and 63 for those above.
func clip63(x uint64) uint64 {
	return (x | (x>>6|x>>7)&lowBits*63) & 0x3f3f3f3f3f3f3f3f
}

// total returns the sum of the bytes.
func total(x uint64) int {
	const even = 0x00ff00ff00ff00ff
	return int((x&even + x>>8&even) * 0x0001000100010001 >> 48)
}
