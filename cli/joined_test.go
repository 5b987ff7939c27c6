package cli

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/internal/ffmpeg"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// newFilmed returns a fixture whose session a1 has two real mp4s of two seconds each, with a gap of a minute between them.
func newFilmed(t *testing.T, sizes ...string) *fixture {
	t.Helper()
	f := newFixture(t)
	for n, size := range sizes {
		path := filepath.Join(t.TempDir(), "x.mp4")
		out, err := exec.Command("ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i", fmt.Sprintf("color=red:s=%s:r=5:d=2", size),
			"-c:v", "libx264", "-pix_fmt", "yuv420p", "-bf", "0", "-video_track_timescale", "1000", "-movflags", "+frag_keyframe+empty_moov", path).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if f.files[int32(n+1)], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	f.sessions[0] = session("a1", f.files)
	s := f.sessions[0]
	at := func(seconds int) *timestamppb.Timestamp {
		return timestamppb.New(began.Add(time.Duration(seconds) * time.Second))
	}
	s.Segments[0].EndTime, s.Segments[1].StartTime = at(2), at(62)
	s.Gaps = []*recfleetv1.Gap{{StartTime: at(2), EndTime: at(62), Cause: "agent_lost"}}
	return f
}

func TestJoin(t *testing.T) {
	for name, c := range map[string]struct {
		sizes  []string
		args   []string
		frames int64
		lasts  time.Duration
		size   string
		how    string
	}{
		"gap shown":                   {[]string{"320x240", "640x360"}, nil, 45, 9 * time.Second, "640x360", "encoded anew"},
		"gap cut":                     {[]string{"320x240", "640x360"}, []string{"--gaps", "cut"}, 20, 4 * time.Second, "640x360", "encoded anew"},
		"gap cut, size never changed": {[]string{"320x240", "320x240"}, []string{"--gaps", "cut"}, 20, 4 * time.Second, "320x240", "copied"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFilmed(t, c.sizes...)
			f.bars = true
			exit, stdout, stderr := f.download(t, append(c.args, "--join")...)
			path := filepath.Join(f.dir, "a1.mp4")
			if exit != exitOK || stdout != path+"\n" || f.names(t) != "a1.mp4" || !strings.Contains(stderr, c.how) || !strings.Contains(stderr, "100%") {
				t.Fatalf("exit %d, stdout %q, stderr %q, directory %s", exit, stdout, stderr, f.names(t))
			}
			m, err := ffmpeg.Probe(t.Context(), path)
			if err != nil || m.Frames != c.frames || (m.Duration-c.lasts).Abs() > 5*time.Millisecond || size(int32(m.Width), int32(m.Height)) != c.size {
				t.Errorf("%+v, %v", m, err)
			}
		})
	}
}

func TestJoinUsesWhatIsThere(t *testing.T) {
	f := newFilmed(t, "320x240", "320x240")
	if exit, _, stderr := f.download(t); exit != exitOK {
		t.Fatal(stderr)
	}
	if exit, _, stderr := f.download(t, "--join", "--gaps", "cut"); exit != exitOK || len(f.offsets) != 2 || f.names(t) != "a1-000001.mp4 a1-000002.mp4 a1.mp4" {
		t.Errorf("exit %d, %d downloads, directory %s, stderr %q", exit, len(f.offsets), f.names(t), stderr)
	}
}

func TestJoinGoesOnInTheNextRun(t *testing.T) {
	f := newFilmed(t, "320x240", "320x240")
	f.tamper = func(n int, data []byte) ([]byte, error) {
		if n == 1 {
			return data[:100], status.Error(codes.PermissionDenied, "right taken back")
		}
		return data, nil
	}
	if exit, _, _ := f.download(t, "--join", "--gaps", "cut"); exit != exitDenied || f.names(t) != "a1.parts" {
		t.Errorf("exit %d, directory %s", exit, f.names(t))
	}
	if exit, _, stderr := f.download(t, "--join", "--gaps", "cut"); exit != exitOK || f.names(t) != "a1.mp4" || len(f.offsets) != 3 || f.offsets[2] != 100 {
		t.Errorf("exit %d, offsets %v, directory %s, stderr %q", exit, f.offsets, f.names(t), stderr)
	}
}

func TestJoinOverwritesNothing(t *testing.T) {
	f := newFilmed(t, "320x240", "320x240")
	path := filepath.Join(f.dir, "a1.mp4")
	f.file(t, path, "mine", 0o600)
	exit, _, stderr := f.download(t, "--join")
	if raw, _ := os.ReadFile(path); exit != exitFailed || string(raw) != "mine" || !strings.Contains(stderr, "was kept") || len(f.offsets) > 0 {
		t.Errorf("exit %d, stderr %q, it holds %q", exit, stderr, raw)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	f.tamper = func(_ int, data []byte) ([]byte, error) { // it appears meanwhile
		f.file(t, path, "mine", 0o600)
		return data, nil
	}
	exit, _, stderr = f.download(t, "--join", "--gaps", "cut")
	if raw, _ := os.ReadFile(path); exit != exitFailed || string(raw) != "mine" || !strings.Contains(stderr, "was kept") {
		t.Errorf("exit %d, stderr %q, it holds %q", exit, stderr, raw)
	}
}

func TestWhatIsNotWholeIsNotJoined(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*fixture)
		args   []string
		exit   int
		want   string
		names  string
	}{
		"goes on":        {change: func(f *fixture) { f.sessions[0].State = recording }, exit: exitFailed, want: "still recording"},
		"wrong bytes":    {change: func(f *fixture) { f.files[2] = bytes.Repeat([]byte("x"), len(f.files[2])) }, exit: exitFailed, want: "SHA-256", names: "a1.parts"},
		"of some":        {args: []string{"--segment", "1"}, exit: exitUsage, want: "--join"},
		"unknown gaps":   {args: []string{"--gaps", "hide"}, exit: exitUsage, want: `--gaps: "hide" is none of show, cut`},
		"nothing at all": {change: func(f *fixture) { f.sessions[0].Segments = nil }, exit: exitFailed, want: "no recordings"},
		"quarantined":    {change: func(f *fixture) { f.sessions[0].Segments[1].Recording = nil }, exit: exitFailed, want: "segment 2 of session a1 is not archived", names: "a1.mp4"},
		"no video": {change: func(f *fixture) {
			f.files[1], f.files[2] = []byte("x"), []byte("y")
			f.sessions[0] = session("a1", f.files)
		}, exit: exitFailed, want: "join: probe", names: "a1.parts"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFilmed(t, "320x240", "320x240")
			if c.change != nil {
				c.change(f)
			}
			exit, _, stderr := f.download(t, append(c.args, "--join")...)
			if exit != c.exit || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 || f.names(t) != c.names {
				t.Errorf("exit %d, stderr %q, directory %q", exit, stderr, f.names(t))
			}
		})
	}
}
