package transcode

import (
	"fmt"
	"strconv"
)

// arguments returns FFmpeg's command line. Only numbers, a preset from our own list and the work file's path vary in it.
//
// The mp4 is made for browsers: no B-frames, so that presentation starts at 0 without an edit list, a fragment for each
// keyframe, and times in milliseconds. Its bytes depend only on the pictures, the settings and FFmpeg's version: one thread,
// and no dates or versions in it.
func arguments(cfg Config) []string {
	return []string{
		"-nostdin", "-hide_banner", "-loglevel", "error", "-y", "-fflags", "+bitexact",
		"-protocol_whitelist", "pipe,file", "-f", "matroska", "-i", "pipe:0",
		"-map", "0:v:0", "-map_metadata", "-1",
		// Every picture once, at its own time. The encoder's default time base would be the frame rate.
		"-fps_mode", "passthrough", "-enc_time_base", "1/1000",
		"-c:v", "libx264", "-preset", cfg.Preset, "-crf", strconv.Itoa(max(cfg.CRF, 1)),
		"-pix_fmt", "yuv420p", "-bf", "0", "-threads", "1", "-flags:v", "+bitexact",
		"-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709",
		// Keyframes by time: -g counts frames, of which a still desktop has few.
		"-g", "1000000", "-force_key_frames", keyframes(cfg),
		"-bsf:v", lastFrame(cfg),
		"-video_track_timescale", "1000", "-movflags", "+frag_keyframe+empty_moov+default_base_moof",
		"-f", "mp4", "-fflags", "+bitexact", "file:" + cfg.Path,
	}
}

// keyframes asks for a keyframe when the last one that was asked for is an interval old.
func keyframes(cfg Config) string {
	return fmt.Sprintf("expr:if(isnan(prev_forced_t),1,gte(t,prev_forced_t+%.3f))", cfg.KeyframeInterval.Seconds())
}

// lastFrame makes the last frame last until the end of the segment, which FFmpeg cannot know.
func lastFrame(cfg Config) string {
	return fmt.Sprintf(`setts=duration=if(eq(N\,%d)\,max(1\,%d-PTS)\,DURATION)`, cfg.Frames-1, cfg.Duration.Round(tick)/tick)
}
