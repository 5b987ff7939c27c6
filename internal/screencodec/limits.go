package screencodec

import "time"

// Limits bound what a Decoder accepts; a zero field means its default.
type Limits struct {
	// MaxWidth and MaxHeight, in pixels; MaxSide by default.
	MaxWidth, MaxHeight int
	// MaxFrames, repeats included; ten million by default.
	MaxFrames int
	// MaxDuration from media time 0 to the end; 48 hours by default.
	MaxDuration time.Duration
}

func (l Limits) withDefaults() Limits {
	if l.MaxWidth == 0 {
		l.MaxWidth = MaxSide
	}
	if l.MaxHeight == 0 {
		l.MaxHeight = MaxSide
	}
	if l.MaxFrames == 0 {
		l.MaxFrames = 10_000_000
	}
	if l.MaxDuration == 0 {
		l.MaxDuration = 48 * time.Hour
	}
	return l
}
