package worker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/ffmpeg"
	"github.com/recfleet/recfleet/internal/object"
	"github.com/recfleet/recfleet/internal/screencodec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	session = "s1"
	key     = "a/video-000001.mp4"
	rate    = 5
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)

func TestJobIsDone(t *testing.T) {
	for _, size := range [][2]int{{1, 1}, {3, 5}, {321, 243}} {
		t.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(t *testing.T) {
			r, f := record(t, size[0], size[1], 20), newFixture(t)
			var seen []int64
			w := New(Config{Reader: r, Archive: f.store, WorkDir: f.workDir, Stall: time.Minute, Logger: hclog.NewNullLogger()})
			result, err := w.Run(t.Context(), r.job, func(n int64) { seen = append(seen, n) })
			if err != nil {
				t.Fatal(err)
			}
			if seen[len(seen)-1] != 20 {
				t.Errorf("progress %v", seen)
			}
			body, _, err := f.store.Get(t.Context(), key, 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			mp4, err := io.ReadAll(body)
			body.Close()
			if err != nil || result.Bytes != int64(len(mp4)) || result.SHA256 != sha256.Sum256(mp4) {
				t.Errorf("archived %d bytes, result %+v, %v", len(mp4), result, err)
			}
			if result.Captured != 20 || result.Width != (size[0]+1)&^1 || result.Height != (size[1]+1)&^1 ||
				(result.Duration-r.job.Source.Duration).Abs() > time.Millisecond {
				t.Errorf("result %+v", result)
			}
			if got := r.compare(t, mp4); result.Frames != int64(got) {
				t.Errorf("result says %d frames, there are %d", result.Frames, got)
			}
			entries, err := os.ReadDir(f.workDir)
			if err != nil || len(entries) != 0 {
				t.Errorf("work directory holds %v, %v", entries, err)
			}
			if _, err := f.run(t.Context(), r, r.job); err != nil {
				t.Errorf("the same job again: %v", err)
			}
		})
	}
}

func TestSettingsOfPolicyHold(t *testing.T) {
	r, f := record(t, 321, 243, 20), newFixture(t)
	r.job.Settings.MaxWidth, r.job.Settings.MaxFrameRate, r.job.Settings.Bitrate = 160, 2, 100_000
	result, err := f.run(t.Context(), r, r.job)
	if err != nil {
		t.Fatal(err)
	}
	if result.Width != 160 || result.Height != 122 || result.Captured != 20 || result.Frames > 10 {
		t.Errorf("result %+v", result)
	}
}

// compare decodes the mp4 and holds against it what was on screen at every time at which a picture was taken. It returns the
// number of its frames: there is one for each picture that differs from the one before, at its time, and few others.
func (r *recorded) compare(t *testing.T, mp4 []byte) int {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.mp4")
	if err := os.WriteFile(path, mp4, 0o600); err != nil {
		t.Fatal(err)
	}
	s := r.job.Source
	evenW, evenH := (s.Width+1)&^1, (s.Height+1)&^1
	out := output(t, "-i", path, "-fps_mode", "passthrough", "-enc_time_base", "1/1000", "-f", "framecrc", "pipe:1")
	var times []time.Duration
	for line := range strings.Lines(string(out)) {
		var ms, ignored int64
		if n, _ := fmt.Sscanf(line, "0, %d, %d,", &ignored, &ms); n == 2 {
			times = append(times, time.Duration(ms)*time.Millisecond)
		}
	}
	raw := output(t, "-i", path, "-fps_mode", "passthrough", "-enc_time_base", "1/1000", "-vf", "scale=flags=accurate_rnd+full_chroma_int,format=bgr0", "-f", "rawvideo", "pipe:1")
	if len(raw) != len(times)*evenW*evenH*4 {
		t.Fatalf("%d times, %d bytes of pictures", len(times), len(raw))
	}
	shown, kept := -1, 0
	for i := range r.at {
		if i == 0 || i == len(r.at)-1 || !bytes.Equal(r.pix[i], r.pix[i-1]) {
			kept++
			if shown+1 == len(times) || times[shown+1] != r.at[i].Round(time.Millisecond) {
				t.Fatalf("frame %d at %v is not in the mp4: %v", i, r.at[i], times)
			}
		}
		for shown+1 < len(times) && times[shown+1] <= r.at[i]+time.Millisecond/2 {
			shown++
		}
		if age := r.at[i] - times[shown]; age > stillInterval {
			t.Errorf("at frame %d the one that is shown is %v old", i, age)
		}
		// The luma of text and edges is kept, its color only by halves: compare brightness.
		got := raw[shown*evenW*evenH*4:]
		var sum float64
		for y := range s.Height {
			for x := range s.Width {
				d := luma(r.pix[i][(y*s.Width+x)*4:]) - luma(got[(y*evenW+x)*4:])
				sum += d * d
			}
		}
		if mean := sum / float64(s.Width*s.Height); mean > 6.5 { // 40 dB
			t.Errorf("frame %d: mean square error of luma %.1f", i, mean)
		}
	}
	if len(times) > kept+2 { // those that end a still stretch before the 7 s
		t.Errorf("%d frames where %d pictures differ", len(times), kept)
	}
	return len(times)
}

