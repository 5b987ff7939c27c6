package screencodec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/iotest"
	"time"
)

// drain decodes a whole stream and returns how it ended.
func drain(stream []byte, limits Limits) (frames int, err error) {
	d, err := NewDecoder(bytes.NewReader(stream), limits)
	if err != nil {
		return 0, err
	}
	for {
		f, err := d.Next()
		if err != nil {
			return frames, err
		}
		if len(f.Pix) != d.Header().Width*d.Header().Height*4 {
			panic("picture of a wrong size")
		}
		frames++
	}
}

func sampleStream(t testing.TB) []byte {
	r := rand.New(rand.NewPCG(3, 4))
	return encodeAll(t, 45, 38, 5, randomPictures(r, 45, 38, 14))
}

// step walks over all of a stream's first and last bytes and some between.
func step(n, size int) int {
	if n < 400 || n > size-100 {
		return 1
	}
	return 1 + size/100
}

func TestTornStreamEndsTruncated(t *testing.T) {
	stream := sampleStream(t)
	whole, err := Scan(bytes.NewReader(stream))
	if err != nil || !whole.Ended || whole.Valid != int64(len(stream)) || whole.Frames != 14 {
		t.Fatalf("whole stream: %+v, %v", whole, err)
	}
	for n := 0; n < len(stream); n += step(n, len(stream)) {
		frames, err := drain(stream[:n], Limits{})
		if !errors.Is(err, ErrTruncated) {
			t.Fatalf("cut at %d: %v", n, err)
		}
		s, err := Scan(bytes.NewReader(stream[:n]))
		if n < headerSize {
			if !errors.Is(err, ErrTruncated) {
				t.Fatalf("scan cut at %d: %v", n, err)
			}
			continue
		}
		if err != nil || s.Ended || s.Frames != frames || s.Valid > int64(n) {
			t.Fatalf("scan cut at %d: %+v, %v, %d frames decode", n, s, err, frames)
		}
		if got, _ := drain(stream[:s.Valid], Limits{}); got != frames {
			t.Fatalf("cut at %d: valid prefix holds %d frames of %d", n, got, frames)
		}
	}
}

func TestDamagedStreamIsRefused(t *testing.T) {
	stream := sampleStream(t)
	for n := 0; n < len(stream); n += step(n, len(stream)) {
		for _, bit := range []byte{1, 0x80} {
			bad := bytes.Clone(stream)
			bad[n] ^= bit
			if _, err := drain(bad, Limits{}); !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTruncated) && !errors.Is(err, ErrVersion) {
				t.Fatalf("bit %#x of byte %d: %v", bit, n, err)
			}
		}
	}
	zeros := append(bytes.Clone(stream[:len(stream)-9]), make([]byte, 4096)...)
	if _, err := drain(zeros, Limits{}); !errors.Is(err, ErrCorrupt) {
		t.Fatalf("tail of zeros: %v", err)
	}
	if s, err := Scan(bytes.NewReader(zeros)); err != nil || s.Ended || s.Frames != 14 {
		t.Fatalf("scan of a tail of zeros: %+v, %v", s, err)
	}
}

// reseal gives every record of a stream the checksum it needs, so that damage
// reaches what lies behind it. It stops at the first record it cannot read.
func reseal(stream []byte) []byte {
	out := bytes.Clone(stream)
	if len(out) < headerSize {
		return out
	}
	binary.LittleEndian.PutUint32(out[28:], crc32.Checksum(out[:28], castagnoli))
	for at := headerSize; at < len(out); {
		head := 1
		size, n := binary.Uvarint(out[at+head:])
		if n <= 0 {
			break
		}
		head += n
		if _, n = binary.Uvarint(out[at+head:]); n <= 0 {
			break
		}
		head += n
		end := uint64(at+head+4) + size
		if size > 1<<30 || end > uint64(len(out)) {
			break
		}
		sum := crc32.Update(crc32.Checksum(out[at:at+head], castagnoli), castagnoli, out[at+head+4:end])
		binary.LittleEndian.PutUint32(out[at+head:], sum)
		at = int(end)
	}
	return out
}

