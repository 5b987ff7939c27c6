package spool

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recfleet/recfleet/internal/chunk"
)

// snapshot copies a spool as it would be found after its process was killed now.
func snapshot(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "spool")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(to, 0o700); err != nil {
		t.Fatal(err)
	}
	return to
}

// hundreds takes a stream of frames of 100 bytes each.
func hundreds(r io.Reader) (Prefix, error) {
	n, err := io.Copy(io.Discard, r)
	n -= n % 100
	return Prefix{Bytes: n, Frames: n / 100, Last: max(time.Duration(n/100-1), 0) * 200 * time.Millisecond}, err
}

func left(t *testing.T, dir string) (*Spool, *Session) {
	t.Helper()
	p := open(t, dir, func(c *Config) { c.Scan = hundreds })
	if len(p.Left()) != 1 {
		t.Fatalf("%d sessions recovered", len(p.Left()))
	}
	s := p.Left()[0]
	t.Cleanup(func() { _ = s.Close() })
	return p, s
}

func TestKilledAtAnyFrame(t *testing.T) {
	dir := t.TempDir()
	s := create(t, open(t, dir, nil))
	for n := 1; n <= 25; n++ {
		sizes := make([]int, n)
		for i := range sizes {
			sizes[i] = 100
		}
		want := capture(t, s, false, sizes...)
		if n%3 == 0 {
			flush(t, s)
		}
		before := chunks(t, s)
		_, r := left(t, snapshot(t, dir))
		after := chunks(t, r)
		if got := verify(t, after)[1]; !bytes.Equal(got, want) {
			t.Fatalf("%d frames: %d of %d bytes recovered", n, len(got), len(want))
		}
		for i, c := range before {
			if c.Sum != after[i].Sum || c.Chain != after[i].Chain || c.Bytes != after[i].Bytes || c.Frames != after[i].Frames {
				t.Fatalf("%d frames: chunk %d changed after it was handed out", n, i)
			}
		}
		events, err := r.Events(0, 10)
		if err != nil || len(events) != 1 || events[0].SegmentSealed.Frames != int64(n) ||
			events[0].SegmentSealed.End.Sub(events[0].SegmentSealed.Start) != time.Duration(n)*200*time.Millisecond {
			t.Fatalf("%d frames: events %+v, %v", n, events, err)
		}
		if r.Segments()[0].State != StateSealed {
			t.Fatalf("state %s", r.Segments()[0].State)
		}
		// The next round begins anew.
		w := s.segments[0].writer
		if err := w.closeFiles(); err != nil {
			t.Fatal(err)
		}
		s.segments, s.cursor = nil, cursor{}
		for _, suffix := range []string{"open", "chunks"} {
			if err := os.Remove(s.path(1, suffix)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Every byte at which the files could have been cut off by a power cut: what had been handed out must come back as it was.
func TestTornAtAnyByte(t *testing.T) {
	dir := t.TempDir()
	s := create(t, open(t, dir, nil))
	s.reg.Settings.ChunkBytes = 150
	sealed := capture(t, s, true, 100, 100)
	flush(t, s)
	stream := capture(t, s, false, 100, 100, 100)
	flush(t, s)
	out := chunks(t, s)
	data, index := s.path(2, "open"), s.path(2, "chunks")
	x, known, _ := parseIndex(readAll(t, index))
	handed := x.size()
	more := s.segments[1].writer
	for range 4 {
		b := bytes.Repeat([]byte{7}, 100)
		stream = append(stream, b...)
		if _, err := more.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := more.FrameEnd(began.Add(2 * time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	whole := snapshot(t, dir)
	session := filepath.Join(whole, "sessions", request)
	check := func(what string, at int64) {
		t.Helper()
		p, r := left(t, whole)
		got := chunks(t, r)
		streams := verify(t, got)
		if !bytes.Equal(streams[1], sealed) || !bytes.HasPrefix(stream, streams[2]) || int64(len(streams[2])) < handed {
			t.Fatalf("%s cut at %d: %d and %d bytes recovered", what, at, len(streams[1]), len(streams[2]))
		}
		for i, c := range out {
			if got[i].Chain != c.Chain {
				t.Fatalf("%s cut at %d: chunk %d changed", what, at, i)
			}
		}
		_ = r.Close()
		_ = p.Close()
	}
	reset := func() {
		t.Helper()
		names, _ := filepath.Glob(filepath.Join(session, "*"))
		for _, n := range names {
			if err := os.Remove(n); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.CopyFS(session, os.DirFS(s.dir)); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
	for _, f := range []struct {
		path string
		from int64
	}{{data, handed}, {index, int64(known)}} {
		size := int64(len(readAll(t, f.path)))
		for at := f.from; at <= size; at++ {
			reset()
			if err := os.Truncate(filepath.Join(session, filepath.Base(f.path)), at); err != nil {
				t.Fatal(err)
			}
			check(filepath.Base(f.path), at)
		}
	}
	// The log of events, too: what is left of it is right, and the seals are there again.
	size := int64(len(readAll(t, filepath.Join(s.dir, "events.log"))))
	for at := int64(0); at < size; at += 3 {
		reset()
		if err := os.Truncate(filepath.Join(session, "events.log"), at); err != nil {
			t.Fatal(err)
		}
		p, r := left(t, whole)
		events, err := r.Events(0, 10)
		if err != nil || len(events) != 2 || events[0].SegmentSealed.Segment != 1 || events[1].SegmentSealed.Segment != 2 {
			t.Fatalf("cut at %d: events %+v, %v", at, events, err)
		}
		_ = r.Close()
		_ = p.Close()
	}
}

func readAll(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestUnsyncedSegmentIsDroppedAndTheNextTakesItsPlace(t *testing.T) {
	for _, file := range []string{"000002.open", "000002.chunks"} {
		dir := t.TempDir()
		s := create(t, open(t, dir, nil))
		capture(t, s, true, 100)
		flush(t, s)
		capture(t, s, false, 100, 100)
		three := capture(t, s, false, 100)
		cut := snapshot(t, dir)
		if err := os.Truncate(filepath.Join(cut, "sessions", request, file), 0); err != nil {
			t.Fatal(err)
		}
		_, r := left(t, cut)
		streams := verify(t, chunks(t, r))
		if len(streams) != 2 || !bytes.Equal(streams[2], three) {
			t.Errorf("%s empty: %d segments recovered", file, len(streams))
		}
		names, _ := filepath.Glob(filepath.Join(cut, "sessions", request, "000003.*"))
		if len(names) != 0 {
			t.Errorf("%s empty: left %v", file, names)
		}
	}
}

// After a power cut a file may have its length and not its bytes.
func TestChunkWhoseBytesDidNotReachTheDiskIsDropped(t *testing.T) {
	dir := t.TempDir()
	s := create(t, open(t, dir, nil))
	want := capture(t, s, false, 100)
	flush(t, s)
	w := s.segments[0].writer
	if _, err := w.Write(bytes.Repeat([]byte{7}, 1100)); err != nil { // ends a chunk of 1000 and begins another
		t.Fatal(err)
	}
	if err := w.FrameEnd(began); err != nil {
		t.Fatal(err)
	}
	cut := snapshot(t, dir)
	path := filepath.Join(cut, "sessions", request, "000001.open")
	write(t, path, string(append(bytes.Clone(want), make([]byte, 1100)...)))
	p := open(t, cut, func(c *Config) {
		c.Scan = func(io.Reader) (Prefix, error) { return Prefix{Bytes: 100, Frames: 1}, nil }
	})
	r := p.Left()[0]
	t.Cleanup(func() { _ = r.Close() })
	if all := chunks(t, r); len(all) != 1 || !bytes.Equal(verify(t, all)[1], want) {
		t.Errorf("%d chunks recovered", len(all))
	}
}

func TestKilledBetweenSteps(t *testing.T) {
	for _, c := range []struct {
		name string
		undo func(t *testing.T, dir string)
	}{
		{"before the folder had a registration", func(t *testing.T, dir string) {
			other := filepath.Join(filepath.Dir(dir), strings.Repeat("f", 16))
			if err := os.Mkdir(other, 0o700); err != nil {
				t.Fatal(err)
			}
		}},
		{"between new registration and its name", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "session.json.new"), "{")
		}},
		{"before the rename to sealed", func(t *testing.T, dir string) {
			rename(t, filepath.Join(dir, "000001.sealed"), filepath.Join(dir, "000001.open"))
		}},
		{"before the event of the seal", func(t *testing.T, dir string) {
			if err := os.Truncate(filepath.Join(dir, "events.log"), 0); err != nil {
				t.Fatal(err)
			}
		}},
		{"between index and stream of a new segment", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "000002.chunks"), "")
		}},
		{"while a finished session was deleted", func(t *testing.T, dir string) {
			other := filepath.Join(filepath.Dir(dir), strings.Repeat("e", 16)+removedSuffix)
			if err := os.Mkdir(other, 0o700); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := create(t, open(t, dir, nil))
			want := capture(t, s, true, 100, 2000)
			flush(t, s)
			cut := snapshot(t, dir)
			c.undo(t, filepath.Join(cut, "sessions", request))
			_, r := left(t, cut)
			if !bytes.Equal(verify(t, chunks(t, r))[1], want) {
				t.Error("the stream changed")
			}
			events, err := r.Events(0, 10)
			if err != nil || len(events) != 1 || events[0].SegmentSealed.Frames != 2 {
				t.Errorf("events %+v, %v", events, err)
			}
		})
	}
	t.Run("between receipt and deletion", func(t *testing.T) {
		dir := t.TempDir()
		s := create(t, open(t, dir, nil))
		capture(t, s, true, 100)
		flush(t, s)
		end := chunks(t, s)[0].Chain
		before := snapshot(t, dir)
		if err := s.Free(1, 1, end); err != nil {
			t.Fatal(err)
		}
		note := "000001.freed"
		write(t, filepath.Join(before, "sessions", request, note), string(readAll(t, filepath.Join(s.dir, note))))
		p, r := left(t, before)
		if r.Segments()[0].State != StateFreed || p.Bytes() != 0 {
			t.Errorf("segments %+v, %d bytes", r.Segments(), p.Bytes())
		}
		if _, got, err := r.Chain(1); err != nil || got != end {
			t.Errorf("chain end %s, %v", got, err)
		}
	})
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func TestAlteredChunkIsNotHandedOut(t *testing.T) {
	dir := t.TempDir()
	s := create(t, open(t, dir, nil))
	capture(t, s, true, 2500)
	flush(t, s)
	f, err := os.OpenFile(s.path(1, "sealed"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("x"), 1500); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if _, err := s.Chunk(1, 0, nil); err != nil {
		t.Errorf("untouched chunk: %v", err)
	}
	if _, err := s.Chunk(1, 1, nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("altered chunk: %v", err)
	}
}

func TestDamagedSessionDoesNotStopTheSpool(t *testing.T) {
	dir := t.TempDir()
	s := create(t, open(t, dir, nil))
	capture(t, s, true, 100)
	flush(t, s)
	cut := snapshot(t, dir)
	index := filepath.Join(cut, "sessions", request, "000001.chunks")
	write(t, index, "nonsense")
	p := open(t, cut, nil)
	if len(p.Left()) != 0 {
		t.Error("a damaged session was taken for a good one")
	}
	if _, err := os.Stat(index); err != nil {
		t.Errorf("damaged session: %v", err)
	}
}

func TestWriteErrorSavesWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	s := create(t, open(t, dir, nil))
	capture(t, s, false, 100, 100)
	flush(t, s)
	w := s.segments[0].writer
	_ = w.data.Close() // every write fails from here on
	if _, err := w.Write(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	if err := w.FrameEnd(began); err == nil {
		t.Fatal("a frame was written to a closed file")
	}
	if err := w.Seal(began); err == nil {
		t.Fatal("a broken segment was sealed without a word")
	}
	s.spool.scan = hundreds
	flush(t, s)
	if g := s.Segments()[0]; g.State != StateSealed || g.Bytes != 200 {
		t.Fatalf("segment %+v", g)
	}
	verify(t, chunks(t, s))
	capture(t, s, true, 100)
	flush(t, s)
	if len(verify(t, chunks(t, s))) != 2 {
		t.Error("the segment after it is missing")
	}
}

func FuzzIndex(f *testing.F) {
	x := index{header: mk(kindHeader, 0, 0, 0), chunks: []record{mk(kindChunk, 0, 0, 10), mk(kindChunk, 1, 10, 20)}}
	seal := mk(kindSeal, 2, 30, 0)
	x.seal = &seal
	f.Add(x.encode())
	f.Add(x.encode()[:200])
	f.Fuzz(func(t *testing.T, b []byte) {
		x, valid, ok := parseIndex(b)
		if !ok {
			return
		}
		if valid > len(b) || valid%recordSize != 0 {
			t.Fatalf("%d of %d bytes valid", valid, len(b))
		}
		var at int64
		for i, r := range x.chunks {
			if r.seq != i || r.offset != at || r.length < 1 || r.length > chunk.MaxPayload {
				t.Fatalf("record %d: %+v", i, r)
			}
			at += int64(r.length)
		}
		if x.seal != nil && x.seal.offset != at {
			t.Fatalf("seal %+v", x.seal)
		}
	})
}

func mk(kind byte, seq int, offset int64, length int) record {
	return record{kind: kind, epoch: 1, width: 2, height: 3, seq: seq, offset: offset, length: length, start: 1, last: 1}
}

func FuzzEvents(f *testing.F) {
	for _, e := range []Event{{Number: 1, Time: began, MetadataChanged: map[string]string{"a": "b\n"}},
		{Number: 1, EpochStarted: &EpochStarted{Epoch: 1}}} {
		line, err := eventLine(e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var n int64
		valid := parseEvents(b, func(e Event, at int64) {
			n++
			if e.Number != n || at >= int64(len(b)) {
				t.Fatalf("event %d at %d: %+v", n, at, e)
			}
		})
		if valid > int64(len(b)) || valid > 0 && b[valid-1] != '\n' {
			t.Fatalf("%d of %d bytes valid", valid, len(b))
		}
	})
}