func luma(p []byte) float64 {
	return 0.0722*float64(p[0]) + 0.7152*float64(p[1]) + 0.2126*float64(p[2])
}

func output(t *testing.T, args ...string) []byte {
	t.Helper()
	p, err := ffmpeg.Start(ffmpeg.Config{Args: append([]string{"-nostdin", "-v", "error"}, args...), Stdout: true, Logger: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(p.Stdout())
	exit, waitErr := p.Wait()
	if err != nil || waitErr != nil || exit.Code != 0 || exit.Stderr != "" {
		t.Fatalf("ffmpeg: %v, %v, %v", exit, err, waitErr)
	}
	return out
}

func TestAStreamWithoutEndRecordIsEncodedWhenAllFramesAreThere(t *testing.T) {
	r, f := record(t, 64, 64, 10), newFixture(t)
	for { // shorter and shorter, until the last frame is hurt
		r.stream = r.stream[:len(r.stream)-7]
		r.cut()
		summary, err := screencodec.Scan(bytes.NewReader(r.stream))
		if err != nil || summary.Ended {
			t.Fatalf("scan %+v, %v", summary, err)
		}
		r.job.ObjectKey = fmt.Sprintf("a/%d.mp4", len(r.stream))
		_, err = f.run(t.Context(), r, r.job)
		if summary.Frames < 10 {
			wantFailure(t, err, Content, "truncated")
			return
		}
		if err != nil {
			t.Fatalf("with %d bytes: %v", len(r.stream), err)
		}
	}
}

func wantFailure(t *testing.T, err error, cause Cause, text string) {
	t.Helper()
	var failure *Failure
	if !errors.As(err, &failure) || failure.Cause != cause || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v, want cause %v and %q", err, cause, text)
	}
}

// What a lost agent left after a hole in its chunks has no known chain before it; the chain inside still holds.
func TestASegmentAfterABrokenChainIsEncoded(t *testing.T) {
	r, f := record(t, 64, 48, 10), newFixture(t)
	r.job.Source.ChainStart = chunk.Hash{}
	if _, err := f.run(t.Context(), r, r.job); err != nil {
		t.Fatal(err)
	}
	r, f = record(t, 64, 48, 10), newFixture(t)
	r.job.Source.ChainStart = chunk.Hash{}
	r.chunks[1].Chain[0]++
	var failed *Failure
	if _, err := f.run(t.Context(), r, r.job); !errors.As(err, &failed) || failed.Cause != Content {
		t.Errorf("a broken chain inside: %v", err)
	}
	f.nothingLeft(t)
}

func TestFailuresAreClassified(t *testing.T) {
	whole := record(t, 64, 64, 12)
	for name, c := range map[string]struct {
		damage func(*recorded)
		cause  Cause
		text   string
	}{
		"payload":        {func(r *recorded) { r.chunks[2].Payload = append([]byte{1}, r.chunks[2].Payload[1:]...) }, Content, "verify chunk 2: its bytes"},
		"chain":          {func(r *recorded) { r.chunks[1].Chain[0]++ }, Content, "verify chunk 1: the hash chain"},
		"chain start":    {func(r *recorded) { r.job.Source.ChainStart[0]++ }, Content, "verify chunk 0: the hash chain"},
		"chain end":      {func(r *recorded) { r.job.Source.ChainEnd[0]++ }, Content, "the hash chain ends"},
		"offset":         {func(r *recorded) { r.chunks[1].Offset++ }, Content, "begins at byte"},
		"other session":  {func(r *recorded) { r.chunks[1].Session = "s2" }, Content, "session s2"},
		"missing chunk":  {func(r *recorded) { r.chunks = r.chunks[:3] }, Content, "not on the bus"},
		"fewer chunks":   {func(r *recorded) { r.job.Source.Chunks-- }, Content, "bytes came instead"},
		"byte count":     {func(r *recorded) { r.job.Source.Bytes-- }, Content, "goes past the segment"},
		"more frames":    {func(r *recorded) { r.job.Source.Frames++ }, Content, "12 frames came instead of 13"},
		"fewer frames":   {func(r *recorded) { r.job.Source.Frames-- }, Content, "limit"},
		"width":          {func(r *recorded) { r.job.Source.Width++ }, Content, "instead of 65x64"},
		"height":         {func(r *recorded) { r.job.Source.Height-- }, Content, "limit"},
		"start":          {func(r *recorded) { r.job.Source.Start = start.Add(time.Second) }, Content, "starts at"},
		"duration":       {func(r *recorded) { r.job.Source.Duration -= time.Second }, Content, "out of order"},
		"preset":         {func(r *recorded) { r.job.Settings.Preset = "-f" }, Content, "preset"},
		"frame rate":     {func(r *recorded) { r.job.Settings.FrameRate = 0 }, Content, "frame rate"},
		"hostile id":     {func(r *recorded) { r.job.Source.Session = "../x" }, Content, "session id"},
		"hostile key":    {func(r *recorded) { r.job.ObjectKey = "../../x.mp4" }, Content, "key"},
		"no stream":      {func(r *recorded) { r.stream = []byte("this is no stream, whatever it says"); r.cut() }, Content, "corrupt"},
		"bytes after it": {func(r *recorded) { r.stream = append(r.stream, bytes.Repeat([]byte{9}, 300<<10)...); r.cut() }, Content, "after its end"},
		"changed stream": {func(r *recorded) { r.stream = bytes.Clone(r.stream); r.stream[len(r.stream)/2] ^= 0x10; r.cut() }, Content, "corrupt"},
	} {
		t.Run(name, func(t *testing.T) {
			f, r := newFixture(t), *whole
			r.stream = slices.Clone(whole.stream)
			r.cut()
			c.damage(&r)
			_, err := f.run(t.Context(), &r, r.job)
			wantFailure(t, err, c.cause, c.text)
			f.nothingLeft(t)
		})
	}
}

// brokenBus fails after some chunks.
type brokenBus struct{ *recorded }

func (b brokenBus) Read(ctx context.Context, session string, segment, _ int, yield func(chunk.Chunk) error) error {
	if err := b.recorded.Read(ctx, session, segment, 2, yield); err != nil {
		return err
	}
	return errors.New("connection lost")
}

// brokenArchive fails every Put with its error.
type brokenArchive struct{ err error }

func (b brokenArchive) Put(context.Context, string, io.ReadSeeker, object.PutOptions) (object.Info, error) {
	return object.Info{}, b.err
}

func TestTheDestinationsFault(t *testing.T) {
	r, f := record(t, 64, 64, 10), newFixture(t)
	_, err := f.run(t.Context(), brokenBus{r}, r.job)
	wantFailure(t, err, Destination, "connection lost")
	f.nothingLeft(t)

	w := New(Config{Reader: r, Archive: brokenArchive{object.ErrUnavailable}, WorkDir: f.workDir, Stall: time.Minute, Logger: hclog.NewNullLogger()})
	_, err = w.Run(t.Context(), r.job, func(int64) {})
	wantFailure(t, err, Destination, "unavailable")
	f.nothingLeft(t)

	if _, err := f.store.Put(t.Context(), key, strings.NewReader("taken"), object.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err = f.run(t.Context(), r, r.job)
	wantFailure(t, err, Destination, "exists")
}

func TestTheEncodersFault(t *testing.T) {
	r, f := record(t, 64, 64, 10), newFixture(t)
	t.Run("no FFmpeg", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		_, err := f.run(t.Context(), r, r.job)
		wantFailure(t, err, Encoder, "ffmpeg")
		f.nothingLeft(t)
	})
	t.Run("no ffprobe", func(t *testing.T) {
		lookup, err := exec.LookPath("ffmpeg")
		dir := t.TempDir()
		if err = errors.Join(err, os.Symlink(lookup, filepath.Join(dir, "ffmpeg"))); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir)
		_, err = f.run(t.Context(), r, r.job)
		wantFailure(t, err, Encoder, "ffprobe")
		f.nothingLeft(t)
	})
	t.Run("no work directory", func(t *testing.T) {
		f := &fixture{store: f.store, workDir: filepath.Join(f.workDir, "absent")}
		_, err := f.run(t.Context(), r, r.job)
		wantFailure(t, err, Encoder, "work directory")
	})
	t.Run("disk full", func(t *testing.T) {
		shim(t, "ffmpeg", "cat >/dev/null; echo 'out.mp4: No space left on device' >&2; exit 1")
		_, err := f.run(t.Context(), r, r.job)
		wantFailure(t, err, Encoder, "no space")
		f.nothingLeft(t)
	})
}

