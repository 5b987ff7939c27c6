package transcode

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// The stream that FFmpeg reads is Matroska (RFC 9559) in EBML (RFC 8794), the least of it that carries raw pictures with
// their times: one V_UNCOMPRESSED video track and one cluster with one block for each picture. Segment and clusters are
// written in order and never revisited, so it can go through a pipe.
const (
	idEBML               = 0x1A45DFA3
	idEBMLVersion        = 0x4286
	idEBMLReadVersion    = 0x42F7
	idEBMLMaxIDLength    = 0x42F2
	idEBMLMaxSizeLength  = 0x42F3
	idDocType            = 0x4282
	idDocTypeVersion     = 0x4287
	idDocTypeReadVersion = 0x4285
	idSegment            = 0x18538067
	idInfo               = 0x1549A966
	idTimestampScale     = 0x2AD7B1
	idMuxingApp          = 0x4D80
	idWritingApp         = 0x5741
	idTracks             = 0x1654AE6B
	idTrackEntry         = 0xAE
	idTrackNumber        = 0xD7
	idTrackUID           = 0x73C5
	idTrackType          = 0x83
	idFlagLacing         = 0x9C
	idDefaultDuration    = 0x23E383
	idCodecID            = 0x86
	idVideo              = 0xE0
	idPixelWidth         = 0xB0
	idPixelHeight        = 0xBA
	idUncompressedFourCC = 0x2EB524
	idCluster            = 0x1F43B675
	idTimestamp          = 0xE7
	idSimpleBlock        = 0xA3
)

// tick is the resolution of the times in the mp4. Those in the stream are twice as fine: a keyframe is asked for by a time
// that is half a tick early, which the mp4 rounds to the right one. There is no other way to tell FFmpeg of a picture.
const (
	tick      = time.Millisecond
	tickHalve = 2
)

// muxer writes pictures of one size and form as a Matroska stream.
type muxer struct {
	w      io.Writer
	head   []byte
	size   int
	last   int64
	frames int64
}

// newMuxer returns a muxer for I420 pictures of width x height, both even, that normally come interval apart. It writes
// nothing yet.
func newMuxer(w io.Writer, width, height int, interval time.Duration) *muxer {
	return &muxer{w: w, head: matroskaHeader(width, height, interval), size: width * height * 3 / 2, last: -1}
}

// write sends one picture that was on screen from at on, counted from the start of the segment, and returns its time in the
// mp4. Times are rounded to ticks; where that makes two alike, the later one moves on by a tick, because a player needs them
// apart. The first picture is a keyframe in any case.
func (m *muxer) write(pix []byte, at time.Duration, key bool) (time.Duration, error) {
	if len(pix) != m.size {
		return 0, fmt.Errorf("mux frame %d: %d bytes of pixels, want %d", m.frames, len(pix), m.size)
	}
	ticks := max(int64(at.Round(tick)/tick), m.last+1)
	stamp := tickHalve * ticks
	if key && m.frames > 0 {
		stamp--
	}
	block := []byte{0x81, 0, 0, 0x80} // track 1, time as the cluster's, keyframe
	body := uintElement(nil, idTimestamp, uint64(stamp))
	body = elementHead(body, idSimpleBlock, uint64(len(block)+len(pix)))
	body = append(body, block...)
	head := elementHead(m.head, idCluster, uint64(len(body)+len(pix)))
	head = append(head, body...)
	m.head = m.head[:0]
	if _, err := m.w.Write(head); err != nil {
		return 0, fmt.Errorf("mux frame %d: %w", m.frames, err)
	}
	if _, err := m.w.Write(pix); err != nil {
		return 0, fmt.Errorf("mux frame %d: %w", m.frames, err)
	}
	m.last = ticks
	m.frames++
	return time.Duration(ticks) * tick, nil
}

// matroskaHeader returns everything before the first cluster, with a segment of unknown size.
func matroskaHeader(width, height int, interval time.Duration) []byte {
	ebml := uintElement(nil, idEBMLVersion, 1)
	ebml = uintElement(ebml, idEBMLReadVersion, 1)
	ebml = uintElement(ebml, idEBMLMaxIDLength, 4)
	ebml = uintElement(ebml, idEBMLMaxSizeLength, 8)
	ebml = element(ebml, idDocType, []byte("matroska"))
	ebml = uintElement(ebml, idDocTypeVersion, 4)
	ebml = uintElement(ebml, idDocTypeReadVersion, 2)

	info := uintElement(nil, idTimestampScale, uint64(tick/tickHalve))
	info = element(info, idMuxingApp, []byte("recfleet"))
	info = element(info, idWritingApp, []byte("recfleet"))

	video := uintElement(nil, idPixelWidth, uint64(width))
	video = uintElement(video, idPixelHeight, uint64(height))
	video = element(video, idUncompressedFourCC, []byte("I420"))
	track := uintElement(nil, idTrackNumber, 1)
	track = uintElement(track, idTrackUID, 1)
	track = uintElement(track, idTrackType, 1)
	track = uintElement(track, idFlagLacing, 0)
	track = uintElement(track, idDefaultDuration, uint64(interval))
	track = element(track, idCodecID, []byte("V_UNCOMPRESSED"))
	track = element(track, idVideo, video)

	out := element(nil, idEBML, ebml)
	out = appendID(out, idSegment)
	out = append(out, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF)
	out = element(out, idInfo, info)
	return element(out, idTracks, element(nil, idTrackEntry, track))
}

// element appends an element with its content.
func element(to []byte, id uint32, content []byte) []byte {
	return append(elementHead(to, id, uint64(len(content))), content...)
}

// uintElement appends an unsigned integer of eight bytes.
func uintElement(to []byte, id uint32, v uint64) []byte {
	return binary.BigEndian.AppendUint64(elementHead(to, id, 8), v)
}

// elementHead appends id and size; the size always takes eight bytes, which any reader of EBML accepts.
func elementHead(to []byte, id uint32, size uint64) []byte {
	return binary.BigEndian.AppendUint64(appendID(to, id), 1<<56|size)
}

// appendID appends an element id, whose length is in its own first bits.
func appendID(to []byte, id uint32) []byte {
	switch {
	case id > 0xFFFFFF:
		return append(to, byte(id>>24), byte(id>>16), byte(id>>8), byte(id))
	case id > 0xFFFF:
		return append(to, byte(id>>16), byte(id>>8), byte(id))
	case id > 0xFF:
		return append(to, byte(id>>8), byte(id))
	}
	return append(to, byte(id))
}
