package screencodec

import (
	"bytes"
	"fmt"
	"image"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/recfleet/recfleet/test/content"
)

// truth returns rectangles that cover every pixel in which two pictures differ,
// and some more, partly outside the picture.
func truth(r *rand.Rand, a, b []byte, width, height int) []image.Rectangle {
	var list []image.Rectangle
	cell := 1 + r.IntN(90)
	for y := 0; y < height; y += cell {
		for x := 0; x < width; x += cell {
			box := image.Rect(x, y, min(x+cell, width), min(y+cell, height))
			if differ(a, b, width, box) {
				list = append(list, image.Rect(x-r.IntN(9), y-r.IntN(9), x+cell+r.IntN(9), y+cell+r.IntN(9)))
			}
		}
	}
	for range r.IntN(3) {
		x, y := r.IntN(3*width)-width, r.IntN(3*height)-height
		list = append(list, image.Rect(x, y, x+r.IntN(width), y+r.IntN(height)))
	}
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

func differ(a, b []byte, width int, box image.Rectangle) bool {
	for y := box.Min.Y; y < box.Max.Y; y++ {
		for i := (y*width + box.Min.X) * 4; i < (y*width+box.Max.X)*4; i += 4 {
			if load(a[i:]) != load(b[i:]) {
				return true
			}
		}
	}
	return false
}

// encodeTold encodes like encodeAll, telling what changed.
func encodeTold(t *testing.T, r *rand.Rand, width, height, interval int, pictures [][]byte) []byte {
	t.Helper()
	e, err := NewEncoder(Config{Width: width, Height: height, KeyInterval: interval})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := e.Begin(&out, start); err != nil {
		t.Fatal(err)
	}
	pix := make([]byte, width*height*4) // one memory for all, as of a grabber
	last := make([]byte, len(pix))
	for i, p := range pictures {
		copy(pix, p)
		if _, err := e.EncodeChanged(pix, truth(r, p, last, width, height), time.Duration(i)*content.Interval); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(pix, p) {
			t.Fatalf("picture %d was written to", i)
		}
		last = p
	}
	if err := e.End(time.Duration(len(pictures)) * content.Interval); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestToldChangesGiveTheSameStream(t *testing.T) {
	try := func(name string, seed uint64, width, height, interval int, pictures [][]byte) {
		t.Run(name, func(t *testing.T) {
			want := encodeAll(t, width, height, interval, pictures)
			got := encodeTold(t, rand.New(rand.NewPCG(seed, 77)), width, height, interval, pictures)
			if !bytes.Equal(want, got) {
				t.Errorf("%d bytes that are not the %d without being told", len(got), len(want))
			}
			check(t, got, pictures)
		})
	}
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 5))
		width, height := 1+r.IntN(300), 1+r.IntN(300)
		try(fmt.Sprintf("random %d", seed), seed, width, height, 1+r.IntN(9), randomPictures(r, width, height, 20))
	}
	try("moves", 1, 260, 230, 50, movingPictures(260, 230, 12))
	for _, name := range []string{"scroll", "drag", "terminal", "motion"} {
		try(name, 2, 320, 203, 5, scenePictures(t, name, 320, 203, 8))
	}
}

func TestOnlyToldTilesAreLookedAt(t *testing.T) {
	e, err := NewEncoder(Config{Width: 100, Height: 80, KeyInterval: 4})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := e.Begin(&out, start); err != nil {
		t.Fatal(err)
	}
	pix := make([]byte, 100*80*4)
	want := [][]byte{bytes.Clone(pix)}
	for i, told := range [][]image.Rectangle{
		nil, // the first is a key picture
		nil, // nothing, whatever there is
		{image.Rect(-9, -9, 0, 900), image.Rect(5, 5, 5, 9), image.Rect(100, 0, 200, 80)}, // nothing of the picture
		{image.Rect(40, 40, 41, 41)}, // one of two tiles
		nil,                          // a key picture again
	} {
		info, err := e.EncodeChanged(pix, told, time.Duration(i)*content.Interval)
		if err != nil {
			t.Fatal(err)
		}
		wantKind := [...]Kind{KindKey, KindRepeat, KindRepeat, KindChange, KindKey}[i]
		if info.Kind != wantKind {
			t.Errorf("picture %d is a %s picture instead of %s", i, info.Kind, wantKind)
		}
		switch i {
		case 0:
			pix[0], pix[(45*100+50)*4] = 7, 7
		case 1, 2:
			want = append(want, want[0])
		case 3:
			p := bytes.Clone(want[0])
			p[(45*100+50)*4] = 7
			want = append(want, p)
		case 4:
			want = append(want, bytes.Clone(pix))
		}
	}
	if err := e.End(5 * content.Interval); err != nil {
		t.Fatal(err)
	}
	check(t, out.Bytes(), want)
}