// shim puts a shell script in a program's place; REAL in it is the real one.
func shim(t *testing.T, program, script string) {
	t.Helper()
	lookup, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script = "#!/bin/sh\n" + strings.ReplaceAll(script, "REAL", lookup) + "\n"
	if err := os.WriteFile(filepath.Join(dir, program), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// An encoder that may not see what lies under its key says what it has made: the coordinator compares.
func TestWhatMayNotBeReadIsReported(t *testing.T) {
	f := newFixture(t)
	r := record(t, 64, 64, 10)
	unread := fmt.Errorf("%w: %w", object.ErrUnread, object.ErrUnavailable)
	w := New(Config{Reader: r, Archive: brokenArchive{unread}, WorkDir: f.workDir, Stall: time.Minute, Logger: hclog.NewNullLogger()})
	got, err := w.Run(t.Context(), r.job, func(int64) {})
	if err != nil || got.ObjectVersion != "" || got.Bytes == 0 || got.SHA256 == [32]byte{} || got.Captured != 10 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestFFmpegThatCheatsArchivesNothing(t *testing.T) {
	for name, c := range map[string]struct{ script, text string }{
		"crashes":       {"head -c 1000 >/dev/null; kill -SEGV $$", "segmentation fault"},
		"drops a frame": {`exec REAL -nostdin -v error -f matroska -i pipe:0 -vf "select=not(eq(n\\,3))" -fps_mode passthrough -enc_time_base 1/2000 -c:v libx264 -pix_fmt yuv420p -bf 0 -f mp4 "$(eval echo \${$#} | sed s/^file://)"`, "frames instead of"},
		"writes none":   {"exec cat >/dev/null", "No such file"},
		"writes text":   {`cat >/dev/null; eval last=\${$#}; echo hello >"${last#file:}"`, "Invalid data"},
		"wrong times":   {`eval last=\${$#}; exec REAL -nostdin -v error -f matroska -i pipe:0 -fps_mode passthrough -vf setpts=N -enc_time_base 1/1000 -c:v libx264 -pix_fmt yuv420p -bf 0 -f mp4 "$last"`, "lasts"},
		"other format":  {`eval last=\${$#}; exec REAL -nostdin -v error -f matroska -i pipe:0 -fps_mode passthrough -c:v libx264 -pix_fmt yuv444p -bf 0 -f mp4 "$last"`, "yuv444p"},
	} {
		t.Run(name, func(t *testing.T) {
			r, f := record(t, 64, 64, 10), newFixture(t)
			shim(t, "ffmpeg", c.script)
			_, err := f.run(t.Context(), r, r.job)
			wantFailure(t, err, Content, c.text)
			f.nothingLeft(t)
		})
	}
}

func TestLostLeaseStopsTheWork(t *testing.T) {
	lost := errors.New("lease lost")
	r, f := record(t, 64, 64, 10), newFixture(t)
	shim(t, "ffmpeg", "exec sleep 1000")
	ctx, cancel := context.WithCancelCause(t.Context())
	w := New(Config{Reader: r, Archive: f.store, WorkDir: f.workDir, Stall: time.Hour, Logger: hclog.NewNullLogger()})
	_, err := w.Run(ctx, r.job, func(n int64) {
		if n == 10 {
			cancel(lost)
		}
	})
	if !errors.Is(err, lost) {
		t.Errorf("error %v", err)
	}
	f.nothingLeft(t)
}
