package desktop

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strconv"
	"time"
)

// Picture is one decoded picture of a recording.
type Picture struct {
	// At is the picture's time in the file.
	At time.Duration
	// Counter is the number on it; it means nothing unless OK.
	Counter uint32
	OK      bool
	// Width and Height are the size of the picture as recorded.
	Width, Height int
}

var shownInfo = regexp.MustCompile(`\] n: *\d+ pts: *-?\d+ pts_time:(-?[0-9.e+-]+) .* s:(\d+)x(\d+) `)

// DecodeMP4 decodes a recording with FFmpeg and reads the patch of every
// picture in it, none doubled and none left out. Pictures must be at least as
// large as the patch. A file that FFmpeg complains about is an error.
func DecodeMP4(ctx context.Context, path string) ([]Picture, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// FFmpeg cuts the patch out, so that only ten kilobytes a picture travel.
	cmd := exec.CommandContext(ctx, "ffmpeg", "-nostdin", "-hide_banner", "-nostats", "-loglevel", "level+info",
		"-xerror", "-copyts", "-i", path, "-map", "0:v:0",
		"-vf", fmt.Sprintf("showinfo=checksum=0,crop=%d:%d:0:0,format=gray", PatchWidth, PatchHeight),
		// Without the input's time base pictures that are closer than usual would fall on one tick.
		"-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "rawvideo", "-pix_fmt", "gray", "pipe:1")
	var said bytes.Buffer
	cmd.Stderr = &said
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("decode %s: %w", path, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("decode %s: %w", path, err)
	}
	pictures, readErr := readPatches(stdout)
	if err := cmd.Wait(); err != nil {
		return nil, fmt.Errorf("decode %s: %w: %s", path, err, lastLines(said.Bytes()))
	}
	if readErr != nil {
		return nil, fmt.Errorf("decode %s: %w", path, readErr)
	}
	if err := addInfo(pictures, &said); err != nil {
		return nil, fmt.Errorf("decode %s: %w", path, err)
	}
	return pictures, nil
}

// readPatches reads gray pictures of the patch's size until the end.
func readPatches(r io.Reader) ([]Picture, error) {
	pictures := []Picture{}
	pix := make([]byte, PatchWidth*PatchHeight)
	for {
		_, err := io.ReadFull(r, pix)
		if errors.Is(err, io.EOF) {
			return pictures, nil
		}
		if err != nil {
			return nil, err
		}
		counter, ok := ReadCounter(pix, PatchWidth, PatchHeight, PatchWidth)
		pictures = append(pictures, Picture{Counter: counter, OK: ok})
	}
}

// addInfo completes the pictures with what FFmpeg printed about each of them.
func addInfo(pictures []Picture, said io.Reader) error {
	lines := bufio.NewScanner(said)
	lines.Buffer(nil, 1<<20)
	count := 0
	for lines.Scan() {
		if bytes.Contains(lines.Bytes(), []byte("[error]")) {
			return fmt.Errorf("ffmpeg says %q", lines.Text())
		}
		match := shownInfo.FindStringSubmatch(lines.Text())
		if match == nil {
			continue
		}
		if count == len(pictures) {
			return fmt.Errorf("more times than the %d pictures", len(pictures))
		}
		seconds, err := strconv.ParseFloat(match[1], 64)
		if err != nil {
			return fmt.Errorf("time of picture %d: %w", count, err)
		}
		p := &pictures[count]
		p.At = time.Duration(seconds*1e6+0.5) * time.Microsecond
		p.Width, _ = strconv.Atoi(match[2])
		p.Height, _ = strconv.Atoi(match[3])
		count++
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if count != len(pictures) {
		return fmt.Errorf("%d times for %d pictures", count, len(pictures))
	}
	return nil
}

// lastLines returns the end of what a program said, for an error.
func lastLines(said []byte) []byte {
	const limit = 1000
	said = bytes.TrimSpace(said)
	return said[max(0, len(said)-limit):]
}
