package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/encoder/transcode"
	"github.com/recfleet/recfleet/internal/ffmpeg"
	"github.com/recfleet/recfleet/internal/screencodec"
)

// raw is how FFmpeg is told of the lossless frames that come through its standard input.
func raw() []string {
	return []string{"-f", "rawvideo", "-pix_fmt", "bgr0", "-s", fmt.Sprintf("%dx%d", width, height), "-r", strconv.Itoa(rate), "-i", "pipe:0"}
}

// command runs FFmpeg on all frames of a film and returns how it ended.
func command(f *film, args []string) (ffmpeg.Exit, time.Duration, error) {
	began := time.Now()
	p, err := ffmpeg.Start(ffmpeg.Config{Args: args, Stdin: true, Logger: hclog.NewNullLogger()})
	if err != nil {
		return ffmpeg.Exit{}, 0, err
	}
	feedErr := f.play(func(frame screencodec.Frame) error {
		_, err := p.Stdin().Write(frame.Pix)
		return err
	})
	closeErr := p.Stdin().Close()
	exit, err := p.Wait()
	if errors.Is(feedErr, syscall.EPIPE) && exit.Code == 0 {
		feedErr = nil
	}
	if err = errors.Join(err, feedErr, closeErr); err != nil || exit.Code != 0 {
		return exit, 0, fmt.Errorf("ffmpeg ended with %v: %w", exit, err)
	}
	return exit, time.Since(began), nil
}

// theirs makes the mp4 that people make today.
func theirs(f *film, out string) (c cost, err error) {
	args := append([]string{"-y", "-v", "error"}, raw()...)
	exit, took, err := command(f, append(args, "-vcodec", "libx264", "-pix_fmt", "yuv420p", "-f", "mp4", out))
	if err != nil {
		return c, err
	}
	info, err := os.Stat(out)
	if err != nil {
		return c, err
	}
	return cost{cpu: exit.CPU, time: took, bytes: info.Size(), frames: int64(f.frames)}, nil
}

// bare runs FFmpeg alone with the encoder's settings on the frames of the mp4 that the encoder made.
func bare(ctx context.Context, cfg config, f *film, ours, out string) (c cost, err error) {
	m, err := ffmpeg.Probe(ctx, ours)
	if err != nil {
		return c, err
	}
	var chosen, keys []string
	for _, p := range m.Packets {
		chosen = append(chosen, fmt.Sprintf("eq(n,%d)", p.At/interval))
		if p.Key {
			keys = append(keys, strconv.FormatFloat(p.At.Seconds(), 'f', 3, 64))
		}
	}
	args := transcode.Arguments(transcodeConfig(cfg, f, out))
	output := args[slices.Index(args, "-map"):]
	output[slices.Index(output, "-force_key_frames")+1] = strings.Join(keys, ",")
	args = append([]string{"-y", "-v", "error"}, raw()...)
	args = append(args, "-vf", "select='"+sum(chosen)+"',scale=out_color_matrix=bt709:out_range=tv")
	exit, took, err := command(f, append(args, output...))
	if err != nil {
		return c, err
	}
	info, err := os.Stat(out)
	if err != nil {
		return c, err
	}
	return cost{cpu: exit.CPU, time: took, bytes: info.Size(), frames: m.Frames}, os.Remove(out)
}

// sum adds terms up in a tree: FFmpeg bounds how deep an expression may be.
func sum(terms []string) string {
	if len(terms) == 1 {
		return terms[0]
	}
	half := len(terms) / 2
	return "(" + sum(terms[:half]) + "+" + sum(terms[half:]) + ")"
}

var similarity = regexp.MustCompile(`ssim_(\d+) .*SSIM.* All:([0-9.]+)`)

// judge compares an mp4 with the lossless frames at the times of these: in RGB, as it is seen, and in luma, in the matrix
// that the mp4 is in. A frame that was left out is the one before it.
func (c *cost) judge(f *film, path, matrix string) error {
	graph := "[1:v]split[m1][m2];[0:v]split[r1][r2];[r1]format=gbrp[a1];[m1]scale,format=gbrp[b1];[a1][b1]ssim,nullsink;" +
		"[r2]scale=out_color_matrix=" + matrix + ":out_range=tv,format=yuv420p,extractplanes=y[a2];[m2]extractplanes=y[b2];[a2][b2]ssim"
	args := append([]string{"-y", "-nostats", "-v", "info"}, raw()...)
	exit, _, err := command(f, append(args, "-i", "file:"+path, "-filter_complex", graph, "-f", "null", "-"))
	if err != nil {
		return err
	}
	found := similarity.FindAllStringSubmatch(exit.Stderr, -1)
	slices.SortFunc(found, func(a, b []string) int {
		x, _ := strconv.Atoi(a[1])
		y, _ := strconv.Atoi(b[1])
		return x - y
	})
	if len(found) != 2 || !strings.Contains(exit.Stderr, fmt.Sprintf("frame=%5d", f.frames)) {
		return fmt.Errorf("compare frames: %s", exit.Stderr)
	}
	var err2 error
	c.rgb, err = strconv.ParseFloat(found[0][2], 64)
	c.luma, err2 = strconv.ParseFloat(found[1][2], 64)
	return errors.Join(err, err2)
}
