package transcode

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/recfleet/recfleet/internal/ffmpeg"
	"github.com/recfleet/recfleet/test/content"
)

// desktopFilm shows a generated scene.
func desktopFilm(t *testing.T, scene string, width, height, frames int) film {
	t.Helper()
	source, err := content.Open(scene, width, height)
	if err != nil {
		t.Fatal(err)
	}
	f := film{width: width, height: height}
	for i := range frames {
		pix := make([]byte, source.Size())
		source.Next(pix)
		f.at, f.pix = append(f.at, time.Duration(i)*ms(200)), append(f.pix, pix)
	}
	return f
}

func TestLargeDesktopsAreScaled(t *testing.T) {
	f := desktopFilm(t, "typing", 640, 480, 3)
	cfg := f.config(t)
	cfg.VideoWidth, cfg.VideoHeight = 320, 240
	if _, err := Run(t.Context(), cfg, f.next()); err != nil {
		t.Fatal(err)
	}
	m, err := ffmpeg.Probe(t.Context(), cfg.Path)
	if err != nil || m.Width != 320 || m.Height != 240 || m.Frames != 3 {
		t.Fatalf("probe %+v, %v", m, err)
	}
	for i, got := range pictures(t, cfg.Path, 320, 240) {
		half := make([]byte, 320*240*4)
		for y := range 240 {
			for x := range 320 {
				for c := range 3 {
					at := func(dx, dy int) int { return int(f.pix[i][((2*y+dy)*640+2*x+dx)*4+c]) }
					half[(y*320+x)*4+c] = byte((at(0, 0) + at(1, 0) + at(0, 1) + at(1, 1) + 2) / 4)
				}
			}
		}
		if db := psnr(half, 320, 240, got, 320); db < 25 { // another filter than ours, and chroma of half the size
			t.Errorf("frame %d: PSNR %.1f dB", i, db)
		}
	}
}

func TestBitrateTakesThePlaceOfQuality(t *testing.T) {
	f := desktopFilm(t, "video", 640, 480, 60)
	size := func(change func(*Config)) int64 {
		cfg := f.config(t)
		change(&cfg)
		if _, err := Run(t.Context(), cfg, f.next()); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(cfg.Path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	fine := size(func(c *Config) { c.CRF = 12 })
	for _, rate := range []int64{100_000, 250_000} {
		got, want := size(func(c *Config) { c.CRF, c.Bitrate = 12, rate }), rate/8*12
		if got < want/3 || got > 2*want || got > fine/2 {
			t.Errorf("12 s at %d bits a second take %d bytes, about %d were to be; %d by quality", rate, got, want, fine)
		}
	}
}

func TestFramesThatComeTooFastAreLeftOut(t *testing.T) {
	f := desktopFilm(t, "video", 320, 240, 23)
	cfg := f.config(t)
	cfg.MaxFrameRate = 1
	if _, err := Run(t.Context(), cfg, f.next()); err != nil {
		t.Fatal(err)
	}
	pts, _ := packets(t, cfg.Path)
	want := []int{0, 1000, 2000, 3000, 4000, 4400}
	if len(pts) != len(want) {
		t.Fatalf("frames at %v", pts)
	}
	for i, got := range pictures(t, cfg.Path, 320, 240) {
		if pts[i] != want[i] {
			t.Errorf("frames at %v, want %v", pts, want)
		}
		if db := psnr(f.pix[want[i]/200], 320, 240, got, 320); db < 28 {
			t.Errorf("frame %d: PSNR %.1f dB", i, db)
		}
	}
}

// Players differ in what they make of edit lists and of sample entries other than avc1.
func TestTheFileIsPlain(t *testing.T) {
	f := desktopFilm(t, "typing", 320, 240, 60)
	cfg := f.config(t)
	if _, err := Run(t.Context(), cfg, f.next()); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(cfg.Path)
	if err != nil {
		t.Fatal(err)
	}
	if string(raw[4:8]) != "ftyp" || !bytes.Contains(raw[:64], []byte("iso5")) {
		t.Errorf("it begins with %q", raw[:64])
	}
	moov := raw[:bytes.Index(raw, []byte("moof"))]
	if !bytes.Contains(moov, []byte("avc1")) || !bytes.Contains(moov, []byte("avcC")) || bytes.Contains(moov, []byte("edts")) {
		t.Errorf("its header is %q", moov)
	}
	m, err := ffmpeg.Probe(t.Context(), cfg.Path)
	if err != nil || m.Start != 0 {
		t.Fatalf("%+v, %v", m, err)
	}
	last := time.Duration(0)
	for _, p := range m.Packets {
		if p.Key {
			last = p.At
		}
		if p.At-last > 10*time.Second {
			t.Errorf("frame at %v after a keyframe at %v", p.At, last)
		}
	}
}
