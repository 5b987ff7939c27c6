package screencodec

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/recfleet/recfleet/test/content"
)

// writes counts the calls of Write.
type writes struct {
	bytes.Buffer
	n int
}

func (w *writes) Write(p []byte) (int, error) {
	w.n++
	return w.Buffer.Write(p)
}

func TestOneWritePerRecord(t *testing.T) {
	e, err := NewEncoder(Config{Width: 100, Height: 80})
	if err != nil {
		t.Fatal(err)
	}
	var w writes
	if err := e.Begin(&w, start); err != nil {
		t.Fatal(err)
	}
	pictures := randomPictures(rand.New(rand.NewPCG(1, 2)), 100, 80, 9)
	for i, p := range pictures {
		if _, err := e.Encode(p, time.Duration(i+1)*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if w.n != i+2 {
			t.Fatalf("%d writes after %d pictures and the header", w.n, i+1)
		}
	}
	if err := e.End(time.Second); err != nil || w.n != len(pictures)+2 {
		t.Fatalf("%d writes at the end, %v", w.n, err)
	}
}

func TestSecondStreamIsLikeTheFirst(t *testing.T) {
	pictures := randomPictures(rand.New(rand.NewPCG(9, 9)), 130, 90, 9)
	e, err := NewEncoder(Config{Width: 130, Height: 90})
	if err != nil {
		t.Fatal(err)
	}
	var streams [2]bytes.Buffer
	for i := range streams {
		if err := e.Begin(&streams[i], start); err != nil {
			t.Fatal(err)
		}
		for k, p := range pictures {
			if _, err := e.Encode(p, time.Duration(k)*200*time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
		if err := e.End(time.Duration(len(pictures)) * 200 * time.Millisecond); err != nil {
			t.Fatal(err)
		}
		check(t, streams[i].Bytes(), pictures)
	}
	if !bytes.Equal(streams[0].Bytes(), streams[1].Bytes()) {
		t.Error("the same pictures give another stream the second time")
	}
}

func TestRepeatIsTiny(t *testing.T) {
	e, err := NewEncoder(Config{Width: 640, Height: 480})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Begin(io.Discard, start); err != nil {
		t.Fatal(err)
	}
	pix := make([]byte, 640*480*4)
	for i := range pix {
		pix[i] = byte(i * 7)
	}
	if info, err := e.Encode(pix, 0); err != nil || info.Kind != KindKey {
		t.Fatal(info, err)
	}
	for i := 3; i < len(pix); i += 4 {
		pix[i]++ // fourth bytes count for nothing
	}
	info, err := e.Encode(pix, 200*time.Millisecond)
	if err != nil || info.Kind != KindRepeat || info.Bytes > 10 || info.ChangedTiles != 0 {
		t.Fatal(info, err)
	}
	pix[0]++
	if info, err = e.Encode(pix, 400*time.Millisecond); err != nil || info.Kind != KindChange || info.ChangedTiles != 1 || info.Bytes > 60 {
		t.Fatal(info, err)
	}
}

func TestEncoderRefuses(t *testing.T) {
	for _, c := range []Config{{}, {Width: 1}, {Width: MaxSide + 1, Height: 1}, {Width: 1, Height: -1}, {Width: 1, Height: 1, KeyInterval: -1}} {
		if _, err := NewEncoder(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
	e, err := NewEncoder(Config{Width: 2, Height: 2})
	if err != nil {
		t.Fatal(err)
	}
	pix := make([]byte, 16)
	if _, err := e.Encode(pix, 0); err == nil {
		t.Error("a picture without a stream was taken")
	}
	if err := e.Begin(io.Discard, start); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Encode(pix[:12], 0); err == nil {
		t.Error("a picture that is too small was taken")
	}
	if _, err := e.Encode(pix, -1); err == nil {
		t.Error("a negative time was taken")
	}
	if _, err := e.Encode(pix, time.Second); err != nil {
		t.Error(err)
	}
	if _, err := e.Encode(pix, time.Second+999); err == nil {
		t.Error("a time that did not move by a microsecond was taken")
	}
	if err := e.End(time.Second / 2); err == nil {
		t.Error("an end before the last picture was taken")
	}
	if err := e.End(time.Second); err != nil {
		t.Error(err)
	}
	if _, err := e.Encode(pix, 2*time.Second); err == nil {
		t.Error("a picture after the end was taken")
	}
}

type failing struct{ left int }

var errFull = errors.New("disk is full")

func (f *failing) Write(p []byte) (int, error) {
	if f.left--; f.left < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func TestWriterErrorEndsTheStream(t *testing.T) {
	e, err := NewEncoder(Config{Width: 2, Height: 2})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Begin(&failing{1}, start); err != nil {
		t.Fatal(err)
	}
	pix := make([]byte, 16)
	for i := range 2 {
		if _, err := e.Encode(pix, time.Duration(i)*time.Second); !errors.Is(err, errFull) {
			t.Fatal(err)
		}
	}
	if err := e.Begin(io.Discard, start); err != nil {
		t.Fatal(err)
	}
	if info, err := e.Encode(pix, 0); err != nil || info.Kind != KindKey {
		t.Fatal(info, err)
	}
}

func TestScrollAndDragAreMoves(t *testing.T) {
	for name, limit := range map[string]int{"scroll": 14000, "drag": 40000} {
		e, err := NewEncoder(Config{Width: 960, Height: 540})
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Begin(io.Discard, start); err != nil {
			t.Fatal(err)
		}
		moved := 0
		for i, p := range scenePictures(t, name, 960, 540, 8) {
			info, err := e.Encode(p, time.Duration(i+1)*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if info.Kind == KindChange && len(e.moves.moves) > 0 {
				moved++
				if info.Bytes > limit {
					t.Errorf("%s: picture %d takes %d bytes", name, i, info.Bytes)
				}
			}
		}
		if moved < 4 {
			t.Errorf("%s: moves found in %d pictures only", name, moved)
		}
	}
}

func TestEncodingAllocatesNothingOnceWarm(t *testing.T) {
	for _, name := range []string{"terminal", "motion", "drag"} {
		pictures := scenePictures(t, name, 480, 270, 12)
		e, err := NewEncoder(Config{Width: 480, Height: 270})
		if err != nil {
			t.Fatal(err)
		}
		pass := func() {
			if err := e.Begin(io.Discard, start); err != nil {
				t.Fatal(err)
			}
			for i, p := range pictures {
				if _, err := e.Encode(p, time.Duration(i)*content.Interval); err != nil {
					t.Fatal(err)
				}
			}
			if err := e.End(time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		pass()
		pass()
		if n := testing.AllocsPerRun(3, pass); n > 2 {
			t.Errorf("%s: %v allocations for %d pictures", name, n, len(pictures))
		}
	}
}
