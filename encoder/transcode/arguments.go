package transcode

import (
	"fmt"
	"strconv"
	"time"
)

// Arguments returns FFmpeg's command line. Only numbers, a preset from our own list and the work file's path vary in it.
//
// The mp4 is made for browsers: no B-frames, so that presentation starts at 0 without an edit list, a fragment for each
// keyframe, and times in milliseconds. Its bytes depend only on the pictures, the settings and FFmpeg's version: one thread,
// and no dates or versions in it.
func Arguments(cfg Config) []string {
	args := []string{
		"-nostdin", "-hide_banner", "-loglevel", "error", "-y", "-fflags", "+bitexact",
		"-protocol_whitelist", "pipe,file", "-f", "matroska", "-i", "pipe:0",
		"-map", "0:v:0", "-map_metadata", "-1",
		// Every picture once, at its own time. The encoder's default time base would be the frame rate.
		"-fps_mode", "passthrough", "-enc_time_base", fmt.Sprintf("1/%d", second*tickHalve),
		"-c:v", "libx264", "-preset", cfg.Preset,
		"-pix_fmt", "yuv420p", "-bf", "0", "-threads", "1", "-x264-params", tuning(cfg.Preset), "-flags:v", "+bitexact",
		"-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709",
		// Keyframes by time: -g counts frames, of which a still desktop has few.
		"-g", "1000000", "-force_key_frames", keyframes(),
		"-bsf:v", durations(cfg),
		"-video_track_timescale", strconv.Itoa(second), "-movflags", "+frag_keyframe+empty_moov+default_base_moof",
		"-f", "mp4", "-fflags", "+bitexact",
	}
	args = append(args, quality(cfg)...)
	if cfg.VideoWidth != evenUp(cfg.Width) || cfg.VideoHeight != evenUp(cfg.Height) {
		// Lanczos keeps text sharper than the default.
		args = append(args, "-vf", fmt.Sprintf("scale=%d:%d:flags=lanczos+accurate_rnd", cfg.VideoWidth, cfg.VideoHeight))
	}
	return append(args, "file:"+cfg.Path)
}

// quality says how many bits there are. A desktop needs many at once and then none for long.
func quality(cfg Config) []string {
	if cfg.Bitrate == 0 {
		return []string{"-crf", strconv.Itoa(max(cfg.CRF, 1))}
	}
	rate := func(times int64) string { return strconv.FormatInt(cfg.Bitrate*times, 10) }
	return []string{"-b:v", rate(1), "-maxrate", rate(2), "-bufsize", rate(4)}
}

// tuning says what makes x264 good at desktops. Pages scroll by hundreds of rows between two frames, and a search that is wide
// enough to find them saves a third of the bytes. Psychovisual optimization invents grain, which text has none of; without it
// x264 gives chroma less than colored text needs.
func tuning(preset string) string {
	if preset == "ultrafast" || preset == "superfast" {
		return "psy=0"
	}
	return "psy=0:me=umh:merange=256:trellis=1:chroma-qp-offset=-3"
}

// second is a second in ticks.
const second = int(time.Second / tick)

// keyframes asks for a keyframe where the time of a picture is odd; see tickHalve.
func keyframes() string { return fmt.Sprintf("expr:mod(round(t*%d),2)", second*tickHalve) }

// durations makes every frame last until the next one, and the last one until the end of the segment.
func durations(cfg Config) string {
	end := int64(cfg.Duration.Round(tick) / tick)
	return fmt.Sprintf(`setts=duration=max(1\,if(gt(NEXT_PTS\,PTS)\,NEXT_PTS\,%d)-PTS)`, end)
}
