package transcode

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestLimitsGrowWithTheSegment(t *testing.T) {
	small := Config{Width: 640, Height: 480, Frames: 100, FrameRate: 5, KeyframeInterval: 10 * time.Second}
	large := Config{Width: MaxSide, Height: MaxSide, Frames: 24 * 60 * 60 * 60, FrameRate: 60, KeyframeInterval: time.Hour}
	a, b := limits(small), limits(large)
	if a.Memory < 1<<30 || a.Memory > 3<<29 || a.CPU < time.Minute || a.CPU > 3*time.Minute || a.FileSize < 46<<20 || a.FileSize > 80<<20 {
		t.Errorf("%+v", a)
	}
	if b.Memory <= a.Memory || b.CPU <= a.CPU || b.FileSize <= a.FileSize {
		t.Errorf("the largest segment: %+v", b)
	}
}

// An FFmpeg that takes more than any picture can need is stopped, and it is the content that drove it there; a machine that
// has no memory is another matter.
func TestWhoseFaultALimitIs(t *testing.T) {
	for name, c := range map[string]struct {
		script, text string
		of           error
	}{
		"writes without end": {`eval last=\${$#}; exec cat /dev/zero >"${last#file:}"`, "limit of file size", nil},
		"no memory":          {`cat >/dev/null; echo 'Cannot allocate memory' >&2; exit 1`, "no memory left", ErrNoMemory},
	} {
		t.Run(name, func(t *testing.T) {
			f := flatFilm(64, 48, ms(0), ms(200))
			shim(t, c.script)
			_, err := Run(t.Context(), f.config(t), f.next())
			if err == nil || !strings.Contains(err.Error(), c.text) || c.of != nil && !errors.Is(err, c.of) {
				t.Errorf("error %v", err)
			}
			for _, other := range []error{ErrNoMemory, ErrNoSpace, ErrKilled, ErrMissing} {
				if errors.Is(err, other) && !errors.Is(c.of, other) {
					t.Errorf("error %v is also %v", err, other)
				}
			}
		})
	}
}
