package hook

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Whoever waited in vain for a recording is told where its reason stands.
func TestALaunchInVainNamesTheLog(t *testing.T) {
	dir := t.TempDir()
	for script, want := range map[string]string{"sleep 60": "in the time given", "exit 0": "in the time given"} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		_, err := Launch{Program: "/bin/sh", Args: []string{"-c", script}, SpoolDir: dir}.Run(ctx)
		cancel()
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), filepath.Join(dir, LogName)) {
			t.Errorf("%q: %v", script, err)
		}
	}
}
