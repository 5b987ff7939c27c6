package capture

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// ffmpegOf returns the process that grabs a display for this test.
func ffmpegOf(t *testing.T, display string) int {
	t.Helper()
	var found int
	await(t, func() bool {
		paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, p := range paths {
			b, err := os.ReadFile(p)
			if err == nil && strings.HasPrefix(string(b), "ffmpeg\x00") && strings.Contains(string(b), "\x00"+display+"+0,0\x00") {
				found, _ = strconv.Atoi(strings.Split(p, "/")[2])
				return true
			}
		}
		return false
	})
	return found
}
