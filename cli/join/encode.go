package join

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/recfleet/recfleet/internal/ffmpeg"
)

// tick is the time base of all videos.
const tick = time.Millisecond

// encode makes an mp4 of what input names, every picture at its own time, and checks that it has as many frames and lasts as
// long as it should. feed writes FFmpeg's standard input, if there is one.
func (j *joiner) encode(ctx context.Context, input []string, feed func(io.Writer) error, frames int64, lasts time.Duration, out string) (ffmpeg.Media, error) {
	args := append(input,
		"-map", "0:v:0", "-map_metadata", "-1", "-fps_mode", "passthrough", "-enc_time_base", "1/1000",
		"-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p", "-bf", "0", "-flags:v", "+bitexact",
		"-color_range", "tv", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709",
		"-g", "1000000", "-force_key_frames", "expr:if(isnan(prev_forced_t),1,gte(t,prev_forced_t+5))",
		// The last frame lasts until the end, which FFmpeg cannot know. The others last until the next one; a length of their own,
		// which FFmpeg guesses from the frame rate, could reach beyond the end.
		"-bsf:v", fmt.Sprintf(`setts=duration=if(eq(N\,%d)\,max(1\,%d-PTS)\,1)`, frames-1, lasts.Round(tick)/tick),
		"-video_track_timescale", "1000", "-f", "mp4", "-fflags", "+bitexact", "file:"+out)
	begin := j.done
	if err := j.ffmpeg(ctx, args, feed, func(at time.Duration) { j.report(begin + min(at, lasts)) }); err != nil {
		return ffmpeg.Media{}, err
	}
	m, err := ffmpeg.Probe(ctx, out)
	switch {
	case err != nil:
		return m, err
	case m.Frames != frames:
		return m, fmt.Errorf("%d frames came out instead of %d", m.Frames, frames)
	case (m.Duration - lasts).Abs() > roundingPerPiece:
		return m, fmt.Errorf("%v came out instead of %v", m.Duration, lasts)
	}
	j.done = begin + lasts
	j.report(j.done)
	return m, nil
}

// ffmpeg runs FFmpeg to its end. Any message of an error is a failure.
func (j *joiner) ffmpeg(ctx context.Context, args []string, feed func(io.Writer) error, progress func(time.Duration)) error {
	args = append([]string{"-nostdin", "-hide_banner", "-loglevel", "error", "-y", "-progress", "pipe:1", "-stats_period", "0.5"}, args...)
	p, err := ffmpeg.Start(ffmpeg.Config{Args: args, Stdin: feed != nil, Stdout: true, Logger: j.Logger})
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, p.Kill)()
	fed := make(chan error, 1)
	go func() {
		var err error
		if feed != nil {
			err = errors.Join(feed(p.Stdin()), p.Stdin().Close())
		}
		fed <- err
	}()
	lines := bufio.NewScanner(p.Stdout())
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), "out_time_us="); ok {
			if n, err := strconv.ParseInt(value, 10, 64); err == nil && n >= 0 {
				progress(time.Duration(n) * time.Microsecond)
			}
		}
	}
	feedErr := <-fed
	exit, err := p.Wait()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case exit.Code != 0, exit.Stderr != "":
		return fmt.Errorf("ffmpeg ended with %v", exit)
	}
	return errors.Join(feedErr, err, lines.Err())
}
