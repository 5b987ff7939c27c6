package faults

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/recfleet/recfleet/internal/chunk"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

var small = film{segments: 1, frames: 10, width: 320, height: 240}

// One encoder is frozen in the middle of a job for longer than its lease, another does it meanwhile, and the first goes on:
// two have worked on one segment, and one counts.
func TestFrozenPastItsLeaseThenResumed(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	first := w.encoder(options{ffmpeg: gate, dir: dir})
	session := w.record(small)
	w.waiting(dir)
	first.signal(t, syscall.SIGSTOP)
	began := time.Now()
	w.encoder(options{})
	w.expectComplete(session, small)
	if took := time.Since(began); took > 3*lease+5*time.Second {
		t.Errorf("it took %v; a lease is %v", took, lease)
	}
	if j := w.job(session, 1); j.GetRescues() != 1 || j.GetFailures()+j.GetSetbacks() != 0 {
		t.Errorf("%v", j)
	}
	open(t, dir) // its FFmpeg, which was not frozen, ends well
	first.signal(t, syscall.SIGCONT)
	w.until("the first one knows that it has lost", func() bool { return first.said("lease lost") })
	w.look(small)
	// It is as good as before.
	second := w.record(small)
	w.expectComplete(second, small)
	w.expectComplete(session, small)
	first.signal(t, syscall.SIGTERM)
	if code := first.ended(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// Its FFmpeg dies with it, and its job costs one lease.
func TestKilledWhileItEncodes(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	first := w.encoder(options{ffmpeg: gate, dir: dir})
	session := w.record(small)
	ffmpeg := w.waiting(dir)
	w.encoder(options{})
	first.signal(t, syscall.SIGKILL)
	first.ended(t)
	began := time.Now()
	w.until("its FFmpeg is gone", func() bool { return !alive(ffmpeg) })
	w.expectComplete(session, small)
	if took := time.Since(began); took > 2*lease+5*time.Second {
		t.Errorf("it took %v; a lease is %v", took, lease)
	}
	if j := w.job(session, 1); j.GetRescues() != 1 || j.GetFailures()+j.GetSetbacks() != 0 {
		t.Errorf("%v", j)
	}
}

// It is killed while the archive takes the mp4: nobody sees the half of it.
func TestKilledWhileItUploads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := film{segments: 1, frames: 20, width: 480, height: 360, noise: true} // some megabytes of mp4
	first := w.encoder(options{})
	watch, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(watch)
	temporary := filepath.Join(w.archive, ".recfleet", "tmp")
	if _, err := unix.InotifyAddWatch(watch, temporary, unix.IN_MODIFY); err != nil {
		t.Fatal(err)
	}
	// The coordinator checks the archive with small files in the same place, so that size tells.
	killed := make(chan bool, 1)
	go func() {
		var buffer [4096]byte
		for {
			if n, err := unix.Read(watch, buffer[:]); err != nil || n <= 0 {
				killed <- false
				return
			}
			entries, _ := os.ReadDir(temporary)
			for _, e := range entries {
				if info, err := e.Info(); err == nil && info.Size() >= 32<<10 {
					_ = first.cmd.Process.Kill()
					killed <- true
					return
				}
			}
		}
	}()
	session := w.record(f)
	select {
	case <-killed:
	case <-time.After(patience):
		t.Fatal("nothing was archived")
	}
	first.ended(t)
	half, err := os.ReadDir(temporary)
	if err != nil {
		t.Fatal(err)
	}
	if w.look(f); len(w.seen) != 0 {
		t.Fatalf("it was too late: %v", w.seen)
	}
	if len(half) == 0 {
		t.Error("nothing was begun")
	}
	w.encoder(options{})
	w.expectComplete(session, f)
	if j := w.job(session, 1); j.GetRescues() != 1 || j.GetFailures() != 0 {
		t.Errorf("%v", j)
	}
}

// The second signal gives back at once what an FFmpeg that hangs would hold for ever.
func TestTheSecondSignalGivesBackAtOnce(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	first := w.encoder(options{ffmpeg: gate, dir: dir, args: []string{"--drain-time", "1h"}})
	session := w.record(small)
	ffmpeg := w.waiting(dir)
	first.signal(t, syscall.SIGTERM)
	w.until("draining", func() bool { return first.said("encoder drained") })
	if !alive(ffmpeg) {
		t.Error("draining ended the job")
	}
	began := time.Now()
	first.signal(t, syscall.SIGTERM)
	if code := first.ended(t); code != 0 || time.Since(began) > 5*time.Second {
		t.Errorf("exit code %d after %v", code, time.Since(began))
	}
	if j := w.job(session, 1); j.GetState() == recfleetv1.JobState_JOB_STATE_RUNNING || j.GetSetbacks() != 1 || j.GetRescues() != 0 {
		t.Errorf("%v", j)
	}
	w.encoder(options{})
	w.expectComplete(session, small)
}

func TestTheFirstSignalFinishesWhatIsHeld(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), t.TempDir()
	first := w.encoder(options{ffmpeg: gate, dir: dir})
	f := small
	f.segments = 2
	session := w.record(f)
	w.waiting(dir)
	first.signal(t, syscall.SIGTERM)
	w.until("draining", func() bool { return first.said("encoder drained") })
	open(t, dir)
	if code := first.ended(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	done := 0
	for segment := range int32(2) {
		switch j := w.job(session, segment+1); j.GetState() {
		case recfleetv1.JobState_JOB_STATE_COMPLETED:
			done++
		case recfleetv1.JobState_JOB_STATE_AVAILABLE:
		default:
			t.Errorf("%v", j)
		}
	}
	if done != 1 {
		t.Errorf("%d jobs done", done)
	}
	w.encoder(options{})
	w.expectComplete(session, f)
}

// What is wrong with content is tried three times and kept; the other segments are not touched by it.
func TestDamagedAndMissingChunks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	f := small
	f.segments = 3
	f.damage = func(segment int, chunks []chunk.Chunk) {
		if segment == 2 { // its announced hash stays
			payload := append([]byte{}, chunks[1].Payload...)
			payload[len(payload)/2] ^= 1
			chunks[1].Payload = payload
		}
	}
	session := w.record(f)
	if err := w.broker.PurgeSegment(t.Context(), session, 3); err != nil { // the broker lost them
		t.Fatal(err)
	}
	w.encoder(options{})
	w.expectComplete(session, f, 2, 3)
	for _, segment := range []int32{2, 3} {
		if j := w.job(session, segment); j.GetState() != recfleetv1.JobState_JOB_STATE_QUARANTINED || j.GetFailures() != 3 || j.GetSetbacks() != 0 {
			t.Errorf("%v", j)
		}
	}
	if held, err := w.broker.Segments(t.Context(), session); err != nil || held[2] == 0 {
		t.Errorf("the chunks were dropped: %v, %v", held, err)
	}
}

