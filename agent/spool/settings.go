package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/recfleet/recfleet/internal/chunk"
)

// settingsName is the file with the last orders of how to record that came to this host.
const settingsName = "settings.json"

// DefaultSegmentBytes bounds a segment for which nothing else was ordered: the bus holds each one whole.
const DefaultSegmentBytes = 512 << 20

// DefaultSettings is how to record where no coordinator has ever said it.
func DefaultSettings() Settings {
	return Settings{FrameRate: 5, SegmentLength: 5 * time.Minute, ChunkBytes: chunk.MaxPayload, SegmentBytes: DefaultSegmentBytes}
}

// Validate says what nothing can be recorded with.
func (s Settings) Validate() error {
	switch {
	case s.FrameRate < 1 || s.FrameRate > 60:
		return fmt.Errorf("frame rate %d is not 1 to 60", s.FrameRate)
	case s.SegmentLength < time.Second || s.SegmentLength > time.Hour:
		return fmt.Errorf("segment length %s is not 1s to 1h", s.SegmentLength)
	case s.ChunkBytes < 1024 || s.ChunkBytes > chunk.MaxPayload:
		return fmt.Errorf("chunk size %d is not 1024 to %d", s.ChunkBytes, chunk.MaxPayload)
	case s.SegmentBytes < 0:
		return fmt.Errorf("segment size %d is below 0", s.SegmentBytes)
	}
	return nil
}

// Remember keeps settings for the sessions that begin while no coordinator can be asked. It returns once they are on disk.
func (p *Spool) Remember(s Settings) error {
	if s == p.Remembered() {
		return nil
	}
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("remember settings: %w", err)
	}
	if err := replaceFile(filepath.Join(p.dir, settingsName), append(b, '\n')); err != nil {
		return fmt.Errorf("remember settings: %w", err)
	}
	return nil
}

// Remembered returns the settings that were last remembered, the default ones where there are none that can be used.
func (p *Spool) Remembered() Settings {
	s, err := rememberedIn(p.dir)
	if err != nil {
		p.log.Warn("settings not remembered", "error", err)
	}
	return s
}

// RememberedIn is Remembered for a folder whose spool another process may have open.
func RememberedIn(dir string) Settings {
	s, _ := rememberedIn(dir) // the default ones then
	return s
}

func rememberedIn(dir string) (Settings, error) {
	b, err := os.ReadFile(filepath.Join(dir, settingsName))
	if errors.Is(err, os.ErrNotExist) {
		return DefaultSettings(), nil
	}
	var s Settings
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err == nil {
		err = s.Validate()
	}
	if err != nil {
		return DefaultSettings(), fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return s, nil
}
