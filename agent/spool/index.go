package spool

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/recfleet/recfleet/internal/chunk"
)

// The index of a segment is a file of records of one size: a header, one record per chunk in the order of their seq, and a
// seal once the segment will not grow any more. All numbers are little-endian.
//
//	0 kind  1 version  2 zero (2)  4 CRC-32C of the record with this field zero
//	8 epoch  12 width  16 height  20 seq  24 length  28 zero
//	32 offset (8)  40 frames (8)  48 start (8)  56 last (8)  64 sum (32)
const (
	recordSize    = 96
	recordVersion = 1

	kindHeader = 1
	kindChunk  = 2
	kindSeal   = 3

	maxSide = 8192
)

// checksum is the CRC-32C of b.
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// record is one entry of an index. In a seal, seq is the number of chunks, offset the length of the stream and last the
// segment's exclusive end.
type record struct {
	kind                 byte
	epoch, width, height int
	seq, length          int
	offset, frames       int64
	start, last          int64 // nanoseconds since 1970
	sum                  chunk.Hash
}

func (r *record) put(b *[recordSize]byte) {
	clear(b[:])
	b[0], b[1] = r.kind, recordVersion
	le := binary.LittleEndian
	le.PutUint32(b[8:], uint32(r.epoch))
	le.PutUint32(b[12:], uint32(r.width))
	le.PutUint32(b[16:], uint32(r.height))
	le.PutUint32(b[20:], uint32(r.seq))
	le.PutUint32(b[24:], uint32(r.length))
	le.PutUint64(b[32:], uint64(r.offset))
	le.PutUint64(b[40:], uint64(r.frames))
	le.PutUint64(b[48:], uint64(r.start))
	le.PutUint64(b[56:], uint64(r.last))
	copy(b[64:], r.sum[:])
	le.PutUint32(b[4:], checksum(b[:]))
}

// parseRecord reads the record at the start of b; false where there is none.
func parseRecord(b []byte) (record, bool) {
	if len(b) < recordSize {
		return record{}, false
	}
	var raw [recordSize]byte
	copy(raw[:], b)
	le := binary.LittleEndian
	want := le.Uint32(raw[4:])
	clear(raw[4:8])
	if checksum(raw[:]) != want || raw[1] != recordVersion {
		return record{}, false
	}
	r := record{
		kind:  raw[0],
		epoch: int(le.Uint32(raw[8:])), width: int(le.Uint32(raw[12:])), height: int(le.Uint32(raw[16:])),
		seq: int(le.Uint32(raw[20:])), length: int(le.Uint32(raw[24:])),
		offset: int64(le.Uint64(raw[32:])), frames: int64(le.Uint64(raw[40:])),
		start: int64(le.Uint64(raw[48:])), last: int64(le.Uint64(raw[56:])),
	}
	copy(r.sum[:], raw[64:])
	ok := r.epoch >= 1 && r.width >= 1 && r.width <= maxSide && r.height >= 1 && r.height <= maxSide &&
		r.length <= chunk.MaxPayload && r.offset >= 0 && r.frames >= 0
	return r, ok
}

// index is what the records of a segment say.
type index struct {
	header record
	chunks []record
	seal   *record
}

// size returns the length of the stream that the chunks cover.
func (x *index) size() int64 {
	if len(x.chunks) == 0 {
		return 0
	}
	last := x.chunks[len(x.chunks)-1]
	return last.offset + int64(last.length)
}

// frames returns the number of whole frames that the chunks cover, and the time of the last of them.
func (x *index) frames() (int64, time.Time) {
	if len(x.chunks) == 0 {
		return 0, time.Unix(0, x.header.start)
	}
	last := x.chunks[len(x.chunks)-1]
	return last.frames, time.Unix(0, last.last)
}

// parseIndex reads as many records as follow from one another, and says how many bytes they take; false where not even the
// header can be read.
func parseIndex(b []byte) (x index, valid int, ok bool) {
	h, ok := parseRecord(b)
	if !ok || h.kind != kindHeader {
		return index{}, 0, false
	}
	x.header = h
	valid = recordSize
	for {
		r, ok := parseRecord(b[valid:])
		if !ok || r.epoch != h.epoch || r.width != h.width || r.height != h.height || r.start != h.start ||
			r.seq != len(x.chunks) || r.offset != x.size() {
			return x, valid, true
		}
		frames, last := x.frames()
		switch {
		case r.frames < frames || r.kind == kindChunk && r.last < last.UnixNano():
			return x, valid, true
		case r.kind == kindChunk && r.length > 0:
			x.chunks = append(x.chunks, r)
			valid += recordSize
		case r.kind == kindSeal:
			x.seal = &r
			return x, valid + recordSize, true
		default:
			return x, valid, true
		}
	}
}

// verifyChunk reports whether payload is what the record says.
func verifyChunk(r record, payload []byte) bool {
	sum := chunk.Sum(payload)
	return len(payload) == r.length && bytes.Equal(sum[:], r.sum[:])
}
