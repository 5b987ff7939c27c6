package screencodec

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write golden streams that do not exist yet")

// goldenStreams are the streams under testdata/golden, named by the version
// that wrote them. What was released stays: new content gets a new name.
var goldenStreams = []struct {
	name          string
	width, height int
	pictures      func(t *testing.T) [][]byte
}{
	{"v1-forms", 75, 67, func(*testing.T) [][]byte {
		return randomPictures(rand.New(rand.NewPCG(21, 22)), 75, 67, 8)
	}},
	{"v1-pixel", 1, 1, func(*testing.T) [][]byte {
		return randomPictures(rand.New(rand.NewPCG(23, 24)), 1, 1, 5)
	}},
	{"v1-moves", 260, 230, func(*testing.T) [][]byte { return movingPictures(260, 230, 6) }},
	{"v1-terminal", 150, 100, func(t *testing.T) [][]byte { return scenePictures(t, "terminal", 150, 100, 6) }},
	{"v1-motion", 70, 70, func(t *testing.T) [][]byte { return scenePictures(t, "motion", 70, 70, 4) }},
}

// movingPictures scrolls one half of a picture and drags the other one about.
func movingPictures(width, height, n int) [][]byte {
	r := rand.New(rand.NewPCG(31, 32))
	letters := make([]byte, width*height)
	for i := range letters {
		if r.IntN(3) == 0 {
			letters[i] = byte(r.IntN(4)) * 85
		}
	}
	var out [][]byte
	for k := range n {
		pix := make([]byte, width*height*4)
		for y := range height {
			for x := range width {
				from := (y+k*7)%height*width + x
				if x >= width/2 {
					from = (y+k*3)%height*width + width/2 + (x+k*11)%(width-width/2)
				}
				p := pix[(y*width+x)*4:]
				p[0], p[1], p[2] = 40, letters[from], letters[from]/2
			}
		}
		out = append(out, pix)
		if k == 3 { // and one picture that differs in a single pixel
			pix = bytes.Clone(pix)
			pix[len(pix)/2] ^= 9
			out = append(out, pix)
		}
	}
	return out
}

// describe decodes a stream and returns a line for the stream and for each of
// its pictures: time, kind, changed rectangles and checksum of the 24-bit
// pixels.
func describe(stream []byte) (string, error) {
	d, err := NewDecoder(bytes.NewReader(stream), Limits{})
	if err != nil {
		return "", err
	}
	h := d.Header()
	var out strings.Builder
	fmt.Fprintf(&out, "version %d %dx%d tile %d start %s\n", h.Version, h.Width, h.Height, h.Tile, h.Start.Format(time.RFC3339Nano))
	for {
		f, err := d.Next()
		if errors.Is(err, io.EOF) {
			fmt.Fprintf(&out, "end %v\n", d.End())
			return out.String(), nil
		}
		if err != nil {
			return "", err
		}
		fmt.Fprintf(&out, "%v %s %d %08x\n", f.At, f.Kind, len(f.Changed), crc32.ChecksumIEEE(f.Pix))
	}
}

// TestGoldenStreams decodes what earlier versions wrote. With -update it adds
// the streams that are missing; it never writes one that exists.
func TestGoldenStreams(t *testing.T) {
	dir := filepath.Join("testdata", "golden")
	for _, g := range goldenStreams {
		name := filepath.Join(dir, g.name)
		if *update {
			addGolden(t, name, g.width, g.height, g.pictures(t))
		}
		if _, err := os.Stat(name + ".rfs"); err != nil {
			t.Errorf("golden stream is missing: %v", err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.rfs"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		stream, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(strings.TrimSuffix(name, ".rfs") + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		got, err := describe(stream)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got != string(want) {
			t.Errorf("%s decodes to\n%sinstead of\n%s", name, got, want)
		}
	}
}

// addGolden writes a stream and its description, unless either exists.
func addGolden(t *testing.T, name string, width, height int, pictures [][]byte) {
	if _, err := os.Stat(name + ".rfs"); err == nil {
		t.Logf("%s exists and stays as it is", name)
		return
	}
	stream := encodeAll(t, width, height, 5, pictures)
	check(t, stream, pictures)
	text, err := describe(stream)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	for file, b := range map[string][]byte{name + ".txt": []byte(text), name + ".rfs": stream} {
		f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(b); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
