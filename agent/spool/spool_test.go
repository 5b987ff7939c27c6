package spool

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/internal/chunk"
)

const request = "0123456789abcdef"

var began = time.Unix(1_700_000_000, 0)

func open(t *testing.T, dir string, change func(*Config)) *Spool {
	t.Helper()
	cfg := Config{Dir: dir, ReserveBytes: 4096, Logger: hclog.NewNullLogger()}
	if change != nil {
		change(&cfg)
	}
	p, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func create(t *testing.T, p *Spool) *Session {
	t.Helper()
	s, err := p.Create(Registration{RequestID: request, SessionID: "s1", Start: began,
		Settings: Settings{FrameRate: 5, ChunkBytes: 1000}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// capture writes a segment of frames of the given sizes, 200 ms apart, and returns its stream.
func capture(t *testing.T, s *Session, seal bool, sizes ...int) []byte {
	t.Helper()
	number := len(s.Segments())
	start := began.Add(time.Duration(number) * time.Minute)
	w, err := s.NewSegment(SegmentConfig{Epoch: 1, Width: 640, Height: 480, Start: start})
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(1, uint64(number)))
	var all []byte
	for i, n := range sizes {
		b := make([]byte, n)
		for j := range b {
			b[j] = byte(rnd.Uint32())
		}
		all = append(all, b...)
		half := n / 2
		for _, part := range [][]byte{b[:half], b[half:]} {
			if _, err := w.Write(part); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.FrameEnd(start.Add(time.Duration(i) * 200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
	}
	if seal {
		if err := w.Seal(start.Add(time.Duration(len(sizes)) * 200 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func flush(t *testing.T, s *Session) {
	t.Helper()
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
}

// chunks reads every chunk that is on disk.
func chunks(t *testing.T, s *Session) []chunk.Chunk {
	t.Helper()
	var all []chunk.Chunk
	for _, g := range s.Segments() {
		if g.State == StateFreed {
			continue
		}
		for seq := range g.Chunks {
			c, err := s.Chunk(g.Number, seq, nil)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, c)
		}
	}
	return all
}

// verify checks what always holds of a session's chunks, and returns each segment's stream.
func verify(t *testing.T, all []chunk.Chunk) map[int][]byte {
	t.Helper()
	streams := make(map[int][]byte)
	h := chunk.Genesis("s1")
	seq, frames := 0, int64(0)
	for i, c := range all {
		if i == 0 || c.Segment != all[i-1].Segment {
			seq, frames = 0, 0
		}
		h = h.Next(c.Sum)
		if c.Chain != h || c.Sum != chunk.Sum(c.Payload) || c.Seq != seq || c.Offset != int64(len(streams[c.Segment])) ||
			c.Bytes != len(c.Payload) || c.Frames < frames || c.Session != "s1" {
			t.Fatalf("chunk %d of segment %d does not follow from those before it: %+v", c.Seq, c.Segment, c)
		}
		streams[c.Segment] = append(streams[c.Segment], c.Payload...)
		seq, frames = seq+1, c.Frames
	}
	return streams
}

func TestChunksFollowFromTheStream(t *testing.T) {
	p := open(t, t.TempDir(), nil)
	s := create(t, p)
	one := capture(t, s, true, 2500, 10, 990, 3000)
	two := capture(t, s, true, 1, 1000)
	if got := chunks(t, s); len(got) != 0 {
		t.Fatalf("%d chunks were visible before they were on disk", len(got))
	}
	flush(t, s)
	all := chunks(t, s)
	streams := verify(t, all)
	if !bytes.Equal(streams[1], one) || !bytes.Equal(streams[2], two) {
		t.Fatal("the chunks are not the stream")
	}
	if p.Bytes() != int64(len(one)+len(two)) {
		t.Errorf("spool holds %d bytes", p.Bytes())
	}
	// The first frame ends its chunk; after it only size cuts here. A frame that ends with its chunk counts in it.
	var got []string
	for _, c := range all {
		got = append(got, fmt.Sprintf("%d/%d:%d@%d", c.Segment, c.Seq, c.Frames, c.LastFrame.Sub(c.Start).Milliseconds()))
	}
	want := []string{"1/0:0@0", "1/1:0@0", "1/2:1@0", "1/3:3@400", "1/4:3@400", "1/5:3@400", "1/6:4@600", "2/0:1@0", "2/1:2@200"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("chunks\n%v, want\n%v", got, want)
	}
	events, err := s.Events(0, 10)
	if err != nil || len(events) != 2 {
		t.Fatalf("events %v, %v", events, err)
	}
	if e := events[0].SegmentSealed; e.Chunks != 7 || e.Bytes != 6500 || e.Frames != 4 || e.End.Sub(e.Start) != 800*time.Millisecond {
		t.Errorf("event %+v", e)
	}
	start, end, err := s.Chain(2)
	if err != nil || end != all[len(all)-1].Chain || start != all[6].Chain {
		t.Errorf("chain of segment 2: %v, %v, %v", start, end, err)
	}
	if e := events[1].SegmentSealed; e.Segment != 2 || e.Chunks != 2 {
		t.Errorf("event %+v", e)
	}
	for _, name := range []string{"000001.sealed", "000001.chunks", "000002.sealed", "session.json", "events.log"} {
		st, err := os.Stat(filepath.Join(s.dir, name))
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
}

func TestStaleBytesAreCutWithoutAFrame(t *testing.T) {
	s := create(t, open(t, t.TempDir(), nil))
	w, err := s.NewSegment(SegmentConfig{Epoch: 1, Width: 1, Height: 1, Start: began})
	if err != nil {
		t.Fatal(err)
	}
	half := func() {
		if _, err := w.Write([]byte("half a frame")); err != nil {
			t.Fatal(err)
		}
		w.oldest = w.oldest.Add(-time.Second)
		flush(t, s)
	}
	half()
	if len(chunks(t, s)) != 0 {
		t.Fatal("a segment without a frame is handed out")
	}
	if err := w.FrameEnd(began); err != nil {
		t.Fatal(err)
	}
	flush(t, s)
	if _, err := w.Write([]byte("half a frame")); err != nil {
		t.Fatal(err)
	}
	flush(t, s)
	n := len(chunks(t, s))
	w.oldest = w.oldest.Add(-time.Second)
	flush(t, s)
	got := chunks(t, s)
	if len(got) != n+1 || got[n].Frames != 1 || string(got[n].Payload) != "half a frame" {
		t.Fatalf("chunks %+v after %d", got, n)
	}
}

// Of a segment of which no frame was whole nothing is left, whoever ends it.
func TestSegmentWithoutAFrameIsNone(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir, func(c *Config) { c.Scan = hundreds })
	s := create(t, p)
	begin := func() *Writer {
		w, err := s.NewSegment(SegmentConfig{Epoch: 1, Width: 1, Height: 1, Start: began})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(make([]byte, 3500)[:3050]); err != nil {
			t.Fatal(err)
		}
		return w
	}
	if err := begin().Seal(began.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	flush(t, s)
	if len(s.Segments()) != 0 || s.LastEvent() != 0 || p.Bytes() != 0 {
		t.Errorf("sealed: %+v, %d events, %d bytes", s.Segments(), s.LastEvent(), p.Bytes())
	}
	if w := begin(); w.Number() != 1 {
		t.Errorf("the next is number %d", w.Number())
	}
	flush(t, s)
	if all := chunks(t, s); len(all) != 0 {
		t.Errorf("%d chunks are handed out", len(all))
	}
}

func TestReceiptFrees(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir, nil)
	s := create(t, p)
	capture(t, s, true, 2500)
	two := capture(t, s, true, 100, 200)
	flush(t, s)
	all := chunks(t, s)
	if err := s.MarkPublished(1); err != nil {
		t.Fatal(err)
	}
	if err := s.Free(1, 3, all[0].Chain); err == nil {
		t.Fatal("a receipt for another chain freed the segment")
	}
	if err := s.Free(1, 2, all[2].Chain); err == nil {
		t.Fatal("a receipt for another number of chunks freed the segment")
	}
	for range 2 {
		if err := s.Free(1, 3, all[2].Chain); err != nil {
			t.Fatal(err)
		}
	}
	if p.Bytes() != int64(len(two)) {
		t.Errorf("spool holds %d bytes", p.Bytes())
	}
	if _, err := s.Chunk(1, 0, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("freed chunk: %v", err)
	}
	reopen := func() *Session {
		t.Helper()
		_ = s.Close()
		_ = p.Close()
		p = open(t, dir, nil)
		if len(p.Left()) != 1 {
			t.Fatalf("%d sessions left", len(p.Left()))
		}
		return p.Left()[0]
	}
	s = reopen()
	if got := s.Segments(); got[0].State != StateFreed || got[1].State != StateSealed {
		t.Fatalf("segments %+v", got)
	}
	again := chunks(t, s)
	if len(again) != 2 || again[0].Chain != all[3].Chain || again[1].Chain != all[4].Chain {
		t.Fatal("the chain broke where a segment was freed")
	}
	if err := s.Remove(); err == nil {
		t.Fatal("a session without all its receipts was removed")
	}
	if err := s.Free(2, 2, all[4].Chain); err != nil {
		t.Fatal(err)
	}
	_ = s.Close()
	if err := s.Remove(); err != nil {
		t.Fatal(err)
	}
	_ = p.Close()
	if p = open(t, dir, nil); len(p.Left()) != 0 || p.Bytes() != 0 {
		t.Errorf("%d sessions, %d bytes left", len(p.Left()), p.Bytes())
	}
}

func TestFullKeepsWhatItHas(t *testing.T) {
	p := open(t, t.TempDir(), func(c *Config) { c.MaxBytes = 3000 })
	s := create(t, p)
	w, err := s.NewSegment(SegmentConfig{Epoch: 1, Width: 8, Height: 8, Start: began})
	if err != nil {
		t.Fatal(err)
	}
	var last error
	for i := 0; last == nil && i < 10; i++ {
		if _, err := w.Write(make([]byte, 900)); err != nil {
			t.Fatal(err)
		}
		last = w.FrameEnd(began)
	}
	if !errors.Is(last, ErrFull) {
		t.Fatalf("a full spool said %v", last)
	}
	if err := w.Seal(began.Add(time.Second)); err != nil {
		t.Fatalf("seal in a full spool: %v", err)
	}
	flush(t, s)
	if _, err := s.NewSegment(SegmentConfig{Epoch: 1, Width: 8, Height: 8, Start: began}); !errors.Is(err, ErrFull) {
		t.Errorf("new segment: %v", err)
	}
	all := chunks(t, s)
	if len(verify(t, all)[1]) != 3600 {
		t.Errorf("stream of %d bytes", len(verify(t, all)[1]))
	}
	if p.Room() {
		t.Error("a full spool has room")
	}
	if err := s.Free(1, len(all), all[len(all)-1].Chain); err != nil || !p.Room() {
		t.Errorf("freed: %v, room %v", err, p.Room())
	}
}

func TestOneProcessPerSpool(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir, nil)
	if _, err := Open(Config{Dir: dir}); !errors.Is(err, ErrLocked) {
		t.Fatalf("second open: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir, nil)
}

func TestForeignFolderIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(Config{Dir: dir}); err == nil {
		t.Error("a spool was opened in somebody else's folder")
	}
	if _, err := Open(Config{Dir: filepath.Join(dir, "x", "y")}); err == nil {
		t.Error("a spool was opened below a file")
	}
}

func TestSessionIDIsGivenOnce(t *testing.T) {
	p := open(t, t.TempDir(), nil)
	s, err := p.Create(Registration{RequestID: request, Start: began})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	capture(t, s, true, 10)
	flush(t, s)
	if _, err := s.Chunk(1, 0, nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("chunk of an unregistered session: %v", err)
	}
	if err := s.Update(func(r *Registration) { r.SessionID = "s1" }); err != nil {
		t.Fatal(err)
	}
	verify(t, chunks(t, s))
	if err := s.Update(func(r *Registration) { r.SessionID = "s2" }); err == nil || s.Registration().SessionID != "s1" {
		t.Errorf("the session id changed: %v", err)
	}
}
