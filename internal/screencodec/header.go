package screencodec

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"
)

const (
	version    = 1
	headerSize = 32
	magic      = "\x89RFS\r\n\x1a\n"

	minTileShift = 5
	maxTileShift = 7
)

// Header is what a stream says about itself at its beginning.
type Header struct {
	Version       int
	Width, Height int       // pixels
	Tile          int       // side of a tile in pixels
	Start         time.Time // wall clock at media time 0, in whole microseconds
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli) //nolint:gochecknoglobals // a table that is never written

// appendHeader writes magic, version, tile shift, two zero bytes, width,
// height, start in Unix microseconds and a checksum of all that.
func appendHeader(b []byte, width, height int, tileShift uint, start time.Time) []byte {
	at := len(b)
	b = append(b, magic...)
	b = append(b, version, byte(tileShift), 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(width))
	b = binary.LittleEndian.AppendUint32(b, uint32(height))
	b = binary.LittleEndian.AppendUint64(b, uint64(start.UnixMicro()))
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[at:], castagnoli))
}

// parseHeader reads the headerSize bytes of b. The tile shift is returned
// beside the header.
func parseHeader(b []byte) (Header, uint, error) {
	if string(b[:len(magic)]) != magic {
		return Header{}, 0, fmt.Errorf("read header: not a screen stream: %w", ErrCorrupt)
	}
	h := Header{Version: int(b[8])}
	if h.Version != version {
		return h, 0, fmt.Errorf("read header: version %d: %w", h.Version, ErrVersion)
	}
	if binary.LittleEndian.Uint32(b[28:]) != crc32.Checksum(b[:28], castagnoli) {
		return h, 0, fmt.Errorf("read header: wrong checksum: %w", ErrCorrupt)
	}
	shift := uint(b[9])
	width, height := binary.LittleEndian.Uint32(b[12:]), binary.LittleEndian.Uint32(b[16:])
	if shift < minTileShift || shift > maxTileShift || b[10] != 0 || b[11] != 0 ||
		width < 1 || width > MaxSide || height < 1 || height > MaxSide {
		return h, 0, fmt.Errorf("read header: %dx%d in tiles of 2^%d: %w", width, height, shift, ErrCorrupt)
	}
	h.Width, h.Height, h.Tile = int(width), int(height), 1<<shift
	h.Start = time.UnixMicro(int64(binary.LittleEndian.Uint64(b[20:]))).UTC()
	return h, shift, nil
}
