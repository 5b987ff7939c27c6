// Package worker does one encode job: chunks come in from the bus, an mp4 goes out to the archive.
//
// The stages run at the same time, so that a segment of any length needs only a few pictures of memory: fetch checks the
// chunks against the hash chain and hands their bytes on, the screen codec makes pictures of them, transcode makes the mp4
// in the work directory. Only when all three are content is the file probed and archived; nothing is archived of a segment
// in which anything is not as the agent sealed it. Every failure carries whose fault it is from where it was born.
package worker

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/encoder/transcode"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/ffmpeg"
	"github.com/recfleet/recfleet/internal/object"
)

// Reader gives the chunks of a segment in order; see bus.Reader.
type Reader interface {
	Read(ctx context.Context, session string, segment, count int, yield func(chunk.Chunk) error) error
}

// Archive takes finished files; see object.Store.
type Archive interface {
	Put(ctx context.Context, key string, body io.ReadSeeker, opts object.PutOptions) (object.Info, error)
}

// Config is what a Worker needs.
type Config struct {
	Reader  Reader
	Archive Archive
	// WorkDir takes the files of jobs in work.
	WorkDir string
	// Stall is how long FFmpeg may take for one picture.
	Stall  time.Duration
	Logger hclog.Logger
}

// Worker does jobs. Its methods may be called from several goroutines.
type Worker struct{ cfg Config }

// New returns a worker.
func New(cfg Config) *Worker { return &Worker{cfg} }

// Run does one job to its end and calls progress with the number of frames handed to FFmpeg so far, from a goroutine of its
// own. When ctx ends it stops FFmpeg and returns ctx's cause; every other error is a *Failure. Doing a job twice is
// harmless: the archive never overwrites.
func (w *Worker) Run(ctx context.Context, job Job, progress func(frames int64)) (Result, error) {
	result, err := w.run(ctx, job, progress)
	if err != nil && ctx.Err() != nil {
		return Result{}, context.Cause(ctx)
	}
	return result, err
}

func (w *Worker) run(ctx context.Context, job Job, progress func(frames int64)) (Result, error) {
	if err := job.Validate(); err != nil {
		return Result{}, failure(Content, "check job: %w", err)
	}
	dir := filepath.Join(w.cfg.WorkDir, workName(job))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return Result{}, failure(Encoder, "make work directory: %w", err)
	}
	defer func() {
		if err := os.RemoveAll(dir); err != nil {
			w.cfg.Logger.Warn("work directory was not removed", "path", dir, "error", err)
		}
	}()
	path := filepath.Join(dir, "video.mp4")
	small := newThumbnails(job)
	made, err := w.encode(ctx, job, path, small, progress)
	if err != nil {
		return Result{}, err
	}
	result, err := probe(ctx, job, made, path)
	if err != nil {
		return Result{}, err
	}
	if result, err = w.archive(ctx, job, path, result); err != nil {
		return Result{}, err
	}
	return w.archiveThumbnails(ctx, job, small, result)
}

// encode runs the stages from the bus to the work file.
func (w *Worker) encode(ctx context.Context, job Job, path string, small *thumbnails, progress func(frames int64)) (transcode.Made, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, pipe := io.Pipe()
	var made transcode.Made
	var fetchErr, transcodeErr error
	var stages sync.WaitGroup
	stages.Go(func() {
		err := fetch(ctx, w.cfg.Reader, job.Source, pipe)
		if err == nil {
			_ = pipe.Close()
			return
		}
		pipe.CloseWithError(err)
		if errors.Is(err, errStreamLeft) || ctx.Err() != nil {
			return // whoever left has the reason
		}
		fetchErr = err
		cancel()
	})
	stages.Go(func() {
		made, transcodeErr = w.transcode(ctx, job, stream, path, small, progress)
		stream.CloseWithError(errStreamLeft)
		if transcodeErr != nil {
			cancel()
		}
	})
	stages.Wait()
	if fetchErr != nil { // then transcode's is only its echo
		return made, fetchErr
	}
	return made, transcodeErr
}

// errStreamLeft is what fetch sees when nobody reads any more.
var errStreamLeft = errors.New("stream is not read any more")

