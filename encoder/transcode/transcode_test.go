package transcode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/recfleet/recfleet/internal/ffmpeg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// film is a segment in memory.
type film struct {
	width, height int
	at            []time.Duration
	pix           [][]byte
}

// flatFilm shows one color after the other.
func flatFilm(width, height int, at ...time.Duration) film {
	colors := [][3]byte{{30, 30, 220}, {0, 200, 0}, {255, 0, 0}, {255, 255, 255}, {0, 0, 0}, {40, 120, 200}, {128, 128, 128}, {255, 0, 255}}
	f := film{width: width, height: height, at: at}
	for i := range at {
		c := colors[i%len(colors)]
		f.pix = append(f.pix, bytes.Repeat([]byte{c[0], c[1], c[2], 0x5A}, width*height))
	}
	return f
}

func (f film) config(t *testing.T) Config {
	return Config{
		Width: f.width, Height: f.height, VideoWidth: evenUp(f.width), VideoHeight: evenUp(f.height), Frames: int64(len(f.at)), Duration: f.at[len(f.at)-1] + 200*time.Millisecond,
		FrameRate: 5, Preset: "veryfast", CRF: 12, KeyframeInterval: 10 * time.Second, StillInterval: 2 * time.Second, Stall: time.Minute,
		Path: filepath.Join(t.TempDir(), "out.mp4"), Logger: hclog.NewNullLogger(),
	}
}

