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

var start = time.Date(2024, 5, 14, 9, 41, 0, 123456000, time.UTC)

// encodeAll encodes the pictures 200 ms apart and returns the stream.
func encodeAll(t testing.TB, width, height, interval int, pictures [][]byte) []byte {
	t.Helper()
	e, err := NewEncoder(Config{Width: width, Height: height, KeyInterval: interval})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := e.Begin(&out, start); err != nil {
		t.Fatal(err)
	}
	for i, p := range pictures {
		before := out.Len()
		info, err := e.Encode(p, time.Duration(i)*200*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		if info.Bytes != out.Len()-before {
			t.Fatalf("picture %d: %d bytes reported, %d written", i, info.Bytes, out.Len()-before)
		}
	}
	if err := e.End(time.Duration(len(pictures)) * 200 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// check decodes the stream and compares it with the pictures.
func check(t testing.TB, stream []byte, pictures [][]byte) {
	t.Helper()
	d, err := NewDecoder(bytes.NewReader(stream), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	h := d.Header()
	last := make([]byte, h.Width*h.Height*4)
	for i, want := range pictures {
		f, err := d.Next()
		if err != nil {
			t.Fatalf("picture %d: %v", i, err)
		}
		if f.At != time.Duration(i)*200*time.Millisecond {
			t.Fatalf("picture %d: at %v", i, f.At)
		}
		inside := make([]bool, h.Width*h.Height)
		for _, r := range f.Changed {
			for y := r.Min.Y; y < r.Max.Y; y++ {
				for x := r.Min.X; x < r.Max.X; x++ {
					inside[y*h.Width+x] = true
				}
			}
		}
		for p := 0; p < len(want); p += 4 {
			if !bytes.Equal(want[p:p+3], f.Pix[p:p+3]) || f.Pix[p+3] != 0 {
				t.Fatalf("picture %d (%s): pixel %d,%d is %x instead of %x", i, f.Kind, p/4%h.Width, p/4/h.Width, f.Pix[p:p+4], want[p:p+4])
			}
			if !inside[p/4] && !bytes.Equal(last[p:p+3], f.Pix[p:p+3]) {
				t.Fatalf("picture %d: pixel %d,%d changed outside of Changed", i, p/4%h.Width, p/4/h.Width)
			}
		}
		copy(last, f.Pix)
	}
	if _, err := d.Next(); !errors.Is(err, io.EOF) {
		t.Fatalf("after the last picture: %v", err)
	}
	if want := time.Duration(len(pictures)) * 200 * time.Millisecond; d.End() != want {
		t.Fatalf("end at %v instead of %v", d.End(), want)
	}
	if !h.Start.Equal(start) {
		t.Fatalf("start %v", h.Start)
	}
}

// scenePictures returns the first frames of a scene.
func scenePictures(t testing.TB, name string, width, height, n int) [][]byte {
	src, err := content.Open(name, width, height)
	if err != nil {
		t.Fatal(err)
	}
	out := make([][]byte, n)
	for i := range out {
		out[i] = make([]byte, src.Size())
		src.Next(out[i])
	}
	return out
}

func TestScenesComeBack(t *testing.T) {
	for _, name := range content.Names() {
		t.Run(name, func(t *testing.T) {
			n := 25
			if name == "mixed" {
				n = 240
			}
			pictures := scenePictures(t, name, 480, 301, n)
			check(t, encodeAll(t, 480, 301, 11, pictures), pictures)
		})
	}
}

// randomPictures makes pictures that take every path of the format: noise,
// few colors, gradients, black, moved and unmoved parts, garbage in the fourth
// bytes.
func randomPictures(r *rand.Rand, width, height, n int) [][]byte {
	var out [][]byte
	pix := make([]byte, width*height*4)
	for range n {
		pix = bytes.Clone(pix)
		for range r.IntN(4) {
			x, y := r.IntN(width), r.IntN(height)
			w, h := 1+r.IntN(width-x), 1+r.IntN(height-y)
			kind, base := r.IntN(7), r.Uint32()
			colors := 1 + r.IntN(300)
			fx, fy := r.IntN(width-w+1), r.IntN(height-h+1)
			from := bytes.Clone(pix)
			for yy := y; yy < y+h; yy++ {
				for xx := x; xx < x+w; xx++ {
					p := pix[(yy*width+xx)*4:]
					var v uint32
					switch kind {
					case 0:
						v = r.Uint32()
					case 1:
						v = base * uint32(1+r.IntN(colors))
					case 2:
						v = base
					case 3:
						v = base + uint32(xx)*0x020103 + uint32(yy)*0x010201
					case 4:
						v = base + uint32(xx+yy)*0x010101 + r.Uint32()&0x030303
					case 5:
						v = load(from[((fy+yy-y)*width+fx+xx-x)*4:])
					}
					p[0], p[1], p[2] = byte(v), byte(v>>8), byte(v>>16)
				}
			}
		}
		if r.IntN(3) == 0 {
			for i := 3; i < len(pix); i += 4 {
				pix[i] = byte(r.Uint32())
			}
		}
		out = append(out, pix)
	}
	return out
}

func TestAnyPictureOfAnySizeComesBack(t *testing.T) {
	sizes := [][2]int{{1, 1}, {1, 9}, {2, 1}, {3, 3}, {31, 33}, {32, 32}, {33, 31}, {64, 1}, {65, 70}, {127, 129}, {200, 90}, {257, 300}, {1, 8192}, {8192, 1}}
	for _, s := range sizes {
		r := rand.New(rand.NewPCG(uint64(s[0]), uint64(s[1])))
		for range 4 {
			pictures := randomPictures(r, s[0], s[1], 12)
			check(t, encodeAll(t, s[0], s[1], 7, pictures), pictures)
		}
	}
}
