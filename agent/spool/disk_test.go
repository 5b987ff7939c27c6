package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// smallDisk mounts a disk of that many bytes.
func smallDisk(t *testing.T, size int64) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Skipf("no disk of its own: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all of a disk's space but so many bytes, as another program would.
func fill(t *testing.T, dir string, but int64) (empty func()) {
	t.Helper()
	f, err := os.CreateTemp(dir, "filler-")
	if err != nil {
		t.Fatal(err)
	}
	path := f.Name()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	if n := int64(st.Bavail)*st.Bsize - but; n > 0 {
		if err := unix.Fallocate(int(f.Fd()), 0, 0, n); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

const largeFrame = 30000

// large takes a stream of large frames, one a second.
func large(r io.Reader) (Prefix, error) {
	n, err := io.Copy(io.Discard, r)
	frames := n / largeFrame
	return Prefix{Bytes: frames * largeFrame, Frames: frames, Last: max(time.Duration(frames-1), 0) * time.Second}, err
}

func TestFullDiskEndsInOrder(t *testing.T) {
	// What is left of the disk when another program takes the rest: from nothing to enough for the first frames.
	// Frames are written at once where a chunk has room for one.
	for i, but := range []int64{0, 4096, 12 << 10, 64 << 10, 200 << 10, 0, 12 << 10, 64 << 10, 100 << 10} {
		t.Run(fmt.Sprint(but), func(t *testing.T) {
			disk := smallDisk(t, 4<<20)
			p := open(t, filepath.Join(disk, "spool"), func(c *Config) { c.ReserveBytes, c.Scan = 256<<10, large })
			s := create(t, p)
			if i > 4 {
				if err := s.Update(func(r *Registration) { r.Settings.ChunkBytes = 64 << 10 }); err != nil {
					t.Fatal(err)
				}
			}
			first := capture(t, s, true, largeFrame, largeFrame)
			flush(t, s)
			w, err := s.NewSegment(SegmentConfig{Epoch: 1, Width: 640, Height: 480, Start: began.Add(time.Minute), Interval: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			empty := fill(t, disk, but)
			frame := make([]byte, largeFrame)
			var at, end time.Time // end is up to when the writer knows that it is recorded
			for i := 0; ; i++ {
				if i > 1000 {
					t.Fatal("the disk is never full")
				}
				at = began.Add(time.Minute + time.Duration(i)*time.Second)
				end = at
				if _, err = w.Write(frame); err == nil {
					end = at.Add(time.Second)
					err = w.FrameEnd(at)
				}
				if err != nil {
					break
				}
			}
			if !errors.Is(err, ErrFull) || !p.Full() || !p.Pressure() {
				t.Fatalf("full %v, %v", p.Full(), err)
			}
			if err := w.Seal(at.Add(time.Second)); err != nil && !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
			flush(t, s)
			emptyToo := fill(t, disk, 0)
			for range 20 { // more than the page of the last event has room for
				if _, err := s.Append(Event{Time: end, MetadataChanged: map[string]string{"k": strings.Repeat("v", 500)}}); err != nil {
					t.Error(err)
				}
			}
			if err := s.Update(func(r *Registration) { r.EndReason = "because" }); err != nil {
				t.Error(err)
			}
			flush(t, s)
			if _, err := s.NewSegment(SegmentConfig{Epoch: 1, Width: 640, Height: 480, Start: end}); !errors.Is(err, ErrFull) {
				t.Errorf("another segment: %v", err)
			}
			// All that was told to be recorded is there or in a gap.
			until := began.Add(time.Minute)
			events, err := s.Events(0, 100)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				if g := e.SegmentSealed; g != nil && g.Segment == 2 {
					until = g.End
				}
				if g := e.GapDeclared; g != nil {
					if !g.Start.Equal(until) || g.Cause != "spool_full" {
						t.Errorf("gap %+v after %s", g, until)
					}
					until = g.End
				}
			}
			if !until.Equal(end) {
				t.Errorf("accounted for until %s, recorded until %s", until, end)
			}
			streams := verify(t, chunks(t, s))
			// Of a frame that was cut short, there may be chunks that were handed out.
			frames := 0
			for _, e := range events {
				if g := e.SegmentSealed; g != nil && g.Segment == 2 {
					frames = int(g.Frames)
				}
			}
			if string(streams[1]) != string(first) || len(streams[2])/largeFrame != frames || frames == 0 && len(streams[2]) > 0 {
				t.Errorf("segments of %d and %d bytes, %d frames", len(streams[1]), len(streams[2]), frames)
			}
			if got, want := p.Bytes(), int64(len(streams[1])+len(streams[2])); got != want {
				t.Errorf("%d bytes are said to be spooled, %d are", got, want)
			}
			if p.Room() {
				t.Error("there is room on a full disk")
			}
			empty()
			emptyToo()
			if !p.Room() || p.Full() || p.Pressure() {
				t.Errorf("room %v, full %v, pressure %v on an empty disk", p.Room(), p.Full(), p.Pressure())
			}
			capture(t, s, true, 100)
			flush(t, s)
			again := reopened(t, p, s)
			verify(t, chunks(t, again))
		})
	}
}

// reopened closes a session and its spool and opens them again.
func reopened(t *testing.T, p *Spool, s *Session) *Session {
	t.Helper()
	if err := errors.Join(s.Close(), p.Close()); err != nil {
		t.Fatal(err)
	}
	again := open(t, p.dir, nil).Left()[0]
	t.Cleanup(func() { _ = again.Close() })
	return again
}

func TestPressureComesAndGoes(t *testing.T) {
	p := open(t, t.TempDir(), func(c *Config) { c.MaxBytes = 1000 })
	s := create(t, p)
	for n := 100; n <= 800; n += 100 {
		capture(t, s, true, 100)
		if got := p.Pressure(); got != (n == 800) {
			t.Errorf("pressure %v with %d bytes", got, n)
		}
	}
	flush(t, s)
	for n, want := range []bool{true, false} { // 700, 600
		_, end, err := s.Chain(n + 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Free(n+1, 1, end); err != nil {
			t.Fatal(err)
		}
		if got := p.Pressure(); got != want {
			t.Errorf("pressure %v with %d bytes", got, p.Bytes())
		}
	}
}
