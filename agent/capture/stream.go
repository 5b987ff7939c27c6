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

const pixelBytes = 4

// arrival is a frame that has begun to come and waits for its place, a frame that is whole in its place, or why there will be
// no more.
type arrival struct {
	at    time.Time // when its first bytes came
	whole bool
	err   error
}

// stream is one FFmpeg process that grabs one geometry. Every frame is announced with its first pixel and then read to
// where place says.
type stream struct {
	geometry spool.Geometry
	proc     *ffmpeg.Process
	places   chan []byte
	arrivals chan arrival
	started  time.Time
	deadline time.Time // by when something must have come

	head  time.Time // when the last frame began to come, on the session's time line
	fresh bool      // the next frame was taken after head
	lent  bool      // a frame is being read into the epoch's picture
	pace  pace
}

// pace counts what a stream delivers.
type pace struct {
	since time.Time
	count int
}

// flooded counts one more, and reports whether there were more than bound within a second.
func (p *pace) flooded(now time.Time, bound int) bool {
	if now.Sub(p.since) >= time.Second {
		*p = pace{since: now}
	}
	p.count++
	return p.count > bound
}

// arguments are FFmpeg's. The grabber's own packets are copied through: they are BGR0 on every display that x11 opens, and
// decoding them costs half as much again and delays the first by half a second.
func arguments(display string, g spool.Geometry, frameRate int) []string {
	return []string{
		"-nostdin", "-loglevel", "error", "-f", "x11grab", "-probesize", "32", "-analyzeduration", "0",
		"-framerate", strconv.Itoa(frameRate), "-draw_mouse", "1",
		"-video_size", fmt.Sprintf("%dx%d", g.Width, g.Height), "-i", display + "+0,0",
		"-c", "copy", "-f", "rawvideo", "-flush_packets", "1", "-avioflags", "direct", "pipe:1",
	}
}

func startStream(cfg Config, g spool.Geometry) (*stream, error) {
	if err := (screencodec.Config{Width: g.Width, Height: g.Height}).Validate(); err != nil {
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
	// There is room for what the reader may say after nobody listens any more: that a frame is whole, and one thing after it.
	return &stream{
		geometry: g, proc: proc, started: now, deadline: now.Add(startPatience),
		places: make(chan []byte, 1), arrivals: make(chan arrival, 2),
	}, nil
}

// read announces and delivers frames, stamped with the time at which their first bytes came, until stop is called or the
// process ends; then it waits for the process.
func (s *stream) read(now func() time.Time, log hclog.Logger) {
	failed := s.deliver(s.proc.Stdout(), now)
	s.proc.Kill()
	exit, err := s.proc.Wait()
	if err != nil {
		log.Warn("ffmpeg not waited for", "error", err)
	}
	if failed != nil {
		s.arrivals <- arrival{err: fmt.Errorf("ffmpeg ended: %s", exit)}
	}
}

func (s *stream) deliver(out io.Reader, now func() time.Time) error {
	size := int64(s.geometry.Width) * int64(s.geometry.Height) * pixelBytes
	var first [pixelBytes]byte
	for {
		if _, err := io.ReadFull(out, first[:]); err != nil {
			return err
		}
		at := now()
		s.arrivals <- arrival{at: at}
		pix, ok := <-s.places
		if !ok {
			return nil
		}
		if pix == nil {
			if _, err := io.CopyN(io.Discard, out, size-pixelBytes); err != nil {
				return err
			}
			continue
		}
		n := copy(pix, first[:])
		if _, err := io.ReadFull(out, pix[n:]); err != nil {
			return err
		}
		s.arrivals <- arrival{at: at, whole: true}
	}
}

// place says where the frame that was announced is to go; nil drops it. Once for each.
func (s *stream) place(pix []byte) { s.places <- pix }

// stop ends the process at once: there is nothing in it to be finished. What was lent may still be written to for a moment.
func (s *stream) stop() {
	s.proc.Kill()
	close(s.places)
}
