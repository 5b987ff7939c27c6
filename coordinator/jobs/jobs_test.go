package jobs

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/object"
)

func TestBackoffGrowsAndIsBounded(t *testing.T) {
	for n, want := range map[int]time.Duration{0: firstBackoff, 1: firstBackoff, 2: 2 * firstBackoff, 3: 4 * firstBackoff, 6: maxBackoff, 1000: maxBackoff, 1 << 40: maxBackoff} {
		seen := map[time.Duration]bool{}
		for range 20 {
			d := backoff(n)
			seen[d] = true
			if d < want/2 || d >= want {
				t.Errorf("backoff(%d) = %v, want %v to %v", n, d, want/2, want)
			}
		}
		if len(seen) < 2 {
			t.Errorf("backoff(%d) has no jitter", n)
		}
	}
}

func TestGenerationsHaveKeysOfTheirOwn(t *testing.T) {
	for generation, want := range map[int64]string{0: "a/video-000007.mp4", 1: "a/video-000007.mp4", 2: "a/video-000007.g2.mp4", 12: "a/video-000007.g12.mp4"} {
		if got := ObjectKey("a/", 7, generation); got != want {
			t.Errorf("generation %d: %s", generation, got)
		}
	}
}

func TestFits(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	l := catalog.Leased{
		Job: catalog.Job{Segment: 7}, FrameRate: 5, ArchivePrefix: "a/",
		Seal: catalog.Seal{Start: start, End: start.Add(10 * time.Second), Frames: 50, Width: 801, Height: 600},
	}
	good := catalog.Recording{ObjectKey: "a/video-000007.mp4", Frames: 50, Width: 802, Height: 600, Duration: 10 * time.Second}
	captured := int64(50)
	for name, test := range map[string]struct {
		spoil func(r *catalog.Recording)
		fits  bool
	}{
		"same":           {func(*catalog.Recording) {}, true},
		"a frame longer": {func(r *catalog.Recording) { r.Duration += 200 * time.Millisecond }, true},
		"a frame less":   {func(r *catalog.Recording) { r.Duration -= 200 * time.Millisecond }, true},
		"two longer":     {func(r *catalog.Recording) { r.Duration += 400 * time.Millisecond }, false},
		"odd":            {func(r *catalog.Recording) { r.Width = 801 }, false},
		"higher":         {func(r *catalog.Recording) { r.Height = 602 }, false},
		"still":          {func(r *catalog.Recording) { r.Frames = 6 }, true},
		"frame missing":  {func(*catalog.Recording) { captured = 49 }, false},
		"frame too many": {func(r *catalog.Recording) { r.Frames = 51 }, false},
		"thumbnails": {func(r *catalog.Recording) {
			r.Thumbnails.Sprite.Key, r.Thumbnails.Index.Key = "a/video-000007.thumbnails.jpg", "a/video-000007.thumbnails.vtt"
		}, true},
		"thumbnails elsewhere": {func(r *catalog.Recording) {
			r.Thumbnails.Sprite.Key, r.Thumbnails.Index.Key = "a/video-000007.thumbnails.jpg", "b/video-000007.thumbnails.vtt"
		}, false},
		"elsewhere":      {func(r *catalog.Recording) { r.ObjectKey = "a/video-000008.mp4" }, false},
		"the next one's": {func(r *catalog.Recording) { r.ObjectKey = "a/video-000007.g2.mp4" }, false},
	} {
		r := good
		captured = 50
		test.spoil(&r)
		if err := fits(l, 1, captured, r); (err == nil) != test.fits || err != nil && !errors.Is(err, ErrMismatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// kept is an archive of one object.
type kept struct{ object.Info }

func (k kept) StatVersion(_ context.Context, key, version string) (object.Info, error) {
	if key != k.Key || version != "" && version != k.Version {
		return object.Info{}, object.ErrNotFound
	}
	return k.Info, nil
}

// An encoder that could not see under which version its mp4 lies has it filled in, if what lies there is what it made.
func TestTheCoordinatorLooksForTheEncoder(t *testing.T) {
	sum := chunk.Sum([]byte("mp4"))
	b := New(Config{Archive: kept{object.Info{Key: "k", Bytes: 3, SHA256: object.Digest(sum), Version: "v1"}}})
	mine := catalog.Recording{ObjectKey: "k", Bytes: 3, SHA256: sum}
	if err := b.archived(t.Context(), &mine); err != nil || mine.ObjectVersion != "v1" {
		t.Errorf("%+v, %v", mine, err)
	}
	foreign := catalog.Recording{ObjectKey: "k", Bytes: 3, SHA256: chunk.Sum([]byte("pm4"))}
	if err := b.archived(t.Context(), &foreign); !errors.Is(err, ErrMismatch) {
		t.Errorf("another content was taken: %v", err)
	}
	shorter := catalog.Recording{ObjectKey: "k", Bytes: 2, SHA256: sum}
	if err := b.archived(t.Context(), &shorter); !errors.Is(err, ErrMismatch) {
		t.Errorf("another size was taken: %v", err)
	}
}
