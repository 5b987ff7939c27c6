package worker

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/recfleet/recfleet/internal/object"
)

func TestThumbnailsAreArchivedBesideTheVideo(t *testing.T) {
	r, f := record(t, 321, 243, 60), newFixture(t)
	r.job.SpriteKey, r.job.ThumbnailIndexKey = "a/video-000001.thumbnails.jpg", "a/video-000001.thumbnails.vtt"
	r.job.Settings.ThumbnailInterval = time.Second
	result, err := f.run(t.Context(), r, r.job)
	if err != nil {
		t.Fatal(err)
	}
	read := func(got File, key string) []byte {
		body, _, err := f.store.Get(t.Context(), key, 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		raw, err := io.ReadAll(body)
		if err != nil || got.Key != key || got.Bytes != int64(len(raw)) || got.SHA256 != sha256.Sum256(raw) {
			t.Errorf("archived %d bytes as %s, result %+v, %v", len(raw), key, got, err)
		}
		return raw
	}
	sprite, err := jpeg.Decode(bytes.NewReader(read(result.Sprite, r.job.SpriteKey)))
	if err != nil {
		t.Fatal(err)
	}
	cues := strings.Split(strings.TrimSpace(string(read(result.ThumbnailIndex, r.job.ThumbnailIndexKey))), "\n\n")
	if cues[0] != "WEBVTT" {
		t.Fatalf("index %q", cues)
	}
	last := ""
	for i, cue := range cues[1:] {
		var from, to, name string
		var x, y, w, h int
		lines := strings.Split(cue, "\n")
		if _, err := fmt.Sscanf(lines[0], "%s --> %s", &from, &to); err != nil || len(lines) != 2 {
			t.Fatalf("cue %q: %v", cue, err)
		}
		name, place, _ := strings.Cut(lines[1], "#xywh=")
		if _, err := fmt.Sscanf(place, "%d,%d,%d,%d", &x, &y, &w, &h); err != nil || name != "video-000001.thumbnails.jpg" {
			t.Fatalf("cue %q: %v", cue, err)
		}
		if i > 0 && from != last {
			t.Errorf("cue %d begins at %s, the one before ends at %s", i, from, last)
		}
		last = to
		if !(image.Rect(x, y, x+w, y+h).In(sprite.Bounds())) || w > thumbnailWidth || h > thumbnailHeight {
			t.Errorf("cue %d is at %d,%d,%d,%d of %v", i, x, y, w, h, sprite.Bounds())
		}
		r.looksLike(t, sprite, image.Rect(x, y, x+w, y+h), from)
	}
	if want := stamp(r.job.Source.Duration); last != want {
		t.Errorf("the last cue ends at %s instead of %s", last, want)
	}
	if n := len(cues) - 1; n < 10 || n > 20 { // 19 s, 7 of them without pictures
		t.Errorf("%d cues", n)
	}
	if _, err := f.run(t.Context(), r, r.job); err != nil {
		t.Errorf("the same job again: %v", err)
	}
}

// looksLike compares the brightness of a part of the sprite with the first picture from a time on.
func (r *recorded) looksLike(t *testing.T, sprite image.Image, at image.Rectangle, from string) {
	t.Helper()
	i := 0
	for stamp(r.at[i]) < from {
		i++
	}
	mean := func(n int, luma func(int) float64) (sum float64) {
		for k := range n {
			sum += luma(k)
		}
		return sum / float64(n)
	}
	want := mean(len(r.pix[i])/4, func(k int) float64 { return luma(r.pix[i][4*k:]) })
	got := mean(at.Dx()*at.Dy(), func(k int) float64 {
		red, green, blue, _ := sprite.At(at.Min.X+k%at.Dx(), at.Min.Y+k/at.Dx()).RGBA()
		return luma([]byte{byte(blue >> 8), byte(green >> 8), byte(red >> 8)})
	})
	if got-want > 3 || want-got > 3 {
		t.Errorf("thumbnail of %s: brightness %.1f, the picture has %.1f", from, got, want)
	}
}

func TestAThumbnailThatCannotBeArchivedFailsTheJob(t *testing.T) {
	r, f := record(t, 64, 64, 10), newFixture(t)
	r.job.SpriteKey, r.job.ThumbnailIndexKey, r.job.Settings.ThumbnailInterval = "a/x.jpg", "a/x.vtt", time.Second
	if _, err := f.store.Put(t.Context(), "a/x.vtt", strings.NewReader("taken"), object.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	_, err := f.run(t.Context(), r, r.job)
	wantFailure(t, err, Destination, "exists")
}
