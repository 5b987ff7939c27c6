package transcode

import (
	"time"

	"github.com/recfleet/recfleet/internal/ffmpeg"
)

// limits says what FFmpeg may take for a segment. They are far above what any picture needs, so that only an FFmpeg that has
// gone wrong on the content runs into one, on every machine alike: x264 was measured to take 0.13 CPU seconds for a
// megapixel of noise with the preset medium, and 700 MB of address space for 1920x1080.
func limits(cfg Config) ffmpeg.Limits {
	const (
		memory, mp4, files, processes = 1 << 30, 16 << 20, 64, 64
		lookahead                     = 400 // pictures with all that x264 keeps of them
		megapixel                     = 3 * time.Second
		start                         = time.Minute
	)
	pixels := int64(evenUp(cfg.Width)) * int64(evenUp(cfg.Height))
	raw := pixels * 3 / 2
	// A fragment of the mp4 is in memory until its last frame is there; it is not larger than its pictures.
	fragment := min(cfg.Frames, int64(cfg.KeyframeInterval.Seconds()+1)*int64(cfg.FrameRate))
	return ffmpeg.Limits{
		Memory:    memory + raw*(lookahead+fragment),
		CPU:       start + time.Duration(float64(cfg.Frames)*float64(pixels)/1e6*float64(megapixel)),
		FileSize:  mp4 + cfg.Frames*(raw+raw/10),
		Files:     files,
		Processes: processes,
	}
}

func evenUp(n int) int { return (n + 1) &^ 1 }
