package videosize

import (
	"math"
	"testing"
)

func TestFit(t *testing.T) {
	for _, c := range []struct {
		width, height, maxWidth, maxHeight int
		w, h                               int
		cause                              Cause
	}{
		{1920, 1080, 0, 0, 1920, 1080, ""},
		{1365, 767, 0, 0, 1366, 768, ""},
		{1, 1, 0, 0, 2, 2, ""},
		{1920, 1080, 1920, 1080, 1920, 1080, ""},
		{1001, 700, 1001, 0, 1002, 700, ""},
		{1920, 1080, 1280, 0, 1280, 720, Policy},
		{1920, 1080, 0, 540, 960, 540, Policy},
		{1920, 1080, 1280, 540, 960, 540, Policy},
		{1920, 1080, 641, 0, 642, 362, Policy},
		{8192, 2, 16, 0, 16, 2, Policy},
		{4096, 2304, 0, 0, 4096, 2304, ""}, // 256x144 macroblocks: exactly the level's
		{4097, 2304, 0, 0, 4096, 2304, Level},
		{8192, 1152, 0, 0, 8192, 1152, ""},
		{7680, 4320, 0, 0, 4096, 2304, Level},
		{8192, 8192, 0, 0, 3072, 3072, Level},
		{8192, 8192, 5000, 0, 3072, 3072, Level},
	} {
		w, h, cause := Fit(c.width, c.height, c.maxWidth, c.maxHeight)
		if w != c.w || h != c.h || cause != c.cause {
			t.Errorf("%dx%d within %dx%d: %dx%d %q, want %dx%d %q", c.width, c.height, c.maxWidth, c.maxHeight, w, h, cause, c.w, c.h, c.cause)
		}
	}
}

func TestFitHoldsForEverySize(t *testing.T) {
	for width := 1; width <= 8192; width += 61 {
		for height := 1; height <= 8192; height += 67 {
			w, h, cause := Fit(width, height, 0, 0)
			if w%2 != 0 || h%2 != 0 || !within(w, h) || cause == "" && (w != even(width) || h != even(height)) {
				t.Fatalf("%dx%d: %dx%d %q", width, height, w, h, cause)
			}
			if cause == Level && math.Abs(float64(w)/float64(width)-float64(h)/float64(height)) > 1/float64(width)+1/float64(height) {
				t.Errorf("%dx%d: %dx%d has another aspect", width, height, w, h)
			}
			if cause == Level && within(w+34, h+34) {
				t.Errorf("%dx%d: %dx%d is smaller than it must be", width, height, w, h)
			}
		}
	}
}
