package ffmpeg

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, cfg Config) *Process {
	t.Helper()
	cfg.Logger = hclog.NewNullLogger()
	p, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRawFramesComeThroughThePipe(t *testing.T) {
	p := start(t, Config{Stdout: true, Args: []string{"-nostdin", "-v", "error", "-f", "lavfi", "-i", "color=red:size=64x48:rate=5",
		"-frames:v", "3", "-f", "rawvideo", "-pix_fmt", "bgr0", "pipe:1"}})
	raw, err := io.ReadAll(p.Stdout())
	if err != nil {
		t.Fatal(err)
	}
	exit, err := p.Wait()
	if err != nil || exit.Code != 0 || exit.Stderr != "" {
		t.Fatalf("exit %v, %v", exit, err)
	}
	if len(raw) != 3*64*48*4 {
		t.Errorf("%d bytes came", len(raw))
	}
}

func TestStderrIsKept(t *testing.T) {
	p := start(t, Config{Args: []string{"-nostdin", "-v", "error", "-i", "absent.mp4"}})
	exit, err := p.Wait()
	if err != nil || exit.Code == 0 || !strings.Contains(exit.String(), "absent.mp4") {
		t.Errorf("exit %q, %v", exit, err)
	}
}

func TestStopEndsPolitely(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.mp4")
	p := start(t, Config{Args: []string{"-nostdin", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc=size=64x48:rate=25",
		"-c:v", "libx264", "-pix_fmt", "yuv420p", "-t", "60", "-movflags", "+frag_keyframe+empty_moov", "-g", "5", "-flush_packets", "1", out}})
	waitFor(t, func() bool { i, err := os.Stat(out); return err == nil && i.Size() > 0 })
	p.Stop(20 * time.Second)
	exit, err := p.Wait()
	if err != nil || exit.Signal != "" {
		t.Fatalf("exit %v, %v", exit, err)
	}
	m, err := Probe(t.Context(), out)
	if err != nil || m.Codec != "h264" || m.PixelFormat != "yuv420p" || m.Width != 64 || m.Height != 48 || m.Frames == 0 || m.Duration == 0 {
		t.Errorf("probe %+v, %v", m, err)
	}
}

func TestAHangingProcessIsKilled(t *testing.T) {
	p := start(t, Config{Stdin: true, Args: []string{"-v", "error", "-f", "rawvideo", "-s", "64x48", "-i", "pipe:0", "-f", "null", "-"}})
	// Before it catches the interrupt, the interrupt would end it, stopped or not.
	waitFor(t, func() bool { return catches(t, p.PID(), syscall.SIGINT) })
	if err := syscall.Kill(p.PID(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p.Stop(50 * time.Millisecond)
	exit, err := p.Wait()
	if err != nil || exit.Signal != syscall.SIGKILL.String() {
		t.Errorf("exit %v, %v", exit, err)
	}
	p.Kill() // of a process that is gone: harmless
}

func TestProbeRefusesWhatIsNotAVideo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.mp4")
	if err := os.WriteFile(path, []byte("no video"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Probe(t.Context(), path); err == nil {
		t.Error("a text was probed as a video")
	}
}

func TestVersion(t *testing.T) {
	v, err := Version(t.Context())
	if err != nil || v == "" {
		t.Errorf("version %q, %v", v, err)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	w := &tail{}
	for range 1000 {
		if _, err := w.Write([]byte("0123456789")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write([]byte("end")); err != nil {
		t.Fatal(err)
	}
	if s := w.String(); len(s) != tailBytes || !strings.HasSuffix(s, "end") {
		t.Errorf("%d bytes kept, the last %q", len(s), s[len(s)-10:])
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatal("it did not happen in time")
		case <-tick.C:
		}
	}
}

// catches reports whether a process has a handler for a signal (proc(5), SigCgt).
func catches(t *testing.T, pid int, signal syscall.Signal) bool {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if mask, ok := strings.CutPrefix(line, "SigCgt:"); ok {
			set, err := strconv.ParseUint(strings.TrimSpace(mask), 16, 64)
			return err == nil && set>>(signal-1)&1 == 1
		}
	}
	return false
}
