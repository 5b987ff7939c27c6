package capture

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/test/desktop"
)

// instead puts a script in FFmpeg's place.
func instead(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ffmpeg"), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// Whatever is in FFmpeg's place, the pictures due are taken, and no more than a few are none.
func TestRecordsWithoutAnUsableFFmpeg(t *testing.T) {
	for name, script := range map[string]string{
		"floods":          "exec cat /dev/zero",
		"ends at once":    "exit 0",
		"says nothing":    "exec sleep 60",
		"ends in a frame": "head -c 100000 /dev/zero",
	} {
		t.Run(name, func(t *testing.T) {
			x := desktop.Start(t, 640, 480)
			instead(t, script)
			k, counter := watched(t, x, func(c *Config, _ *spool.Config) { c.FrameRate, c.FFmpeg = 10, true })
			k.awaitFrames(34)
			took := k.line.Now().Sub(k.line.Start())
			pictures := k.finish(counter)
			if n := lost(pictures, k.capture.interval); n > 3 {
				t.Errorf("%d instants lost", n)
			}
			if rate := float64(len(pictures)) / took.Seconds(); rate > 25 {
				t.Errorf("%.1f pictures a second", rate)
			}
			unread := 0
			for _, p := range pictures {
				if !p.read {
					unread++
				}
			}
			t.Logf("%d pictures in %v, %d of them without the counter, gaps %+v", len(pictures), took.Round(time.Millisecond), unread, gaps(k.events()))
			// On a busy machine a flood may begin slowly enough to be taken for frames.
			if unread > 0 && name != "floods" || unread > 3 {
				t.Errorf("%d of %d pictures are none", unread, len(pictures))
			}
		})
	}
}

// A display that the camera cannot open, and libxcb can, is left to FFmpeg.
func TestFFmpegStepsInForTheCamera(t *testing.T) {
	x := desktop.Start(t, 640, 480)
	counter, err := desktop.StartCounter(x, 100*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	name := "unix/" + x.Display()
	k := sit(t, name, nil)
	k.see(640, 480)
	k.awaitFrames(10)
	k.end()
	if err := counter.Stop(); err != nil {
		t.Fatal(err)
	}
	k.checkCovered()
	checkCounter(t, counter.Ledger(), k.pictures(), gaps(k.events()))
	if all := gaps(k.events()); len(all) != 1 || all[0].Cause != "capture_failed" || !strings.Contains(all[0].Detail, name) {
		t.Errorf("gaps %+v", all)
	}
	if n := k.capture.shown.Load(); n != 0 {
		t.Errorf("%d pictures of the camera", n)
	}
}

func TestDisplayThatStandsStillIsAGap(t *testing.T) {
	withBoth(t, func(t *testing.T, order func(*Config, *spool.Config)) {
		x := desktop.Start(t, 640, 480)
		k, counter := watched(t, x, order)
		k.awaitFrames(15)
		x.Pause()
		from := k.line.Now()
		await(t, func() bool { return k.line.Now().Sub(from) > 2500*time.Millisecond })
		x.Continue()
		until := k.line.Now()
		n, _ := k.capture.Frames()
		k.awaitFrames(n + 15)
		k.finish(counter)
		all := gaps(k.events())
		last := all[len(all)-1]
		if last.Cause != "capture_stalled" || last.Start.After(from.Add(300*time.Millisecond)) || last.End.Before(until) {
			t.Errorf("gaps %+v, still from %s to %s", all, from, until)
		}
	})
}