func (w *Worker) transcode(ctx context.Context, job Job, stream io.Reader, path string, small *thumbnails, progress func(frames int64)) (transcode.Made, error) {
	s := job.Source
	p := pictures{source: s, stream: stream, small: small, progress: progress}
	width, height := job.size()
	made, err := transcode.Run(ctx, transcode.Config{
		Width: s.Width, Height: s.Height, VideoWidth: width, VideoHeight: height, Frames: s.Frames, Duration: s.Duration,
		FrameRate: job.Settings.FrameRate, Preset: job.Settings.Preset, CRF: job.Settings.CRF,
		Bitrate: job.Settings.Bitrate, MaxFrameRate: job.Settings.MaxFrameRate,
		KeyframeInterval: job.Settings.KeyframeInterval, StillInterval: stillInterval, Stall: w.cfg.Stall, Path: path, Logger: w.cfg.Logger,
	}, p.next)
	var known *Failure
	switch {
	case err == nil:
		return made, nil
	case errors.As(err, &known):
		return made, known
	case errors.Is(err, transcode.ErrMissing), errors.Is(err, transcode.ErrNoSpace), errors.Is(err, transcode.ErrKilled),
		errors.Is(err, transcode.ErrNoMemory):
		return made, &Failure{Encoder, err}
	}
	return made, &Failure{Content, err}
}

// probe looks at the mp4 as a stranger would and compares it with what was announced and what was handed to FFmpeg: the mp4
// holds these frames, each at its time, and no other.
func probe(ctx context.Context, job Job, made transcode.Made, path string) (Result, error) {
	m, err := ffmpeg.Probe(ctx, path)
	switch {
	case errors.Is(err, ffmpeg.ErrNotInstalled):
		return Result{}, &Failure{Encoder, err}
	case err != nil:
		return Result{}, &Failure{Content, err}
	}
	s := job.Source
	interval := time.Second / time.Duration(job.Settings.FrameRate)
	switch width, height := job.size(); {
	case m.Codec != "h264" || m.PixelFormat != "yuv420p":
		return Result{}, failure(Content, "probe mp4: it is %s in %s", m.Codec, m.PixelFormat)
	case m.Width != width || m.Height != height:
		return Result{}, failure(Content, "probe mp4: it is %dx%d instead of %dx%d", m.Width, m.Height, width, height)
	case m.Frames != int64(len(made.Frames)):
		return Result{}, failure(Content, "probe mp4: it has %d frames instead of %d", m.Frames, len(made.Frames))
	case m.Start != 0:
		return Result{}, failure(Content, "probe mp4: it starts at %v", m.Start)
	case (m.Duration - s.Duration).Abs() > interval:
		return Result{}, failure(Content, "probe mp4: it lasts %v instead of %v", m.Duration, s.Duration)
	}
	for i, f := range made.Frames {
		if p := m.Packets[i]; p.At != f.At || f.Key && !p.Key {
			return Result{}, failure(Content, "probe mp4: frame %d is at %v (keyframe: %t) instead of %v (%t)", i, p.At, p.Key, f.At, f.Key)
		}
	}
	return Result{Captured: s.Frames, Frames: m.Frames, Duration: m.Duration, Width: m.Width, Height: m.Height}, nil
}

// archive puts the mp4 under its key. The file was just written and is read twice: for its hash and by the archive.
func (w *Worker) archive(ctx context.Context, job Job, path string, result Result) (Result, error) {
	f, err := os.Open(path)
	if err != nil {
		return Result{}, failure(Encoder, "archive mp4: %w", err)
	}
	defer f.Close()
	hash := sha256.New()
	if result.Bytes, err = io.Copy(hash, f); err != nil {
		return Result{}, failure(Encoder, "archive mp4: %w", err)
	}
	hash.Sum(result.SHA256[:0])
	result.ObjectVersion, err = w.put(ctx, job.ObjectKey, f, object.PutOptions{ContentType: "video/mp4", SHA256: result.SHA256})
	if err != nil {
		return Result{}, err
	}
	return result, nil
}

// put archives one object and returns its version; none where the archive keeps none, or this encoder may not ask for it.
func (w *Worker) put(ctx context.Context, key string, body io.ReadSeeker, options object.PutOptions) (string, error) {
	info, err := w.cfg.Archive.Put(ctx, key, body, options)
	switch {
	case errors.Is(err, object.ErrUnread): // most likely the answer to an earlier try was lost; the coordinator compares what is there
		return "", nil
	case errors.Is(err, object.ErrKey):
		return "", failure(Content, "archive %s: %w", options.ContentType, err)
	case errors.Is(err, object.ErrDigest): // the work file changed between the two readings
		return "", failure(Encoder, "archive %s: %w", options.ContentType, err)
	case err != nil:
		return "", failure(Destination, "archive %s: %w", options.ContentType, err)
	}
	return info.Version, nil
}

// stillInterval is how long one frame stands at most: players seek and show the clock by frames.
const stillInterval = 2 * time.Second
