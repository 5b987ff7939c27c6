package join_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/recfleet/recfleet/cli/join"
	"github.com/recfleet/recfleet/internal/ffmpeg"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// film makes an mp4 in one color as encoders make theirs, with more arguments for x264.
func film(t *testing.T, dir, name, color string, width, height int, seconds float64, extra ...string) string {
	t.Helper()
	path := filepath.Join(dir, name+".mp4")
	args := []string{
		"-loglevel", "error", "-f", "lavfi", "-i", fmt.Sprintf("color=%s:s=%dx%d:r=5:d=%g", color, width, height, seconds),
		"-fps_mode", "passthrough", "-enc_time_base", "1/1000", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "23", "-pix_fmt", "yuv420p", "-bf", "0",
	}
	args = append(append(args, extra...), "-video_track_timescale", "1000", "-movflags", "+frag_keyframe+empty_moov+default_base_moof", path)
	if out, err := exec.Command("ffmpeg", args...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

// frames decodes a video and returns its pictures in RGB.
func frames(t *testing.T, path string, width, height int) [][]byte {
	t.Helper()
	var out, messages bytes.Buffer
	cmd := exec.Command("ffmpeg", "-loglevel", "error", "-i", path, "-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
	cmd.Stdout, cmd.Stderr = &out, &messages
	if err := cmd.Run(); err != nil || messages.Len() > 0 {
		t.Fatalf("%v: %s", err, messages.String())
	}
	size := width * height * 3
	if out.Len()%size != 0 {
		t.Fatalf("%d bytes are no pictures of %dx%d", out.Len(), width, height)
	}
	var all [][]byte
	for raw := out.Bytes(); len(raw) > 0; raw = raw[size:] {
		all = append(all, raw[:size])
	}
	return all
}

// looks names the color at a place.
func looks(picture []byte, width, x, y int) string {
	at := (y*width + x) * 3
	r, g, b := picture[at], picture[at+1], picture[at+2]
	const high, low = 180, 60
	switch {
	case r > high && g < low && b < low:
		return "red"
	case r < low && g < low && b > high:
		return "blue"
	case r < low && g < low && b < low:
		return "black"
	}
	return fmt.Sprint(r, " ", g, " ", b)
}

func run(t *testing.T, pieces ...join.Piece) (join.Result, string, []time.Duration) {
	t.Helper()
	var told []time.Duration
	path := filepath.Join(t.TempDir(), "whole % d.part")
	result, err := join.Run(t.Context(), join.Config{
		Pieces: pieces, Work: t.TempDir(), Path: path, Logger: hclog.NewNullLogger(),
		Progress: func(done, total time.Duration) { told = append(told, done, total) },
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := ffmpeg.Probe(t.Context(), path)
	if err != nil || m.Frames != result.Frames || m.Width != result.Width || m.Height != result.Height || m.Duration != result.Duration {
		t.Errorf("%+v is probed as %+v, %v", result, m, err)
	}
	if n := len(told); n < 2 || told[n-1] != told[n-2] {
		t.Errorf("progress %v", told)
	}
	return result, path, told
}

func TestOneSizeIsCopied(t *testing.T) {
	dir := t.TempDir()
	a, b := film(t, dir, "a", "red", 320, 240, 2), film(t, dir, "b", "blue", 320, 240, 3.2)
	result, path, _ := run(t, join.Piece{Path: a}, join.Piece{Path: b}, join.Piece{Path: a})
	if want := (join.Result{Width: 320, Height: 240, Frames: 36, Duration: 7200 * time.Millisecond, Copied: true}); result != want {
		t.Errorf("%+v, want %+v", result, want)
	}
	all := frames(t, path, 320, 240)
	for n, want := range map[int]string{0: "red", 9: "red", 10: "blue", 25: "blue", 26: "red", 35: "red"} {
		if got := looks(all[n], 320, 160, 120); len(all) != 36 || got != want {
			t.Errorf("%d frames, frame %d is %s, not %s", len(all), n, got, want)
		}
	}
}

func TestOtherSizesAreLetterBoxed(t *testing.T) {
	dir := t.TempDir()
	// 320x240 grows to 480x360 within 640x360, 100x300 to 120x360.
	parts := []string{film(t, dir, "a", "red", 320, 240, 2), film(t, dir, "b", "blue", 640, 360, 1), film(t, dir, "c", "red", 100, 300, 1.4)}
	result, path, told := run(t, join.Piece{Path: parts[0]}, join.Piece{Path: parts[1]}, join.Piece{Path: parts[2]})
	if want := (join.Result{Width: 640, Height: 360, Frames: 22, Duration: 4400 * time.Millisecond}); result != want {
		t.Errorf("%+v, want %+v", result, want)
	}
	all := frames(t, path, 640, 360)
	if len(all) != 22 {
		t.Fatalf("%d frames", len(all))
	}
	for _, c := range []struct {
		frame, x, y int
		want        string
	}{
		{0, 320, 180, "red"}, {0, 76, 180, "black"}, {0, 84, 4, "red"}, {0, 556, 356, "red"}, {0, 566, 180, "black"},
		{9, 320, 180, "red"}, {10, 4, 4, "blue"}, {14, 636, 356, "blue"}, {15, 320, 180, "red"}, {21, 320, 180, "red"}, {21, 250, 180, "black"}, {21, 390, 180, "black"},
	} {
		if got := looks(all[c.frame], 640, c.x, c.y); got != c.want {
			t.Errorf("frame %d is %s at %d,%d, not %s", c.frame, got, c.x, c.y, c.want)
		}
	}
	for i := 2; i < len(told); i += 2 {
		if told[i] < told[i-2] || told[i] > told[i+1] {
			t.Errorf("progress goes back: %v", told)
		}
	}
}

// Pictures come at their own times, and the last one lasts until the end of its piece.
func TestTimesStay(t *testing.T) {
	dir := t.TempDir()
	uneven := film(t, dir, "a", "red", 320, 240, 4, "-vf", "select=eq(n\\,0)+eq(n\\,3)+eq(n\\,4)+eq(n\\,17),setpts=N/5/TB+if(gt(N\\,1)\\,7/TB\\,0)")
	m, err := ffmpeg.Probe(t.Context(), uneven)
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]string{"copied": film(t, dir, "b", "blue", 320, 240, 1), "fitted": film(t, dir, "c", "blue", 322, 240, 1)} {
		t.Run(name, func(t *testing.T) {
			result, path, _ := run(t, join.Piece{Path: other}, join.Piece{Path: uneven}, join.Piece{Path: other})
			if want := m.Duration + 2*time.Second; (result.Duration-want).Abs() > 4*time.Millisecond || result.Copied != (name == "copied") || result.Frames != 14 {
				t.Errorf("%+v, want %v", result, want)
			}
			before, after := times(t, uneven), times(t, path)
			for i := range before {
				if off := (after[5+i] - time.Second - before[i]).Abs(); off > 2*time.Millisecond {
					t.Errorf("picture %d comes %v off", i, off)
				}
			}
		})
	}
}

// times returns when each picture comes.
func times(t *testing.T, path string) []time.Duration {
	t.Helper()
	out, err := exec.Command("ffprobe", "-v", "error", "-show_entries", "packet=pts_time", "-of", "csv=p=0", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	var all []time.Duration
	for line := range bytes.FieldsSeq(out) {
		d, err := time.ParseDuration(string(bytes.Trim(line, ",")) + "s")
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

func TestOtherCodecParametersAreNotCopied(t *testing.T) {
	dir := t.TempDir()
	a, b := film(t, dir, "a", "red", 320, 240, 1), film(t, dir, "b", "blue", 320, 240, 1, "-preset", "veryfast")
	result, path, _ := run(t, join.Piece{Path: a}, join.Piece{Path: b})
	if all := frames(t, path, 320, 240); result.Copied || len(all) != 10 || looks(all[0], 320, 9, 9) != "red" || looks(all[9], 320, 9, 9) != "blue" {
		t.Errorf("%+v, %d frames", result, len(all))
	}
}

func TestCards(t *testing.T) {
	dir := t.TempDir()
	a := film(t, dir, "a", "red", 640, 360, 1)
	result, path, _ := run(t, join.Piece{Lines: []string{"not recorded"}, Lasts: 100 * time.Millisecond}, join.Piece{Path: a},
		join.Piece{Lines: []string{"not recorded", "3m12s from 2026-01-02T03:04:05Z", "a cause that is far too long for the width of this small picture: \x1b 用户"}, Lasts: 1500 * time.Millisecond}, join.Piece{Path: a})
	if result.Frames != 1+5+8+5 || result.Duration != 3800*time.Millisecond {
		t.Errorf("%+v", result)
	}
	all := frames(t, path, 640, 360)
	for n, want := range map[int]string{0: "black", 1: "red", 5: "red", 6: "black", 13: "black", 14: "red"} {
		if got := looks(all[n], 640, 3, 3); got != want {
			t.Errorf("frame %d is %s, not %s", n, got, want)
		}
	}
	white := 0
	for i := 0; i < len(all[8]); i += 3 {
		x, y := i/3%640, i/3/640
		if all[8][i] > 200 {
			white++
			if x < 16 || x > 624 || y < 60 || y > 300 {
				t.Fatalf("text at %d,%d", x, y)
			}
		}
	}
	if white < 300 {
		t.Errorf("%d white pixels are no text", white)
	}
	if dir := os.Getenv("RECFLEET_KEEP"); dir != "" {
		raw, _ := os.ReadFile(path)
		_ = os.WriteFile(filepath.Join(dir, "cards.mp4"), raw, 0o644)
	}
}

func TestWhatCannotBeJoined(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text.mp4")
	if err := os.WriteFile(text, []byte("no video"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := film(t, dir, "a", "red", 320, 240, 1)
	cut := filepath.Join(dir, "cut.mp4")
	raw, _ := os.ReadFile(good)
	if err := os.WriteFile(cut, raw[:len(raw)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	for name, pieces := range map[string][]join.Piece{
		"nothing": nil, "only a card": {{Lines: []string{"x"}, Lasts: time.Second}}, "absent": {{Path: filepath.Join(dir, "absent.mp4")}},
		"no video": {{Path: good}, {Path: text}}, "cut": {{Path: good}, {Path: cut}},
	} {
		if result, err := join.Run(t.Context(), join.Config{Pieces: pieces, Work: t.TempDir(), Path: filepath.Join(t.TempDir(), "x"), Logger: hclog.NewNullLogger()}); err == nil {
			t.Errorf("%s: %+v", name, result)
		}
	}
}

func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	a, b := film(t, dir, "a", "red", 640, 360, 20), film(t, dir, "b", "red", 320, 240, 20)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := join.Run(ctx, join.Config{
		Pieces: []join.Piece{{Path: a}, {Path: b}}, Work: t.TempDir(), Path: filepath.Join(t.TempDir(), "x"), Logger: hclog.NewNullLogger(),
		Progress: func(time.Duration, time.Duration) { cancel() },
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
