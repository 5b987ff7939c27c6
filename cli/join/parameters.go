package join

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

var errNoParameters = errors.New("no codec parameters found")

// codecParameters returns the avcC box of an mp4, which says how its H.264 is to be decoded. It is looked for at the file's
// beginning, where fragmented mp4s have it, and at its end.
func codecParameters(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	const window = 1 << 20
	raw := make([]byte, window)
	n, err := io.ReadFull(f, raw)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if box := findBox(raw[:n]); box != nil {
		return box, nil
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	from := max(info.Size()-4*window, 0)
	tail, err := io.ReadAll(io.NewSectionReader(f, from, info.Size()-from))
	if err != nil {
		return nil, err
	}
	if box := findBox(tail); box != nil {
		return box, nil
	}
	return nil, fmt.Errorf("%s: %w", path, errNoParameters)
}

// findBox returns the content of the first plausible avcC box.
func findBox(raw []byte) []byte {
	const header, smallest, largest = 8, 7, 4096
	for at := 0; ; {
		next := bytes.Index(raw[at:], []byte("avcC"))
		if next < 0 {
			return nil
		}
		at += next
		if at >= 4 {
			size := int(binary.BigEndian.Uint32(raw[at-4:]))
			if end := at - 4 + size; size >= header+smallest && size <= largest && end <= len(raw) && raw[at+4] == 1 {
				return raw[at+4 : end]
			}
		}
		at += 4
	}
}
