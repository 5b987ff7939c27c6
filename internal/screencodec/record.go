package screencodec

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"time"
)

// A record is: kind (1 byte), length of the payload (varint), microseconds
// since the record before (varint), CRC-32C of the three and the payload
// (4 bytes), payload.
const (
	maxRecordHead = 1 + 2*binary.MaxVarintLen64 + 4
	maxStep       = 1 << 40 // microseconds between two records: 12 days
	maxTime       = 1 << 50 // microseconds from the first record to the last
	readStep      = 1 << 20 // payload bytes for which memory is taken at a time
)

// sealRecord puts a record's head before its payload. b has maxRecordHead free
// bytes at its beginning and then the payload; the result is a part of b.
func sealRecord(b []byte, kind Kind, step time.Duration) []byte {
	var head [maxRecordHead]byte
	h := append(head[:0], byte(kind))
	h = binary.AppendUvarint(h, uint64(len(b)-maxRecordHead))
	h = binary.AppendUvarint(h, uint64(step/time.Microsecond))
	n := len(h)
	rec := b[maxRecordHead-n-4:]
	copy(rec, h)
	sum := crc32.Update(crc32.Checksum(rec[:n], castagnoli), castagnoli, b[maxRecordHead:])
	binary.LittleEndian.PutUint32(rec[n:], sum)
	return rec
}

// A record as it was read; its payload is valid until the next read.
type record struct {
	kind    Kind
	step    time.Duration
	payload []byte
}

// A recordReader splits a stream into its records.
type recordReader struct {
	r          *bufio.Reader
	geometry   geometry
	payload    []byte
	size       int64 // bytes of the whole records read, and of the header
	keep       bool  // false: check payloads without holding them
	maxPayload int
}

func (rr *recordReader) readHeader() (Header, error) {
	var b [headerSize]byte
	if _, err := io.ReadFull(rr.r, b[:]); err != nil {
		return Header{}, fmt.Errorf("read header: %w", cutShort(err))
	}
	h, shift, err := parseHeader(b[:])
	if err != nil {
		return h, err
	}
	rr.geometry = newGeometry(h.Width, h.Height, shift)
	rr.maxPayload = rr.geometry.maxPayload()
	rr.size = headerSize
	return h, nil
}

// cutShort tells the end of the input from a failing reader.
func cutShort(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrTruncated
	}
	return err
}

// next reads a record and checks it against its checksum. Memory for the
// payload is taken as it arrives.
func (rr *recordReader) next() (record, error) {
	var rec record
	var head [maxRecordHead]byte
	kind, err := rr.r.ReadByte()
	if err != nil {
		return rec, cutShort(err)
	}
	rec.kind = Kind(kind)
	if rec.kind < KindKey || rec.kind > kindEnd {
		return rec, fmt.Errorf("record kind %d: %w", kind, ErrCorrupt)
	}
	h := append(head[:0], kind)
	length, h, err := rr.varint(h, uint64(rr.maxPayload))
	if err != nil {
		return rec, err
	}
	step, h, err := rr.varint(h, maxStep)
	if err != nil {
		return rec, err
	}
	rec.step = time.Duration(step) * time.Microsecond
	var want [4]byte
	if _, err := io.ReadFull(rr.r, want[:]); err != nil {
		return rec, cutShort(err)
	}
	sum := crc32.Checksum(h, castagnoli)
	rr.payload = rr.payload[:0]
	for left := int(length); left > 0; {
		n := min(left, readStep)
		if !rr.keep {
			rr.payload = rr.payload[:0]
		}
		at := len(rr.payload)
		rr.payload = slices.Grow(rr.payload, n)[:at+n]
		if _, err := io.ReadFull(rr.r, rr.payload[at:]); err != nil {
			return rec, cutShort(err)
		}
		sum = crc32.Update(sum, castagnoli, rr.payload[at:])
		left -= n
	}
	if sum != binary.LittleEndian.Uint32(want[:]) {
		return rec, fmt.Errorf("%s record: wrong checksum: %w", rec.kind, ErrCorrupt)
	}
	rec.payload = rr.payload
	rr.size += int64(len(h)) + 4 + int64(length)
	return rec, nil
}

// varint reads a number of at most limit and appends its bytes to head.
func (rr *recordReader) varint(head []byte, limit uint64) (uint64, []byte, error) {
	at := len(head)
	for {
		c, err := rr.r.ReadByte()
		if err != nil {
			return 0, head, cutShort(err)
		}
		head = append(head, c)
		if c < 0x80 {
			break
		}
		if len(head)-at == binary.MaxVarintLen64 {
			return 0, head, fmt.Errorf("record head: number too long: %w", ErrCorrupt)
		}
	}
	v, n := binary.Uvarint(head[at:])
	if n <= 0 || v > limit {
		return 0, head, fmt.Errorf("record head: number out of range: %w", ErrCorrupt)
	}
	return v, head, nil
}
