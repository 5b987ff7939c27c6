package agent

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/recfleet/recfleet/test/desktop"
)

// Another program takes the whole disk for a while: the recording pauses, and all of it is accounted for.
func TestFullDiskPausesTheRecording(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("tmpfs", disk, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("no disk of its own: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	x := desktop.Start(t, 320, 240)
	counter, err := desktop.StartCounter(x, 150*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = counter.Stop() }()
	c := startCoordinator(t)
	dir := filepath.Join(disk, "spool")
	a := runAgent(t, c, x.Display(), dir)
	a.await(a.Durable())
	await(t, func() bool { return a.Status().Frames >= 8 })

	filler, err := os.Create(filepath.Join(disk, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(disk, &st); err != nil {
		t.Fatal(err)
	}
	if err := unix.Fallocate(int(filler.Fd()), 0, 0, int64(st.Bavail)*st.Bsize); err != nil {
		t.Fatal(err)
	}
	// What was recorded so far is sealed and handed over while nothing can be recorded.
	await(t, func() bool {
		st := a.Status()
		return st.AwaitingReceipt == 0 && time.Since(st.LastFrameTime) > 2*time.Second
	})
	if a.Status().State != "recording" {
		t.Errorf("status %+v", a.Status())
	}
	n := a.Status().Frames
	if err := filler.Truncate(0); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return a.Status().Frames >= n+10 })
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	_ = filler.Close()
	s := c.all()[0]
	if gaps := s.gaps(); strings.Count(gaps, "spool_full") != 1 || strings.Count(gaps, ";") != 1 {
		t.Errorf("gaps %s", gaps)
	}
	checkWhole(t, s)
	if left := leftFiles(t, dir); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func TestSpoolThatFillsUpIsRecordedMoreSlowly(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	counter, err := desktop.StartCounter(x, 150*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = counter.Stop() }()
	c := startCoordinator(t)
	dir := t.TempDir()
	a := runAgent(t, c, x.Display(), dir, func(c *Config) { c.MaxSpoolBytes = 2000 })
	a.await(a.Durable())
	c.set(func() { c.deaf = true })
	await(t, func() bool { return a.spool.Pressure() })
	n := a.Status().Frames
	await(t, func() bool { return a.spool.Full() })
	if more := a.Status().Frames - n; more > 15 {
		t.Errorf("%d frames after the high-water mark", more)
	}
	c.set(func() { c.deaf = false })
	await(t, func() bool { return !a.spool.Pressure() })
	n = a.Status().Frames
	since := time.Now()
	await(t, func() bool { return a.Status().Frames >= n+20 })
	if d := time.Since(since); d > 12*time.Second {
		t.Errorf("20 frames in %s after the low-water mark", d)
	}
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	s := c.all()[0]
	var rates []string
	for _, e := range s.events {
		if v := e.GetMetadataChanged().GetMetadata()[keyFrameRate]; v != "" {
			rates = append(rates, v)
		}
	}
	if len(rates) < 2 || rates[0] != "1 (spool_high_water)" || rates[len(rates)-1] != "5 (spool_low_water)" {
		t.Errorf("rates %q", rates)
	}
	checkWhole(t, s)
	if gaps := s.gaps(); strings.Count(gaps, "spool_full") != strings.Count(gaps, ";") {
		t.Errorf("gaps %s", gaps)
	}
}
