// Package screencodec is the lossless codec of recorded desktops.
//
// The Encoder takes the pictures of one screen, one per capture instant, and
// writes a stream: a header, one record per picture and an end record. The
// Decoder takes such a stream and gives the same pictures back, bit for bit in
// their 24 bits of color. Scan walks over the records without decompressing,
// to see what a file holds and how much of it is whole. docs/screen-codec.md
// describes the stream for anyone who reads or writes it elsewhere.
//
// What always holds: one record per Encode, written by one Write; times that
// strictly increase; an encoder and a decoder that hold a bounded amount of
// memory for their picture size and allocate nothing per picture once warm; a
// decoder that never panics and never works or allocates more than in
// proportion to what it was fed, whatever it is fed.
package screencodec

import (
	"errors"
	"image"
	"time"
)

// MaxSide is the largest width and height a stream can have, in pixels.
const MaxSide = 8192

var (
	// ErrCorrupt says that the input is not a stream, or that a record breaks
	// the format.
	ErrCorrupt = errors.New("corrupt screen stream")
	// ErrTruncated says that the input ended before an end record: everything
	// returned until then is good.
	ErrTruncated = errors.New("truncated screen stream")
	// ErrVersion says that the stream was written by a newer version.
	ErrVersion = errors.New("unknown version of screen stream")
	// ErrLimit says that the stream is larger than the decoder's Limits allow.
	ErrLimit = errors.New("screen stream exceeds limit")
)

// Kind says how a picture is written.
type Kind uint8

// The kinds of records that carry a picture.
const (
	KindKey    Kind = 1 // needs no other picture
	KindChange Kind = 2 // the difference to the picture before
	KindRepeat Kind = 3 // the same as the picture before
)

// kindEnd is the record after the last picture.
const kindEnd Kind = 4

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case KindKey:
		return "key"
	case KindChange:
		return "change"
	case KindRepeat:
		return "repeat"
	case kindEnd:
		return "end"
	}
	return "unknown"
}

// FrameInfo tells what Encode made of a picture.
type FrameInfo struct {
	Kind         Kind
	Bytes        int // written, framing included
	ChangedTiles int // tiles that differ from the picture before
}

// Frame is a decoded picture.
type Frame struct {
	// Pix holds BGR0 rows, 4*width bytes each; the fourth byte of a pixel is
	// 0. It belongs to the decoder and is valid until the next call of Next.
	Pix []byte
	// At is the media time since the stream's start.
	At time.Duration
	// Kind is how the picture was written.
	Kind Kind
	// Changed covers every pixel that differs from the picture before, in
	// rectangles of whole tiles (cut at the picture's edge), top to bottom. It
	// is valid until the next call of Next.
	Changed []image.Rectangle
}
