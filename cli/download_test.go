package cli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// downloaded checks a download's content.
func (f *fixture) downloaded(t *testing.T, segment int32) {
	t.Helper()
	raw, err := os.ReadFile(f.path(segment))
	if err != nil || !bytes.Equal(raw, f.files[segment]) {
		t.Errorf("segment %d: %d bytes, %v", segment, len(raw), err)
	}
}

func (f *fixture) path(segment int32) string {
	return filepath.Join(f.dir, fmt.Sprintf("a1-%06d.mp4", segment))
}

// names lists what is in the download directory.
func (f *fixture) names(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func (f *fixture) download(t *testing.T, args ...string) (int, string, string) {
	t.Helper()
	return f.run(t, append([]string{"recordings", "download", "a1", "--dir", f.dir}, args...)...)
}

func TestDownload(t *testing.T) {
	f := newFixture(t)
	f.dir = filepath.Join(f.dir, "new", "directory")
	exit, stdout, stderr := f.download(t)
	if exit != exitOK || stdout != f.path(1)+"\n"+f.path(2)+"\n" || stderr != "" {
		t.Errorf("exit %d, stdout %q, stderr %q", exit, stdout, stderr)
	}
	f.downloaded(t, 1)
	f.downloaded(t, 2)
	if names := f.names(t); names != "a1-000001.mp4 a1-000002.mp4" {
		t.Errorf("directory holds %s", names)
	}
	exit, stdout, _ = f.download(t)
	if exit != exitOK || strings.Count(stdout, "was there already") != 2 || len(f.offsets) != 2 {
		t.Errorf("again: exit %d, stdout %q, %d downloads", exit, stdout, len(f.offsets))
	}
}

func TestDownloadWithoutAReasonIsRefusedOnce(t *testing.T) {
	for _, args := range [][]string{nil, {"--join"}} {
		f := newFixture(t)
		f.refuse["download"] = status.Error(codes.InvalidArgument, "reason: is missing")
		exit, stdout, stderr := f.download(t, args...)
		if exit != exitUsage || stdout != "" || strings.Count(stderr, "reason: is missing") != 1 {
			t.Errorf("%v: exit %d, stdout %q, stderr %q", args, exit, stdout, stderr)
		}
	}
}

func TestDownloadOfOneSegment(t *testing.T) {
	f := newFixture(t)
	f.bars = true
	exit, _, stderr := f.download(t, "--segment", "2")
	if names := f.names(t); exit != exitOK || names != "a1-000002.mp4" {
		t.Errorf("exit %d, directory holds %s", exit, names)
	}
	if !strings.Contains(stderr, "segment 2") || !strings.Contains(stderr, "100%") {
		t.Errorf("no progress bar on a terminal: %q", stderr)
	}
}

func TestDownloadGoesOnAfterBreaks(t *testing.T) {
	f := newFixture(t)
	f.tamper = func(n int, data []byte) ([]byte, error) {
		switch n {
		case 0:
			return data[:100_000], status.Error(codes.Unavailable, "archive is restarting")
		case 1:
			return nil, status.Error(codes.Unavailable, "archive is restarting")
		case 2:
			return data[:50_000], nil // an end too early
		}
		return data, nil
	}
	exit, _, stderr := f.download(t)
	if exit != exitOK || !slices.Equal(f.offsets, []int64{0, 100_000, 100_000, 150_000, 0}) {
		t.Errorf("exit %d, offsets %v, stderr %q", exit, f.offsets, stderr)
	}
	f.downloaded(t, 1)
}

func TestDownloadGoesOnInTheNextRun(t *testing.T) {
	f := newFixture(t)
	f.tamper = func(n int, data []byte) ([]byte, error) {
		if n == 0 {
			return data[:70_000], status.Error(codes.PermissionDenied, "right taken back")
		}
		return data, nil
	}
	exit, _, stderr := f.download(t, "--segment", "1")
	if exit != exitDenied || f.names(t) != "a1-000001.mp4.part" {
		t.Errorf("exit %d, directory %s, stderr %q", exit, f.names(t), stderr)
	}
	if exit, _, stderr = f.download(t, "--segment", "1"); exit != exitOK || f.offsets[1] != 70_000 || f.names(t) != "a1-000001.mp4" {
		t.Errorf("exit %d, offsets %v, stderr %q", exit, f.offsets, stderr)
	}
	f.downloaded(t, 1)
}

func TestForeignPartIsReplaced(t *testing.T) {
	for name, content := range map[string][]byte{"short": []byte("not it"), "long": bytes.Repeat([]byte{1}, 1<<20), "whole": bytes.Repeat([]byte("x"), 360_000)} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			if err := os.WriteFile(f.path(1)+".part", content, 0o600); err != nil {
				t.Fatal(err)
			}
			if exit, _, stderr := f.download(t); exit != exitOK {
				t.Errorf("exit %d, stderr %q", exit, stderr)
			}
			f.downloaded(t, 1)
		})
	}
}