func TestDamageBehindTheChecksumNeverPanics(t *testing.T) {
	stream := sampleStream(t)
	r := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		bad := bytes.Clone(stream)
		for range 1 + r.IntN(3) {
			bad[headerSize+r.IntN(len(bad)-headerSize)] = byte(r.Uint32())
		}
		drain(reseal(bad), Limits{})
	}
}

func TestLimits(t *testing.T) {
	stream := sampleStream(t)
	for _, l := range []Limits{{MaxWidth: 44}, {MaxHeight: 37}, {MaxFrames: 13}, {MaxDuration: 2 * time.Second}} {
		if _, err := drain(stream, l); !errors.Is(err, ErrLimit) {
			t.Errorf("%+v: %v", l, err)
		}
	}
	if n, err := drain(stream, Limits{MaxWidth: 45, MaxHeight: 38, MaxFrames: 14, MaxDuration: 2800 * time.Millisecond}); !errors.Is(err, io.EOF) || n != 14 {
		t.Errorf("just within the limits: %d frames, %v", n, err)
	}
}

func TestNewerVersionIsTold(t *testing.T) {
	stream := sampleStream(t)
	stream[8] = version + 1
	if _, err := drain(stream, Limits{}); !errors.Is(err, ErrVersion) {
		t.Fatal(err)
	}
}

func TestFailingReaderIsNotTruncation(t *testing.T) {
	stream := sampleStream(t)
	broken := errors.New("broken disk")
	r := io.MultiReader(bytes.NewReader(stream[:len(stream)/2]), iotest.ErrReader(broken))
	d, err := NewDecoder(r, Limits{})
	for err == nil {
		_, err = d.Next()
	}
	if !errors.Is(err, broken) || errors.Is(err, ErrTruncated) {
		t.Fatal(err)
	}
	r = io.MultiReader(bytes.NewReader(stream[:len(stream)/2]), iotest.ErrReader(broken))
	if _, err := Scan(r); !errors.Is(err, broken) {
		t.Fatal(err)
	}
}

// allocated returns the bytes that f allocates.
func allocated(f func()) uint64 {
	var a, b runtime.MemStats
	runtime.ReadMemStats(&a)
	f()
	runtime.ReadMemStats(&b)
	return b.TotalAlloc - a.TotalAlloc
}

func TestMemoryIsTakenOnlyForWhatArrives(t *testing.T) {
	big := appendHeader(nil, MaxSide, MaxSide, 5, start)
	// A key record that announces far more than it brings.
	rec := append(bytes.Clone(big), byte(KindKey))
	rec = binary.AppendUvarint(rec, 300<<20)
	rec = append(rec, 0, 1, 2, 3, 4)
	if n := allocated(func() { drain(rec, Limits{}) }); n > 4<<20 {
		t.Errorf("%d bytes allocated for a record that is not there", n)
	}
	// Whole records whose tile data is announced but not there.
	g := newGeometry(MaxSide, MaxSide, 5)
	payload := append([]byte{0}, bytes.Repeat([]byte{0xff}, g.tiles()/8)...)
	payload = binary.AppendUvarint(payload, uint64(g.maxRaw(g.tiles())))
	payload = append(payload, 4, 0x28, 0xb5, 0x2f, 0xfd)
	rec = append(bytes.Clone(big), sealRecord(append(make([]byte, maxRecordHead), payload...), KindKey, 0)...)
	if n := allocated(func() { drain(rec, Limits{}) }); n > 16<<20 {
		t.Errorf("%d bytes allocated for tile data that is not there", n)
	}
	// An empty change record on a picture that was never there.
	rec = append(bytes.Clone(big), sealRecord(append(make([]byte, maxRecordHead), flagList, 1, 0, 0, 1, 0), KindChange, 0)...)
	if n := allocated(func() { drain(rec, Limits{}) }); n > 4<<20 {
		t.Errorf("%d bytes allocated for a change without a key", n)
	}
}

