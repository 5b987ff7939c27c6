//go:build unix

package screencodec

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/recfleet/recfleet/test/content"
)

const benchWidth, benchHeight = 1920, 1080

// benchScenes are the scenes of the results table and how many frames of each
// are measured: all of the mix, a few seconds of the rest.
var benchScenes = []struct {
	name   string
	frames int
	ffmpeg bool // compare with FFmpeg
}{
	{"idle", 50, false}, {"typing", 50, false}, {"terminal", 50, false}, {"scroll", 50, false},
	{"drag", 50, false}, {"video", 50, false}, {"mixed", 300, true}, {"motion", 100, true},
}

// cpu returns the CPU time the process has used.
func cpu(tb testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// run is what one pass over a scene cost.
type run struct {
	frames, changed int
	bytes           int64
	encode          time.Duration // all frames
	changedCPU      time.Duration // frames that are no repeats
}

// encodeScene encodes a scene into w, measuring Encode alone, or EncodeChanged if
// it is to be told which tiles changed.
func encodeScene(tb testing.TB, e *Encoder, name string, frames int, told bool, w io.Writer) run {
	src, err := content.Open(name, benchWidth, benchHeight)
	if err != nil {
		tb.Fatal(err)
	}
	var count counter
	if err := e.Begin(io.MultiWriter(&count, w), time.Unix(0, 0)); err != nil {
		tb.Fatal(err)
	}
	r := run{frames: frames}
	pix := make([]byte, src.Size())
	g, boxes, seen := e.geometry, make([]span, e.geometry.tiles()), make([]bool, e.geometry.tiles())
	setAll(seen)
	for n := range frames {
		src.Next(pix)
		changed := []image.Rectangle{image.Rect(0, 0, g.width, g.height)}
		if told {
			changed = changed[:0]
			g.compare(pix, e.prev, seen, boxes)
			for i, s := range boxes {
				if r := g.box(i, s); s.y1 != 0 {
					changed = append(changed, image.Rect(r.x, r.y, r.x+r.w, r.y+r.h))
				}
			}
		}
		t := cpu(tb)
		info, err := e.EncodeChanged(pix, changed, time.Duration(n)*content.Interval)
		if err != nil {
			tb.Fatal(err)
		}
		t = cpu(tb) - t
		r.encode += t
		if info.Kind != KindRepeat {
			r.changed++
			r.changedCPU += t
		}
	}
	if err := e.End(time.Duration(frames) * content.Interval); err != nil {
		tb.Fatal(err)
	}
	r.bytes = count.n
	return r
}

type counter struct{ n int64 }

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

func newBenchEncoder(tb testing.TB, interval int) *Encoder {
	e, err := NewEncoder(Config{Width: benchWidth, Height: benchHeight, KeyInterval: interval})
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

func milliseconds(d time.Duration, n int) float64 {
	return float64(d.Microseconds()) / 1000 / float64(max(n, 1))
}

// BenchmarkEncode reports CPU time per changed frame, the same where the encoder is
// told what changed, CPU time per frame, bytes per frame and, for the mix and for motion, the bytes in relation to what FFmpeg's
// libx264rgb writes for the same frames: with its usual distance of key
// frames against ours, and both with a key frame every 50 frames.
func BenchmarkEncode(b *testing.B) {
	for _, s := range benchScenes {
		b.Run(s.name, func(b *testing.B) {
			e := newBenchEncoder(b, 0)
			var r run
			for b.Loop() {
				r = encodeScene(b, e, s.name, s.frames, false, io.Discard)
			}
			told := encodeScene(b, e, s.name, s.frames, true, io.Discard)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(milliseconds(r.changedCPU, r.changed), "ms-cpu/changed")
			b.ReportMetric(milliseconds(told.changedCPU, told.changed), "ms-cpu/told-changed")
			b.ReportMetric(milliseconds(r.encode, r.frames), "ms-cpu/frame")
			b.ReportMetric(float64(r.bytes)/float64(r.frames), "B/frame")
			b.ReportMetric(float64(r.changed), "changed")
			if !s.ffmpeg {
				return
			}
			x := x264(b, s.name, s.frames)
			b.ReportMetric(float64(r.bytes)/float64(x.bytes), "of-x264rgb")
			b.ReportMetric(milliseconds(x.cpu, s.frames), "ms-cpu/x264rgb-frame")
			x = x264(b, s.name, s.frames, "-g", "50")
			r50 := encodeScene(b, newBenchEncoder(b, 50), s.name, s.frames, false, io.Discard)
			b.ReportMetric(float64(r50.bytes)/float64(x.bytes), "of-x264rgb-g50")
		})
	}
}

// BenchmarkDecode reports CPU time per frame.
func BenchmarkDecode(b *testing.B) {
	for _, s := range benchScenes {
		b.Run(s.name, func(b *testing.B) {
			var stream bytes.Buffer
			encodeScene(b, newBenchEncoder(b, 0), s.name, s.frames, false, &stream)
			var used time.Duration
			for b.Loop() {
				d, err := NewDecoder(bytes.NewReader(stream.Bytes()), Limits{})
				if err != nil {
					b.Fatal(err)
				}
				t := cpu(b)
				for {
					if _, err := d.Next(); errors.Is(err, io.EOF) {
						break
					} else if err != nil {
						b.Fatal(err)
					}
				}
				used = cpu(b) - t
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(milliseconds(used, s.frames), "ms-cpu/frame")
		})
	}
}

type x264Run struct {
	bytes int64
	cpu   time.Duration
}

// x264 lets FFmpeg encode the scene without loss.
func x264(tb testing.TB, name string, frames int, more ...string) x264Run {
	path, err := exec.LookPath("ffmpeg")
	if err != nil {
		tb.Skip("no ffmpeg")
	}
	src, err := content.Open(name, benchWidth, benchHeight)
	if err != nil {
		tb.Fatal(err)
	}
	out := tb.TempDir() + "/out.mkv"
	args := strings.Fields(fmt.Sprintf("-v error -f rawvideo -pix_fmt bgr0 -s %dx%d -r 5 -i - -c:v libx264rgb -qp 0 -preset ultrafast -threads 1", benchWidth, benchHeight))
	cmd := exec.Command(path, append(append(args, more...), out)...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	pix := make([]byte, src.Size())
	for range frames {
		src.Next(pix)
		if _, err := in.Write(pix); err != nil {
			tb.Fatal(err)
		}
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		tb.Fatal(err)
	}
	info, err := os.Stat(out)
	if err != nil {
		tb.Fatal(err)
	}
	return x264Run{info.Size(), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
}