func TestWrongBytesAreNeverKept(t *testing.T) {
	for name, tamper := range map[string]func(int, []byte) ([]byte, error){
		"changed":  func(_ int, data []byte) ([]byte, error) { data[len(data)/2]++; return data, nil },
		"too many": func(_ int, data []byte) ([]byte, error) { return append(data, 1), nil },
		"too few":  func(_ int, data []byte) ([]byte, error) { return data[:min(len(data), 10)/20], nil },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.tamper = tamper
			exit, stdout, stderr := f.download(t, "--segment", "1")
			if exit != exitFailed || stdout != "" || f.names(t) != "a1-000001.mp4.part" {
				t.Errorf("exit %d, stdout %q, stderr %q, directory %s", exit, stdout, stderr, f.names(t))
			}
		})
	}
}

func TestAnotherFileIsNeverOverwritten(t *testing.T) {
	f := newFixture(t)
	if err := os.WriteFile(f.path(1), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	exit, stdout, stderr := f.download(t)
	if exit != exitFailed || !strings.Contains(stderr, "kept") || stdout != f.path(2)+"\n" {
		t.Errorf("exit %d, stdout %q, stderr %q", exit, stdout, stderr)
	}
	if raw, err := os.ReadFile(f.path(1)); err != nil || string(raw) != "mine" {
		t.Errorf("it holds %q, %v", raw, err)
	}
}

func TestAFileThatAppearsMeanwhileIsNotOverwritten(t *testing.T) {
	f := newFixture(t)
	f.tamper = func(_ int, data []byte) ([]byte, error) {
		if err := os.WriteFile(f.path(1), []byte("mine"), 0o600); err != nil {
			t.Error(err)
		}
		return data, nil
	}
	exit, _, stderr := f.download(t, "--segment", "1")
	if raw, err := os.ReadFile(f.path(1)); exit != exitFailed || err != nil || string(raw) != "mine" {
		t.Errorf("exit %d, stderr %q, it holds %q, %v", exit, stderr, raw, err)
	}
}

func TestWhatIsMissingIsToldAndTheRestDownloaded(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*recfleetv1.Session)
		want   string
	}{
		"segment not archived": {func(s *recfleetv1.Session) { s.Segments[1].Recording = nil }, "segment 2 of session a1 is not archived"},
		"session goes on":      {func(s *recfleetv1.Session) { s.State = recfleetv1.SessionState_SESSION_STATE_RECORDING }, "still being recorded"},
		"hostile recording":    {func(s *recfleetv1.Session) { s.Segments[1].Recording.SessionId = "../../x" }, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			c.change(f.sessions[0])
			exit, _, stderr := f.download(t)
			if exit != exitFailed || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("exit %d, stderr %q", exit, stderr)
			}
			f.downloaded(t, 1)
		})
	}
}

func TestSilentDownloadIsGivenUp(t *testing.T) {
	f := newFixture(t)
	f.tamper = func(_ int, data []byte) ([]byte, error) { return data[:min(len(data), 0)], errHang }
	exit, _, stderr := f.download(t, "--segment", "1", "--timeout", "300ms")
	if exit != exitUnavailable || !strings.Contains(stderr, "in time") {
		t.Errorf("exit %d, stderr %q", exit, stderr)
	}
}

func TestInterruptedDownloadKeepsItsPart(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	f.tamper = func(_ int, data []byte) ([]byte, error) {
		cancel()
		return data[:70_000], errHang
	}
	exit, _, stderr := f.runContext(ctx, "recordings", "download", "a1", "--dir", f.dir)
	if exit != exitFailed || stderr != "recctl: interrupted\n" || f.names(t) != "a1-000001.mp4.part" {
		t.Errorf("exit %d, stderr %q, directory %s", exit, stderr, f.names(t))
	}
}

func TestUnwritableDirectory(t *testing.T) {
	f := newFixture(t)
	f.dir = "/dev/null/x"
	if exit, _, stderr := f.download(t); exit != exitUsage {
		t.Errorf("exit %d, stderr %q", exit, stderr)
	}
}

func TestRecordingsTable(t *testing.T) {
	f := newFixture(t)
	exit, stdout, stderr := f.run(t, "recordings", "list", "a1", "--time", "utc")
	want := `SEGMENT  STARTED               LENGTH  SIZE       FRAMES  BYTES     LOCATION
1        2026-01-02T03:04:05Z  8.0s    1920x1080  40      360.0 kB  file:///a/k/video-000001.mp4
2        2026-01-02T03:04:13Z  8.0s    1920x1080  40      10 B      file:///a/k/video-000002.mp4
`
	if exit != exitOK || stdout != want || stderr != "" {
		t.Errorf("exit %d, stderr %q, stdout\n%s", exit, stderr, stdout)
	}
}
