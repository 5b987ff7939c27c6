package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/recfleet/recfleet/internal/identity"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// ffmpegInterrupted is FFmpeg's exit code after the interrupt that ends it in order.
const ffmpegInterrupted = 255

// recorder is one way to record a display.
type recorder struct {
	cmd   *exec.Cmd
	stop  os.Signal // that ends it in order
	exits int
	// written returns the bytes and pictures that came out, once it has ended.
	written func(context.Context) (bytes, pictures int64, err error)
	close   func()
}

func newRecorder(cfg config, way, dir, display string) (*recorder, error) {
	switch way {
	case "today":
		return byFFmpeg(cfg, filepath.Join(dir, "today.mp4"), display, "-vcodec", "libx264", "-pix_fmt", "yuv420p"), nil
	case "lossless":
		return byFFmpeg(cfg, filepath.Join(dir, "lossless.mkv"), display, "-vcodec", "libx264rgb", "-qp", "0", "-preset", "ultrafast"), nil
	case "agent":
		return byAgent(cfg, dir, display)
	}
	return nil, fmt.Errorf("no way %q", way)
}

// byFFmpeg is the command that people use.
func byFFmpeg(cfg config, path, display string, codec ...string) *recorder {
	args := []string{"-nostdin", "-loglevel", "error", "-framerate", strconv.Itoa(cfg.rate), "-f", "x11grab", "-i", display}
	return &recorder{
		cmd: exec.Command("ffmpeg", append(append(args, codec...), path)...), stop: syscall.SIGINT, exits: ffmpegInterrupted,
		close: func() {},
		written: func(ctx context.Context) (int64, int64, error) {
			st, err := os.Stat(path)
			if err != nil {
				return 0, 0, err
			}
			out, err := exec.CommandContext(ctx, "ffprobe", "-v", "error", "-count_packets", "-show_entries", "stream=nb_read_packets",
				"-of", "csv=p=0", path).Output()
			if err != nil {
				return 0, 0, fmt.Errorf("probe %s: %w", path, err)
			}
			n, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
			return st.Size(), n, err
		},
	}
}

// byAgent is the agent with a server of its own, which is not measured and killed when everything is in its hands.
func byAgent(cfg config, dir, display string) (*recorder, error) {
	data := filepath.Join(dir, "server")
	server := exec.Command(filepath.Join(cfg.bin, "recfleet"), "--data-dir", data, "--listen", "127.0.0.1:0",
		"--frame-rate", strconv.Itoa(cfg.rate), "--log-level", "error")
	server.Stderr = os.Stderr
	server.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := server.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := server.Start(); err != nil {
		return nil, err
	}
	end := func() {
		_ = syscall.Kill(-server.Process.Pid, syscall.SIGKILL) // it may have ended
		_, _ = io.Copy(io.Discard, out)
		_ = server.Wait()
	}
	// Its first line says that it serves.
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		end()
		return nil, errors.New("recfleet did not start")
	}
	agent := exec.Command(filepath.Join(cfg.bin, "recagent"), "run", "--config", filepath.Join(data, "client.json"),
		"--spool-dir", filepath.Join(dir, "spool"), "--display", display, "--log-level", "warn")
	return &recorder{
		cmd: agent, stop: syscall.SIGTERM, close: end,
		written: func(ctx context.Context) (int64, int64, error) {
			return served(ctx, filepath.Join(data, "client.json"))
		},
	}, nil
}

// served asks the server what it has got.
func served(ctx context.Context, path string) (bytes, pictures int64, err error) {
	client, err := identity.LoadClient(path)
	if err != nil {
		return 0, 0, err
	}
	conn, err := client.Dial()
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	sessions := recfleetv1.NewSessionServiceClient(conn)
	list, err := sessions.ListSessions(ctx, &recfleetv1.ListSessionsRequest{})
	if err != nil {
		return 0, 0, err
	}
	for _, s := range list.GetSessions() {
		full, err := sessions.GetSession(ctx, &recfleetv1.GetSessionRequest{SessionId: s.GetId()})
		if err != nil {
			return 0, 0, err
		}
		for _, g := range full.GetSession().GetSegments() {
			bytes += g.GetCapturedBytes()
			pictures += g.GetFrameCount()
		}
		if n := len(full.GetSession().GetGaps()); n > 0 {
			fmt.Fprintf(os.Stderr, "%d gaps, %s in all\n", n, full.GetSession().GetGapDuration().AsDuration())
		}
	}
	return bytes, pictures, nil
}
