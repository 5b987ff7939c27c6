package capture

import (
	"os"
	"path/filepath"
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
			k, counter := watched(t, x, func(c *Config, _ *spool.Config) { c.FrameRate = 10 })
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
