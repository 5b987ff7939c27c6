package desktop

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Pictures much closer together than the others are decoded like any, at their own times.
func TestPicturesAtIrregularTimesAreDecoded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "irregular.mp4")
	out, err := exec.CommandContext(t.Context(), "ffmpeg", "-nostdin", "-v", "error", "-f", "lavfi", "-i", "color=gray:size=640x64:rate=5",
		"-vf", "settb=1/1000,setpts='N*200-if(eq(N,3),150,0)'", "-frames:v", "6", "-fps_mode", "passthrough", "-enc_time_base", "1:1000",
		"-c:v", "libx264", "-bf", "0", "-pix_fmt", "yuv420p", "-video_track_timescale", "1000", path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pictures, err := DecodeMP4(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	var times []time.Duration
	for _, p := range pictures {
		times = append(times, p.At)
	}
	want := []time.Duration{0, 200, 400, 450, 800, 1000}
	if len(times) != len(want) {
		t.Fatalf("pictures at %v", times)
	}
	for i := range want {
		if times[i] != want[i]*time.Millisecond {
			t.Errorf("picture %d at %v instead of %v", i, times[i], want[i]*time.Millisecond)
		}
	}
}
