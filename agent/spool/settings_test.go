package spool

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSettingsAreRemembered(t *testing.T) {
	dir := t.TempDir()
	p := open(t, dir, nil)
	if got := p.Remembered(); got != DefaultSettings() {
		t.Errorf("at first %+v", got)
	}
	want := Settings{FrameRate: 12, SegmentLength: time.Minute, ChunkBytes: 4096, SegmentBytes: 1 << 20}
	if err := p.Remember(want); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	p = open(t, dir, nil)
	if got := p.Remembered(); got != want {
		t.Errorf("remembered %+v, want %+v", got, want)
	}
	for _, bad := range []string{"", "{", `{"frame_rate":0}`, `{"frame_rate":5,"segment_length":1,"chunk_bytes":4096}`} {
		if err := os.WriteFile(filepath.Join(dir, settingsName), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := p.Remembered(); got != DefaultSettings() {
			t.Errorf("%q is remembered as %+v", bad, got)
		}
	}
}