// An FFmpeg that fails once, in whatever way, costs one attempt: its exit code is not believed.
func TestFFmpegThatFailsOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ script, said string }{
		"crashes":          {`head -c 100000 >/dev/null; kill -SEGV $$`, "segmentation fault"},
		"drops a frame":    {`eval last=\${$#}; exec REAL -nostdin -v error -f matroska -i pipe:0 -frames:v 9 -fps_mode passthrough -enc_time_base 1/1000 -c:v libx264 -pix_fmt yuv420p -bf 0 -f mp4 "$last"`, "9 frames instead of 10"},
		"is killed":        {`head -c 100000 >/dev/null; kill -KILL $$`, "ffmpeg was killed"},
		"says it is well":  {`exec cat >/dev/null`, "No such file"},
		"writes too much":  {`eval last=\${$#}; exec cat /dev/zero >"${last#file:}"`, "at its limit of file size"},
		"takes all memory": {`exec REAL -nostdin -v error -f lavfi -i testsrc2=s=4000x4000:r=25 -t 60 -vf reverse -f null -`, "at its limit of memory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, dir := newWorld(t), t.TempDir()
			encoder := w.encoder(options{dir: dir, ffmpeg: `if mkdir DIR/once 2>/dev/null; then ` + c.script + `; exit; fi; exec REAL "$@"`})
			session := w.record(small)
			w.expectComplete(session, small)
			if _, err := os.Stat(filepath.Join(dir, "once")); err != nil {
				t.Errorf("it did not fail: %v", err)
			}
			counts := name != "is killed" // by whom is not known
			if j := w.job(session, 1); (j.GetFailures() == 1) != counts || j.GetFailures()+j.GetSetbacks() != 1 || j.GetRescues() != 0 {
				t.Errorf("%v", j)
			}
			if !encoder.said(c.said) {
				t.Errorf("nobody was told that it %s", name)
			}
		})
	}
}

// The disk of the work directory is full: that is the encoder's fault however often it happens, and another one does it.
func TestTheWorkDirectoryIsFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("a disk of its own cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Error(err)
		}
	})
	f := film{segments: 1, frames: 10, width: 320, height: 240, noise: true}
	first := w.encoder(options{workDir: filepath.Join(disk, "work")})
	session := w.record(f)
	w.until("two setbacks", func() bool { return w.job(session, 1).GetSetbacks() >= 2 })
	if j := w.job(session, 1); j.GetFailures() != 0 {
		t.Errorf("%v", j)
	}
	first.signal(t, syscall.SIGTERM)
	if code := first.ended(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	left, err := os.ReadDir(filepath.Join(disk, "work"))
	if err != nil || len(left) != 1 { // its lock
		t.Errorf("the work directory has %v, %v", left, err)
	}
	w.encoder(options{})
	w.expectComplete(session, f)
}
