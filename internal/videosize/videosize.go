// Package videosize says how large the mp4 of a desktop is.
//
// In come the desktop's size and what policy allows, out goes the video's size. It is even, as H.264 in 4:2:0 asks, has the
// desktop's aspect but for rounding, and is within level 5.2, past which browsers and hardware do not decode. Coordinator and
// encoder compute it each for itself, so that they agree.
package videosize

import "math"

// Cause says why a video is smaller than its desktop. The words stand in manifests.
type Cause string

// The causes. Unscaled videos have none, padding to even numbers aside.
const (
	Policy Cause = "max_size"       // policy's max_width or max_height
	Level  Cause = "h264_level_5_2" // more than H.264's level 5.2 holds
)

// Level 5.2 of H.264 (ITU-T H.264, table A-1 and A.3.1): macroblocks in a picture, and of these at most along one side,
// which is the root of eight times as many.
const (
	macroblock = 16
	maxBlocks  = 36864
	maxSide    = 543 * macroblock
)

// Fit returns the size of the mp4 of a desktop of width by height pixels, both at least 1, where the video may have at most
// maxWidth by maxHeight pixels; 0 allows any. An odd limit counts as the even number above it.
func Fit(width, height, maxWidth, maxHeight int) (w, h int, cause Cause) {
	w, h = even(width), even(height)
	scale := 1.0
	if maxWidth > 0 && w > even(maxWidth) {
		scale, cause = float64(even(maxWidth))/float64(width), Policy
	}
	if maxHeight > 0 && h > even(maxHeight) {
		scale, cause = min(scale, float64(even(maxHeight))/float64(height)), Policy
	}
	if scale < 1 {
		w, h = scaled(width, scale), scaled(height, scale)
	}
	if within(w, h) {
		return w, h, cause
	}
	scale = min(scale, float64(maxSide)/float64(max(width, height)), math.Sqrt(maxBlocks*macroblock*macroblock/(float64(width)*float64(height))))
	for !within(w, h) { // macroblocks at the edges count in full
		w, h = scaled(width, scale), scaled(height, scale)
		scale -= 1 / float64(max(width, height))
	}
	return w, h, Level
}

// within tells whether level 5.2 holds a picture.
func within(w, h int) bool {
	return w <= maxSide && h <= maxSide && blocks(w)*blocks(h) <= maxBlocks
}

func blocks(n int) int { return (n + macroblock - 1) / macroblock }

func even(n int) int { return n + n%2 }

// scaled returns the nearest even number, at least 2.
func scaled(n int, by float64) int { return max(2, 2*int(math.Round(float64(n)*by/2))) }
