package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/recfleet/recfleet/encoder/transcode"
	"github.com/recfleet/recfleet/encoder/worker"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/bus/embedded"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/identity"
	"github.com/recfleet/recfleet/internal/object"
)

// cost is what one way took and made.
type cost struct {
	cpu, time time.Duration
	bytes     int64
	frames    int64
	rgb, luma float64 // SSIM
}

// result is what the ways made of one film.
type result struct {
	scene              string
	frames             int
	theirs, ours, bare cost
}

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// bench has the broker and the archive that the whole encoder needs.
type bench struct {
	dir    string
	server *embedded.Server
	broker *bus.Broker
	store  object.Store
}

func openBench(ctx context.Context, dir string) (*bench, error) {
	authority, err := identity.OpenAuthority(filepath.Join(dir, "identity"))
	if err != nil {
		return nil, err
	}
	certificate, err := authority.ServerCertificate(nil)
	if err != nil {
		return nil, err
	}
	trust, err := bus.OpenTrust(filepath.Join(dir, "trust"))
	if err != nil {
		return nil, err
	}
	location, err := object.ParseLocation("file://" + filepath.Join(dir, "archive"))
	if err != nil {
		return nil, err
	}
	store, err := object.Open(ctx, location, object.Config{})
	if err != nil {
		return nil, err
	}
	server, err := embedded.Start(embedded.Config{
		Dir: filepath.Join(dir, "js"), Host: "127.0.0.1", Trust: trust, StoreBytes: 8 << 30, Logger: hclog.NewNullLogger(),
		TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13},
	})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	broker, err := bus.DialBroker(ctx, bus.BrokerConfig{
		Trust: trust, URLs: []string{server.URL()}, CA: authority.CACertificate(), Embedded: server, Logger: hclog.NewNullLogger(),
	})
	if err != nil {
		server.Shutdown()
		return nil, errors.Join(err, store.Close())
	}
	return &bench{dir, server, broker, store}, nil
}

func (b *bench) close() {
	b.broker.Close()
	b.server.Shutdown()
	_ = b.store.Close()
}

// compare makes mp4s of a film in all ways.
func (b *bench) compare(ctx context.Context, cfg config, f *film) (r result, err error) {
	r.scene, r.frames = f.scene, f.frames
	today := filepath.Join(b.dir, f.scene+"-today.mp4")
	if r.theirs, err = theirs(f, today); err == nil {
		err = r.theirs.judge(f, today, "bt601")
	}
	if err != nil {
		return r, fmt.Errorf("today's command: %w", err)
	}
	ours, err := b.whole(ctx, cfg, f, &r.ours)
	if err == nil {
		err = r.ours.judge(f, ours, "bt709")
	}
	if err != nil {
		return r, fmt.Errorf("the encoder: %w", err)
	}
	r.bare, err = bare(ctx, cfg, f, ours, filepath.Join(b.dir, f.scene+"-bare.mp4"))
	if err != nil {
		return r, fmt.Errorf("bare FFmpeg: %w", err)
	}
	return r, errors.Join(os.Remove(today), os.Remove(ours))
}

// whole makes the mp4 by the encoder as it runs, from the broker to the archive, and returns where it is.
func (b *bench) whole(ctx context.Context, cfg config, f *film, c *cost) (path string, err error) {
	source, err := b.publish(ctx, f)
	if err != nil {
		return "", err
	}
	key, err := bus.NewKey()
	if err != nil {
		return "", err
	}
	grant, err := b.broker.GrantEncoder(key.Public(), "e1")
	if err != nil {
		return "", err
	}
	reader, err := bus.DialReader(ctx, bus.ClientConfig{Key: key, Grant: grant, Logger: hclog.NewNullLogger()})
	if err != nil {
		return "", err
	}
	defer reader.Close()
	work := filepath.Join(b.dir, "work")
	if err := os.MkdirAll(work, 0o700); err != nil {
		return "", err
	}
	w := worker.New(worker.Config{Reader: reader, Archive: b.store, WorkDir: work, Stall: time.Minute, Logger: hclog.NewNullLogger()})
	job := worker.Job{
		Generation: 1, Source: source, ObjectKey: f.scene + ".mp4",
		SpriteKey: f.scene + ".jpg", ThumbnailIndexKey: f.scene + ".vtt",
		Settings: worker.Settings{FrameRate: rate, Preset: cfg.preset, CRF: cfg.crf, KeyframeInterval: keyframes, ThumbnailInterval: 30 * time.Second},
	}
	began, before := time.Now(), spent()
	made, err := w.Run(ctx, job, func(int64) {})
	c.cpu, c.time = spent()-before, time.Since(began)
	c.bytes, c.frames = made.Bytes, made.Frames
	return filepath.Join(b.dir, "archive", job.ObjectKey), err
}

const keyframes = 10 * time.Second

// transcodeConfig is what the encoder does with a film; frames are those that are handed to FFmpeg.
func transcodeConfig(cfg config, f *film, out string) transcode.Config {
	return transcode.Config{
		Width: width, Height: height, VideoWidth: width, VideoHeight: height, Frames: int64(f.frames), Duration: f.duration(), FrameRate: rate,
		Preset: cfg.preset, CRF: cfg.crf, KeyframeInterval: keyframes, Path: out,
	}
}

// publish puts a film on the bus as an agent does.
func (b *bench) publish(ctx context.Context, f *film) (worker.Source, error) {
	s := worker.Source{
		Session: f.scene, Segment: 1, Frames: int64(f.frames), Width: width, Height: height, Start: start, Duration: f.duration(),
		ChainStart: chunk.Genesis(f.scene),
	}
	if err := b.broker.CreateSession(ctx, f.scene, 512<<20); err != nil {
		return s, err
	}
	key, err := bus.NewKey()
	if err != nil {
		return s, err
	}
	grant, err := b.broker.GrantAgent(key.Public(), f.scene)
	if err != nil {
		return s, err
	}
	publisher, err := bus.DialPublisher(ctx, bus.ClientConfig{Key: key, Grant: grant, Logger: hclog.NewNullLogger()})
	if err != nil {
		return s, err
	}
	defer publisher.Close()
	s.ChainEnd = s.ChainStart
	for rest := f.stream; len(rest) > 0; s.Chunks++ {
		piece := rest[:min(len(rest), chunk.MaxPayload)]
		rest = rest[len(piece):]
		sum := chunk.Sum(piece)
		s.ChainEnd = s.ChainEnd.Next(sum)
		if err := publisher.Publish(ctx, chunk.Chunk{
			Session: f.scene, Segment: 1, Seq: s.Chunks, Epoch: 1, Offset: s.Bytes, Sum: sum, Chain: s.ChainEnd, Frames: s.Frames,
			Start: start, LastFrame: start.Add(f.duration()), Width: width, Height: height, Bytes: len(piece), Payload: piece,
		}); err != nil {
			return s, err
		}
		s.Bytes += int64(len(piece))
	}
	return s, nil
}

// spent is the CPU time of this process and of the children that it has waited for.
func spent() (sum time.Duration) {
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err == nil {
			sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
		}
	}
	return sum
}
