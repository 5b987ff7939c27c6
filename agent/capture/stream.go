package capture

import (
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/internal/ffmpeg"
	"github.com/recfleet/recfleet/internal/screencodec"
)

// arrival is a whole frame in the encoder's picture, or why there will be no more.
type arrival struct {
	at  time.Time
	err error
}

// stream is one FFmpeg process that grabs one geometry, and the encoder of its pictures. A frame is read only when asked for.
type stream struct {
	geometry spool.Geometry
	cause    string // why it was started
	proc     *ffmpeg.Process
	enc      *screencodec.Encoder
	wanted   chan []byte
	frames   chan arrival
	deadline time.Time // by when it must have delivered
	started  time.Time
	count    int64
}

// arguments are FFmpeg's. The grabber's own packets are copied through: they are BGR0 on every display of 24 bits, and
// decoding them costs half as much again and delays the first by half a second.
func arguments(display string, g spool.Geometry, frameRate int) []string {
	return []string{
		"-nostdin", "-loglevel", "error", "-f", "x11grab", "-probesize", "32", "-analyzeduration", "0",
		"-framerate", strconv.Itoa(frameRate), "-draw_mouse", "1",
		"-video_size", fmt.Sprintf("%dx%d", g.Width, g.Height), "-i", display + "+0,0",
		"-c", "copy", "-f", "rawvideo", "-flush_packets", "1", "pipe:1",
	}
}

func startStream(cfg Config, g spool.Geometry, cause string) (*stream, error) {
	enc, err := screencodec.NewEncoder(screencodec.Config{Width: g.Width, Height: g.Height})
	if err != nil {
		return nil, fmt.Errorf("capture %dx%d: %w", g.Width, g.Height, err)
	}
	var env []string
	if cfg.Authority != "" {
		env = []string{"XAUTHORITY=" + cfg.Authority}
	}
	proc, err := ffmpeg.Start(ffmpeg.Config{
		Args: arguments(cfg.Display, g, cfg.FrameRate), Env: env, Stdout: true, Logger: cfg.Logger.Named("ffmpeg"),
	})
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &stream{
		geometry: g, cause: cause, proc: proc, enc: enc, started: now, deadline: now.Add(startPatience),
		wanted: make(chan []byte, 1), frames: make(chan arrival, 1),
	}, nil
}

// read delivers a frame for every picture on wanted, stamped with the time at which its first bytes came, until wanted is
// closed or the process ends; then it waits for the process.
func (s *stream) read(now func() time.Time, log hclog.Logger) {
	out := s.proc.Stdout()
	var failed error
	for pix := range s.wanted {
		n, err := out.Read(pix)
		at := now()
		if err == nil {
			_, err = io.ReadFull(out, pix[n:])
		}
		if err != nil {
			failed = err
			break
		}
		s.frames <- arrival{at: at}
	}
	s.proc.Kill()
	exit, err := s.proc.Wait()
	if err != nil {
		log.Warn("ffmpeg not waited for", "error", err)
	}
	if failed != nil {
		s.frames <- arrival{err: fmt.Errorf("ffmpeg ended: %s", exit)}
	}
}

// ask wants the next frame.
func (s *stream) ask() { s.wanted <- s.enc.Picture() }

// stop ends the process at once: there is nothing in it to be finished.
func (s *stream) stop() {
	s.proc.Kill()
	close(s.wanted)
}
