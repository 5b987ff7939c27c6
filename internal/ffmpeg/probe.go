package ffmpeg

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Media is what ffprobe says of a file with one video stream.
type Media struct {
	Codec       string // as "h264"
	PixelFormat string // as "yuv420p"
	Width       int
	Height      int
	// Frames is the number of packets in the video stream, one a frame.
	Frames  int64
	Packets []Packet
	// Duration is from the start of the first frame to the end of the last.
	Duration time.Duration
	// Start is the time stamp of the first frame.
	Start time.Duration
}

// Packet is one of the video stream, in the order of the file.
type Packet struct {
	At  time.Duration // its presentation time
	Key bool
}

// Probe reads the file at path to its end with ffprobe. It fails where the file is unreadable, has another number of
// streams than one, or ffprobe has anything to complain about.
func Probe(ctx context.Context, path string) (Media, error) {
	out, err := run(ctx, "ffprobe", "-v", "error", "-protocol_whitelist", "file",
		"-show_entries", "packet=pts_time,flags", "-show_streams", "-show_format", "-of", "json", "-i", "file:"+path)
	if err != nil {
		return Media{}, fmt.Errorf("probe %s: %w", path, err)
	}
	m, err := parseProbe(out)
	if err != nil {
		return Media{}, fmt.Errorf("probe %s: %w", path, err)
	}
	return m, nil
}

func parseProbe(out []byte) (Media, error) {
	var answer struct {
		Packets []struct {
			Time  string `json:"pts_time"`
			Flags string `json:"flags"`
		} `json:"packets"`
		Streams []struct {
			CodecType string `json:"codec_type"`
			CodecName string `json:"codec_name"`
			PixFmt    string `json:"pix_fmt"`
			Width     int    `json:"width"`
			Height    int    `json:"height"`
			StartTime string `json:"start_time"`
		} `json:"streams"`
		Format struct {
			Duration string `json:"duration"`
		} `json:"format"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return Media{}, fmt.Errorf("parse ffprobe's answer: %w", err)
	}
	if len(answer.Streams) != 1 || answer.Streams[0].CodecType != "video" {
		return Media{}, fmt.Errorf("%d streams instead of one video stream", len(answer.Streams))
	}
	s := answer.Streams[0]
	m := Media{Codec: s.CodecName, PixelFormat: s.PixFmt, Width: s.Width, Height: s.Height}
	m.Frames = int64(len(answer.Packets))
	for i, p := range answer.Packets {
		at, err := parseSeconds(p.Time)
		if err != nil {
			return m, fmt.Errorf("time of packet %d: %w", i, err)
		}
		m.Packets = append(m.Packets, Packet{At: at, Key: strings.HasPrefix(p.Flags, "K")})
	}
	var err, err2 error
	m.Duration, err = parseSeconds(answer.Format.Duration)
	m.Start, err2 = parseSeconds(s.StartTime)
	return m, errors.Join(err, err2)
}

func parseSeconds(s string) (time.Duration, error) {
	return time.ParseDuration(s + "s")
}

// Version returns the version of the ffmpeg on the PATH, as "5.1.9-0+deb12u1".
func Version(ctx context.Context) (string, error) {
	out, err := run(ctx, "ffmpeg", "-version")
	if err != nil {
		return "", fmt.Errorf("ask ffmpeg's version: %w", err)
	}
	fields := strings.Fields(string(out))
	if len(fields) < 3 || fields[0] != "ffmpeg" || fields[1] != "version" {
		return "", errors.New("ask ffmpeg's version: unknown answer")
	}
	return fields[2], nil
}

// command returns a program to be run in a group of its own, which is killed when ctx ends.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second
	cmd.Env = os.Environ()
	return cmd
}

// run runs a program to its end, confined as far as the kernel allows, and returns its output; any message on its stderr is a failure, whatever its exit code.
func run(ctx context.Context, name string, args ...string) ([]byte, error) {
	var stdout bytes.Buffer
	stderr := &tail{}
	cmd, _, err := launch(func() *exec.Cmd {
		c := command(ctx, name, args...)
		c.Stdout, c.Stderr = &stdout, stderr
		return c
	}, probeLimits(), true)
	if err == nil {
		err = cmd.Wait()
	}
	switch message := oneLine(stderr.String()); {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case message != "":
		return nil, errors.New(message)
	case err != nil:
		return nil, installed(err)
	}
	return stdout.Bytes(), nil
}
