package screencodec

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"time"
)

// Summary is what Scan finds out about a stream.
type Summary struct {
	Header  Header
	Frames  int           // pictures in whole records
	Repeats int           // how many of them are repeats
	Keys    int           // how many of them are key pictures
	First   time.Duration // media time of the first picture
	Last    time.Duration // media time of the last picture
	End     time.Duration // media time of the end record, Last without one
	Ended   bool          // there is an end record, and it counts right
	Valid   int64         // bytes from the start that hold whole good records
}

// Scan reads records until the end record, the end of the input or the first
// record that is not whole or not what its checksum says, which a crash may
// leave behind. It checks framing and order but decompresses nothing. A bad
// header or a failing reader is an error; a bad tail is not.
func Scan(r io.Reader) (Summary, error) {
	rr := recordReader{r: bufio.NewReaderSize(r, 64<<10)}
	var s Summary
	h, err := rr.readHeader()
	if err != nil {
		return s, fmt.Errorf("scan screen stream: %w", err)
	}
	s.Header = h
	for !s.Ended {
		s.Valid = rr.size
		rec, err := rr.next()
		if errors.Is(err, ErrTruncated) || errors.Is(err, ErrCorrupt) {
			return s, nil
		}
		if err != nil {
			return s, fmt.Errorf("scan screen stream: %w", err)
		}
		if !s.add(rec) {
			return s, nil
		}
	}
	s.Valid = rr.size
	return s, nil
}

// add counts a record and tells whether it may stand where it does.
func (s *Summary) add(rec record) bool {
	at := s.End + rec.step
	switch {
	case rec.kind == kindEnd:
		n, rest, ok := takeUvarint(rec.payload, 1<<62)
		if !ok || len(rest) != 4 || n != uint64(s.Frames) {
			return false
		}
		s.End, s.Ended = at, true
		return true
	case s.Frames == 0 && rec.kind != KindKey, s.Frames > 0 && rec.step == 0,
		rec.kind == KindRepeat && len(rec.payload) > 0:
		return false
	case s.Frames == 0:
		s.First = at
	}
	switch rec.kind {
	case KindKey:
		s.Keys++
	case KindRepeat:
		s.Repeats++
	}
	s.Frames++
	s.Last, s.End = at, at
	return true
}