func FuzzDecoder(f *testing.F) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, size := range [][2]int{{1, 1}, {40, 33}, {150, 110}} {
		for range 3 {
			f.Add(encodeAll(f, size[0], size[1], 4, randomPictures(r, size[0], size[1], 6)))
		}
	}
	f.Add(encodeAll(f, 96, 96, 0, scenePictures(f, "motion", 96, 96, 4)))
	f.Add(encodeAll(f, 160, 128, 0, scenePictures(f, "terminal", 160, 128, 8)))
	f.Fuzz(func(t *testing.T, stream []byte) {
		limits := Limits{MaxWidth: 1024, MaxHeight: 1024, MaxFrames: 1000}
		n, err := drain(stream, limits)
		if err == nil {
			t.Fatal("no end")
		}
		s, serr := Scan(bytes.NewReader(stream))
		if serr == nil && s.Frames < n {
			t.Fatalf("%d frames decode, %d are found", n, s.Frames)
		}
		drain(reseal(stream), limits)
	})
}

func FuzzRoundTrip(f *testing.F) {
	f.Add(uint64(1), uint16(40), uint16(50), []byte("abc"))
	f.Add(uint64(2), uint16(1), uint16(1), []byte{0})
	f.Add(uint64(3), uint16(129), uint16(64), bytes.Repeat([]byte{1, 2, 3}, 100))
	f.Fuzz(func(t *testing.T, seed uint64, width, height uint16, raw []byte) {
		w, h := 1+int(width)%100, 1+int(height)%100
		r := rand.New(rand.NewPCG(seed, 1))
		pictures := randomPictures(r, w, h, 5)
		mine := bytes.Clone(pictures[4])
		copy(mine[r.IntN(len(mine)):], raw)
		pictures = append(pictures, mine, pictures[4])
		check(t, encodeAll(t, w, h, 1+r.IntN(6), pictures), pictures)
	})
}

func TestEndRecordIsChecked(t *testing.T) {
	stream := sampleStream(t)
	for back, what := range map[int]string{1: "picture checksum", 5: "picture count"} {
		bad := bytes.Clone(stream)
		bad[len(bad)-back] ^= 1
		if n, err := drain(reseal(bad), Limits{}); n != 14 || !errors.Is(err, ErrCorrupt) {
			t.Errorf("wrong %s: %d frames, %v", what, n, err)
		}
	}
	if n, err := drain(reseal(stream), Limits{}); n != 14 || !errors.Is(err, io.EOF) {
		t.Errorf("right end record: %d frames, %v", n, err)
	}
}

func TestRecordsMustRepaintNothingForFree(t *testing.T) {
	// Moves and photos may touch marked tiles only, and motion has to be flagged.
	g := newGeometry(64, 64, 5)
	marked := []bool{true, false, false, false}
	for _, m := range []move{
		{to: rect{0, 0, 33, 8}, fromX: 0, fromY: 8},  // tile 1 is not marked
		{to: rect{0, 0, 8, 8}, fromX: 60, fromY: 0},  // from outside
		{to: rect{60, 60, 8, 8}, fromX: 0, fromY: 0}, // to outside
		{to: rect{0, 0, 0, 8}, fromX: 0, fromY: 0},   // empty
	} {
		if _, _, err := g.readMoves(appendMoves(nil, []move{m}), marked, 1, nil); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%+v: %v", m, err)
		}
	}
	full := move{to: rect{0, 0, 32, 32}, fromX: 32, fromY: 32}
	if _, _, err := g.readMoves(appendMoves(nil, []move{full, full, full, full}), marked, 1, nil); err != nil {
		t.Error(err)
	}
	if _, _, err := g.readMoves(appendMoves(nil, []move{full, full, full, full, full}), marked, 1, nil); !errors.Is(err, ErrCorrupt) {
		t.Errorf("five times the marked tile: %v", err)
	}
}