func (f film) next() func() (Picture, error) {
	i := -1
	return func() (Picture, error) {
		if i++; i == len(f.at) {
			return Picture{}, io.EOF
		}
		return Picture{Pix: f.pix[i], At: f.at[i]}, nil
	}
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// output runs FFmpeg and returns what it writes to its stdout.
func output(t *testing.T, args ...string) []byte {
	t.Helper()
	p, err := ffmpeg.Start(ffmpeg.Config{Args: append([]string{"-nostdin", "-v", "error"}, args...), Stdout: true, Logger: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(p.Stdout())
	exit, waitErr := p.Wait()
	if err != nil || waitErr != nil || exit.Code != 0 || exit.Stderr != "" {
		t.Fatalf("ffmpeg %v: %v, %v, %v", args, exit, err, waitErr)
	}
	return out
}

// packets returns the time in milliseconds and the keyframe flag of every frame of an mp4.
func packets(t *testing.T, path string) (pts []int, keys []bool) {
	t.Helper()
	for line := range strings.Lines(string(output(t, "-i", path, "-c", "copy", "-f", "framecrc", "pipe:1"))) {
		if strings.HasPrefix(line, "#tb") && strings.TrimSpace(line) != "#tb 0: 1/1000" {
			t.Fatalf("time base %s", line)
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		field := strings.Split(line, ",")
		at, err := strconv.Atoi(strings.TrimSpace(field[2]))
		if err != nil {
			t.Fatal(line)
		}
		pts = append(pts, at)
		keys = append(keys, !strings.Contains(line, "F=0x"))
	}
	return pts, keys
}

// pictures decodes an mp4 to RGB by FFmpeg's own conversion, by the color tags of the file.
func pictures(t *testing.T, path string, width, height int) [][]byte {
	t.Helper()
	raw := output(t, "-i", path, "-fps_mode", "passthrough", "-enc_time_base", "1/1000", "-vf", "scale=flags=accurate_rnd+full_chroma_int,format=bgr0", "-f", "rawvideo", "pipe:1")
	size := width * height * 4
	if len(raw)%size != 0 {
		t.Fatalf("%d bytes are no pictures of %dx%d", len(raw), width, height)
	}
	var all [][]byte
	for ; len(raw) > 0; raw = raw[size:] {
		all = append(all, raw[:size])
	}
	return all
}

// psnr compares a desktop's picture with the part of a decoded one that shows it.
func psnr(want []byte, width, height int, got []byte, stride int) float64 {
	var sum float64
	for y := range height {
		for x := range width {
			for c := range 3 {
				d := float64(want[(y*width+x)*4+c]) - float64(got[(y*stride+x)*4+c])
				sum += d * d
			}
		}
	}
	if sum == 0 {
		return 99
	}
	return 10 * math.Log10(255*255/(sum/float64(width*height*3)))
}

func TestTimesSizesAndPicturesAreKept(t *testing.T) {
	at := []time.Duration{0, ms(200), ms(403), ms(601), ms(7650), ms(7850), ms(18000), ms(18201), ms(40000), ms(40200)}
	for _, size := range []image.Point{{1, 1}, {1, 7}, {101, 67}, {640, 480}} {
		t.Run(fmt.Sprintf("%dx%d", size.X, size.Y), func(t *testing.T) {
			f := flatFilm(size.X, size.Y, at...)
			cfg := f.config(t)
			cfg.Duration = at[len(at)-1] + 777*time.Millisecond
			if _, err := Run(t.Context(), cfg, f.next()); err != nil {
				t.Fatal(err)
			}
			evenW, evenH := (size.X+1)&^1, (size.Y+1)&^1
			m, err := ffmpeg.Probe(t.Context(), cfg.Path)
			if err != nil {
				t.Fatal(err)
			}
			if m.Codec != "h264" || m.PixelFormat != "yuv420p" || m.Width != evenW || m.Height != evenH || m.Frames != int64(len(at)) ||
				m.Start != 0 || m.Duration != cfg.Duration {
				t.Errorf("probe %+v, want duration %v", m, cfg.Duration)
			}
			pts, keys := packets(t, cfg.Path)
			lastKey := 0
			for i := range at {
				if pts[i] != int(at[i].Milliseconds()) {
					t.Errorf("frame %d is at %d ms, want %v", i, pts[i], at[i])
				}
				if keys[i] {
					lastKey = i
				}
				if age := at[i] - at[lastKey]; age >= cfg.KeyframeInterval {
					t.Errorf("frame %d comes %v after its keyframe", i, age)
				}
			}
			for i, got := range pictures(t, cfg.Path, evenW, evenH) {
				if db := psnr(f.pix[i], size.X, size.Y, got, evenW); db < 40 {
					t.Errorf("frame %d: PSNR %.1f dB", i, db)
				}
			}
		})
	}
}

func TestKeyframesAreNotTooManyAfterAStillStretch(t *testing.T) {
	f := film{width: 64, height: 48}
	for i := range 100 {
		at := time.Duration(i) * ms(200)
		if i >= 5 {
			at += time.Minute
		}
		f.at, f.pix = append(f.at, at), append(f.pix, make([]byte, 64*48*4))
	}
	cfg := f.config(t)
	if _, err := Run(t.Context(), cfg, f.next()); err != nil {
		t.Fatal(err)
	}
	_, keys := packets(t, cfg.Path)
	n := 0
	for _, key := range keys {
		if key {
			n++
		}
	}
	if n != 3 { // at 0 s, 61 s and 71 s
		t.Errorf("%d keyframes", n)
	}
}

func TestFramesWithinOneMillisecondStayApart(t *testing.T) {
	f := flatFilm(16, 16, 0, 100*time.Microsecond, 200*time.Microsecond, ms(200))
	cfg := f.config(t)
	if _, err := Run(t.Context(), cfg, f.next()); err != nil {
		t.Fatal(err)
	}
	pts, _ := packets(t, cfg.Path)
	if fmt.Sprint(pts) != "[0 1 2 200]" {
		t.Errorf("times %v", pts)
	}
}

func TestTheSameSegmentMakesTheSameFile(t *testing.T) {
	f := flatFilm(64, 48, 0, ms(200), ms(400))
	var files [][]byte
	for range 2 {
		cfg := f.config(t)
		if _, err := Run(t.Context(), cfg, f.next()); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(cfg.Path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, raw)
	}
	if !bytes.Equal(files[0], files[1]) {
		t.Error("two runs made different files")
	}
}

func TestOnlyWhatChangedIsConverted(t *testing.T) {
	f := flatFilm(101, 67, 0, ms(200), ms(400))
	for y := range 67 { // the second picture differs from the first in a rectangle, the third is as the second
		copy(f.pix[1][y*101*4:(y+1)*101*4], f.pix[0][y*101*4:])
	}
	changed := image.Rect(33, 11, 101, 67)
	for y := changed.Min.Y; y < changed.Max.Y; y++ {
		for x := changed.Min.X; x < changed.Max.X; x++ {
			copy(f.pix[1][(y*101+x)*4:], []byte{200, byte(2 * x), byte(3 * y)})
		}
	}
	f.pix[2] = f.pix[1]
	whole, parts := f.config(t), f.config(t)
	if _, err := Run(t.Context(), whole, f.next()); err != nil {
		t.Fatal(err)
	}
	next, n := f.next(), 0
	if _, err := Run(t.Context(), parts, func() (Picture, error) {
		p, err := next()
		switch n {
		case 1:
			p.Changed = []image.Rectangle{changed}
		case 2:
			p.Same = true
		}
		n++
		return p, err
	}); err != nil {
		t.Fatal(err)
	}
	a, err := os.ReadFile(whole.Path)
	b, err2 := os.ReadFile(parts.Path)
	if err != nil || err2 != nil || !bytes.Equal(a, b) {
		t.Errorf("the files differ (%v, %v)", err, err2)
	}
}

func TestPicturesThatAreNotAsAnnounced(t *testing.T) {
	f := flatFilm(16, 16, 0, ms(200), ms(400))
	broken := errors.New("broken source")
	for name, c := range map[string]struct {
		change func(*Config, *film)
		next   func() (Picture, error)
		want   string
	}{
		"too few":         {change: func(c *Config, _ *film) { c.Frames = 4 }, want: "3 frames came instead of 4"},
		"too many":        {change: func(c *Config, _ *film) { c.Frames = 2 }, want: "more than the 2 frames"},
		"back in time":    {change: func(_ *Config, f *film) { f.at[2] = ms(100) }, want: "out of order"},
		"late start":      {change: func(_ *Config, f *film) { f.at[0] = ms(1) }, want: "out of order"},
		"after the end":   {change: func(c *Config, _ *film) { c.Duration = ms(300) }, want: "out of order"},
		"size":            {change: func(c *Config, _ *film) { c.Width = 17 }, want: "bytes of pixels"},
		"source":          {next: func() (Picture, error) { return Picture{}, broken }, want: "broken source"},
		"unknown preset":  {change: func(c *Config, _ *film) { c.Preset = "-y /etc/passwd" }, want: "preset"},
		"huge":            {change: func(c *Config, _ *film) { c.Width = 8193 }, want: "out of bounds"},
		"no stall limit":  {change: func(c *Config, _ *film) { c.Stall = 0 }, want: "out of bounds"},
		"keyframe spread": {change: func(c *Config, _ *film) { c.KeyframeInterval = 0 }, want: "out of bounds"},
	} {
		t.Run(name, func(t *testing.T) {
			f := film{width: f.width, height: f.height, at: append([]time.Duration(nil), f.at...), pix: f.pix}
			cfg := f.config(t)
			if c.change != nil {
				c.change(&cfg, &f)
			}
			next := f.next()
			if c.next != nil {
				next = c.next
			}
			if _, err := Run(t.Context(), cfg, next); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// shim puts a shell script in FFmpeg's place; REAL in it is the real program.
func shim(t *testing.T, script string) {
	t.Helper()
	lookup, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script = "#!/bin/sh\n" + strings.ReplaceAll(script, "REAL", lookup) + "\n"
	if err := os.WriteFile(filepath.Join(dir, "ffmpeg"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

func TestFFmpegThatMisbehaves(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		want   string
		is     error
	}{
		"crashes":        {script: "head -c 100000 >/dev/null; kill -SEGV $$", want: "segmentation fault"},
		"refuses":        {script: "echo 'no such encoder' >&2; exit 1", want: "no such encoder"},
		"only complains": {script: `REAL "$@"; echo 'one frame was bad' >&2; exit 0`, want: "one frame was bad"},
		"hangs":          {script: "exec sleep 1000", want: "no progress"},
		"is killed":      {script: "head -c 100000 >/dev/null; kill -KILL $$", want: "killed", is: ErrKilled},
		"disk full":      {script: "cat >/dev/null; echo 'av_interleaved_write_frame(): No space left on device' >&2; exit 1", is: ErrNoSpace},
	} {
		t.Run(name, func(t *testing.T) {
			shim(t, c.script)
			f := film{width: 640, height: 480}
			for i := range 30 {
				f.at, f.pix = append(f.at, time.Duration(i)*ms(200)), append(f.pix, make([]byte, 640*480*4))
			}
			cfg := f.config(t)
			if name == "hangs" {
				cfg.Stall = ms(300)
			}
			_, err := Run(t.Context(), cfg, f.next())
			if err == nil || !strings.Contains(err.Error(), c.want) || c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("error %v, want %q, %v", err, c.want, c.is)
			}
			for _, other := range []error{ErrKilled, ErrNoSpace, ErrMissing} {
				if !errors.Is(c.is, other) && errors.Is(err, other) {
					t.Errorf("%v is also %v", err, other)
				}
			}
		})
	}
}

func TestFullDisk(t *testing.T) {
	f := flatFilm(640, 480, 0, ms(200), ms(400))
	cfg := f.config(t)
	cfg.Path = "/dev/full"
	if _, err := Run(t.Context(), cfg, f.next()); !errors.Is(err, ErrNoSpace) {
		t.Errorf("error %v", err)
	}
}

func TestFFmpegIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	f := flatFilm(16, 16, 0)
	if _, err := Run(t.Context(), f.config(t), f.next()); !errors.Is(err, ErrMissing) {
		t.Errorf("error %v", err)
	}
}

func TestEndOfContextStopsFFmpeg(t *testing.T) {
	lost := errors.New("lease lost")
	for name, script := range map[string]string{"working": `exec REAL "$@"`, "hanging": "exec sleep 1000"} {
		t.Run(name, func(t *testing.T) {
			shim(t, script)
			ctx, cancel := context.WithCancelCause(t.Context())
			f := flatFilm(16, 16, 0, ms(200))
			next := f.next()
			_, err := Run(ctx, f.config(t), func() (Picture, error) {
				p, err := next()
				if err != nil {
					cancel(lost)
				}
				return p, err
			})
			if !errors.Is(err, lost) {
				t.Errorf("error %v", err)
			}
		})
	}
}

func BenchmarkConvert(b *testing.B) {
	f := flatFilm(1920, 1080, 0)
	p := newPlanes(1920, 1080)
	b.SetBytes(int64(len(f.pix[0])))
	for b.Loop() {
		p.convert(f.pix[0], image.Rect(0, 0, 1920, 1080))
	}
}
