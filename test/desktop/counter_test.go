package desktop

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

func TestRecordingReadsBack(t *testing.T) {
	s := Start(t, 1280, 720)
	c, err := StartCounter(s, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	waitLedger(t, c, 1)
	path := filepath.Join(t.TempDir(), "recording.mp4")
	out, err := exec.Command("ffmpeg", "-nostdin", "-loglevel", "error",
		"-f", "x11grab", "-framerate", "5", "-video_size", "1280x720", "-i", s.Display(), "-t", "3",
		"-c:v", "libx264", "-preset", "veryfast", "-crf", "45", "-bf", "0", "-pix_fmt", "yuv420p", path).CombinedOutput()
	if err != nil {
		t.Fatalf("record: %v: %s", err, out)
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	pictures, err := DecodeMP4(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	// 15 on a machine that has time for all of them.
	if len(pictures) < 10 || len(pictures) > 16 {
		t.Errorf("%d pictures, want 15", len(pictures))
	}
	shown := c.Ledger()
	values := map[uint32]bool{}
	for i, p := range pictures {
		if !p.OK {
			t.Errorf("picture %d is not readable", i)
			continue
		}
		if p.Counter == 0 || int(p.Counter) > len(shown) {
			t.Errorf("picture %d shows %d, the screen showed 1 to %d", i, p.Counter, len(shown))
		}
		if p.Width != 1280 || p.Height != 720 {
			t.Errorf("picture %d is %dx%d", i, p.Width, p.Height)
		}
		// On a busy machine two pictures may be of the same value, never of an
		// older one.
		if i > 0 && p.Counter < pictures[i-1].Counter {
			t.Errorf("picture %d shows %d after %d", i, p.Counter, pictures[i-1].Counter)
		}
		values[p.Counter] = true
		if p.At > 3200*time.Millisecond || i > 0 && p.At <= pictures[i-1].At {
			t.Errorf("picture %d is at %s", i, p.At)
		}
	}
	if len(values) < 8 {
		t.Errorf("%d pictures show only %d values", len(pictures), len(values))
	}
}

func TestCounterSurvivesResizeAndOtherWindows(t *testing.T) {
	s := Start(t, 1280, 720)
	c, err := StartCounter(s, 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	over, err := NewCounter(s) // A window above the first one.
	if err != nil {
		t.Fatal(err)
	}
	defer over.Stop()
	for _, size := range [][2]int{{1920, 1080}, {1365, 767}, {640, 480}} {
		if err := s.Resize(size[0], size[1]); err != nil {
			t.Fatal(err)
		}
		after := len(c.Ledger())
		waitLedger(t, c, after+2)
		ledger := c.Ledger()
		last := ledger[len(ledger)-1]
		if last.Width != size[0] || last.Height != size[1] {
			t.Errorf("ledger says %dx%d, screen is %v", last.Width, last.Height, size)
		}
		got, ok := ReadCounter(grab(t, s, size[0], size[1]), size[0], size[1], 4*size[0])
		if !ok || got < last.Value {
			t.Errorf("at %v the screen shows %d (%v) after %d", size, got, ok, last.Value)
		}
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	for i, shown := range c.Ledger() {
		if shown.Value != uint32(i+1) || shown.At.Before(shown.Before) {
			t.Fatalf("entry %d is %+v", i, shown)
		}
	}
}

func TestCounterEndsWithServer(t *testing.T) {
	s := Start(t, 640, 480)
	c, err := StartCounter(s, 10*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	waitLedger(t, c, 1)
	s.Kill()
	<-c.done
	if c.Stop() == nil {
		t.Error("the end of the server was not reported")
	}
}

// grab takes one picture of the screen as BGR0.
func grab(t *testing.T, s *Server, width, height int) []byte {
	t.Helper()
	cmd := exec.Command("ffmpeg", "-nostdin", "-loglevel", "error", "-f", "x11grab", "-i", s.Display(),
		"-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "bgr0", "pipe:1")
	pix, err := cmd.Output()
	if err != nil || len(pix) != width*height*4 {
		t.Fatalf("grab: %v, %d bytes", err, len(pix))
	}
	return pix
}

func TestReadCounter(t *testing.T) {
	for _, want := range []uint32{0, 1, 2, 0x12345678, 0x7fffffff, 0xffffffff} {
		pix := drawPatch(want)
		if got, ok := ReadCounter(pix, PatchWidth, PatchHeight, 4*PatchWidth); !ok || got != want {
			t.Errorf("BGR0 %#x reads as %#x, %v", want, got, ok)
		}
		// The same in gray, in rows longer than the picture is wide.
		const width, stride = 1365, 1376
		gray := make([]byte, stride*PatchHeight)
		for y := range PatchHeight {
			for x := range PatchWidth {
				gray[y*stride+x] = pix[(y*PatchWidth+x)*4]
			}
		}
		if got, ok := ReadCounter(gray, width, PatchHeight, stride); !ok || got != want {
			t.Errorf("gray %#x reads as %#x, %v", want, got, ok)
		}
		// One square turned over is noticed, whichever it is.
		for square := range patchColumns * patchRows {
			turned := append([]byte(nil), gray...)
			for y := range patchSquare {
				for x := range patchSquare {
					turned[(square/patchColumns*patchSquare+y)*stride+square%patchColumns*patchSquare+x] ^= 0xff
				}
			}
			if got, ok := ReadCounter(turned, width, PatchHeight, stride); ok {
				t.Errorf("%#x with square %d turned over reads as %#x", want, square, got)
			}
		}
	}
	for _, level := range []byte{0, 128, 255} {
		pix := make([]byte, 640*480)
		for i := range pix {
			pix[i] = level
		}
		if got, ok := ReadCounter(pix, 640, 480, 640); ok {
			t.Errorf("an even picture of %d reads as %d", level, got)
		}
	}
	if _, ok := ReadCounter(nil, PatchWidth, PatchHeight, PatchWidth); ok {
		t.Error("an empty picture reads as a number")
	}
}

func TestDecodeMP4KeepsTimes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sparse.mp4")
	out, err := exec.Command("ffmpeg", "-nostdin", "-loglevel", "error",
		"-f", "lavfi", "-i", "color=gray:s=642x482:r=5:d=4", "-vf", "select='eq(n,0)+eq(n,1)+eq(n,7)+eq(n,8)+eq(n,19)'",
		"-fps_mode", "passthrough", "-c:v", "libx264", "-bf", "0", "-pix_fmt", "yuv420p",
		"-movflags", "+frag_keyframe+empty_moov+default_base_moof", path).CombinedOutput()
	if err != nil {
		t.Fatalf("encode: %v: %s", err, out)
	}
	pictures, err := DecodeMP4(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	want := []time.Duration{0, 200, 1400, 1600, 3800}
	if len(pictures) != len(want) {
		t.Fatalf("pictures are %+v", pictures)
	}
	for i, p := range pictures {
		if p.OK || p.Width != 642 || p.Height != 482 || (p.At-want[i]*time.Millisecond).Abs() > time.Millisecond {
			t.Errorf("picture %d is %+v, want it at %dms", i, p, want[i])
		}
	}
}

func TestDecodeMP4RefusesBrokenFile(t *testing.T) {
	if pictures, err := DecodeMP4(t.Context(), filepath.Join(t.TempDir(), "none.mp4")); err == nil {
		t.Errorf("no file decodes to %d pictures", len(pictures))
	}
}
