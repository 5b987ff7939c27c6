// Package encoder turns sealed segments into archived mp4s: leases come in from the coordinator with every Sync, results
// and failures go back, and what is held is named in every Sync so that the coordinator renews it.
//
// What always holds: no work goes on under a lease that was lost or ran out by the encoder's own clock; an encoder that is
// stopped finishes what it holds, within bounds, and gives the rest back; one that is killed costs the lease's time.
package encoder

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/recfleet/recfleet/encoder/worker"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/ffmpeg"
	"github.com/recfleet/recfleet/internal/object"
	"github.com/recfleet/recfleet/internal/version"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// Config is what Run needs. Zero durations mean the defaults that are named.
type Config struct {
	// Client is the connection to the coordinator; Run does not close it.
	Client grpc.ClientConnInterface
	// Store is the archive; Run does not close it.
	Store object.Store
	// WorkDir takes the mp4s in work; made where it is missing, and taken by one encoder at a time.
	WorkDir string
	// Slots is how many jobs are done at the same time, or AutoSlots.
	Slots int
	// Labels are the pools of jobs that are taken beside those for any encoder.
	Labels []string
	Logger hclog.Logger

	// Host and Version are told to the coordinator, for people; Version is the program's where it is empty.
	Host, Version string
	// DrainTime is how long jobs may go on after ctx has ended; 2 min.
	DrainTime time.Duration
	// Stop, where set, is closed to end at once: what is held is given back.
	Stop <-chan struct{}
	// Stall is how long FFmpeg may take for one picture; 2 min.
	Stall time.Duration
	// Registry takes what is counted; one of its own where it is nil.
	Registry *prometheus.Registry
	// Ready, where set, is called once when the coordinator has answered and the bus is reached.
	Ready func()

	// dialBus is replaced in tests.
	dialBus func(context.Context, bus.ClientConfig) (busReader, error)
	meter   meter
}

// ErrUnusable means that what Run was given cannot be used; trying again does not help until somebody mends it.
var ErrUnusable = errors.New("encoder cannot start")

// busReader is what the encoder needs of bus.Reader.
type busReader interface {
	worker.Reader
	io.Closer
	Renew(bus.Grant)
}

func (c Config) withDefaults() (Config, error) {
	switch {
	case c.Client == nil || c.Store == nil || c.Logger == nil:
		return c, fmt.Errorf("%w: client, store or logger is missing", ErrUnusable)
	case c.Slots < 1 && c.Slots != AutoSlots:
		return c, fmt.Errorf("%w: %d slots are none", ErrUnusable, c.Slots)
	case c.WorkDir == "":
		return c, fmt.Errorf("%w: work directory is missing", ErrUnusable)
	}
	if c.DrainTime <= 0 {
		c.DrainTime = 2 * time.Minute
	}
	if c.Stall <= 0 {
		c.Stall = 2 * time.Minute
	}
	if c.Version == "" {
		c.Version = version.Version
	}
	if c.Registry == nil {
		c.Registry = prometheus.NewRegistry()
	}
	if c.Ready == nil {
		c.Ready = func() {}
	}
	if c.dialBus == nil {
		c.dialBus = dialBus
	}
	return c, nil
}

// Run leases and does jobs until ctx ends, finishes those it holds for at most DrainTime or until Stop, and gives the rest
// back. It fails at once with ErrUnusable where the configuration, the work directory or FFmpeg is unusable or the coordinator
// refuses the caller; a coordinator that is away is tried again for ever. Where the coordinator orders it to drain it
// finishes what it holds and returns nil.
func Run(ctx context.Context, cfg Config) error {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return err
	}
	release, err := worker.Claim(cfg.WorkDir)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	defer func() { _ = release() }()
	ffmpegVersion, err := tryFFmpeg(ctx, cfg.Logger)
	switch {
	case ctx.Err() != nil:
		return nil // ended before anything was leased
	case err != nil:
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	key, err := bus.NewKey()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	slots, err := newSlots(cfg)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnusable, err)
	}
	p := &pool{
		cfg: cfg, client: recfleetv1.NewEncoderServiceClient(cfg.Client), id: newID(), ffmpeg: ffmpegVersion,
		count: newCounts(cfg.Registry),
		link:  busLink{key: key, dial: cfg.dialBus, logger: cfg.Logger},
		held:  map[string]*held{}, synced: make(chan syncResult, 1), ended: make(chan *held, slots.most()),
		slots: slots,
	}
	p.count.slots.Set(float64(slots.number))
	defer p.link.close()
	return p.run(ctx)
}

// tryFFmpeg returns FFmpeg's version, and says what holds for the FFmpegs to come.
func tryFFmpeg(ctx context.Context, logger hclog.Logger) (string, error) {
	version, err := ffmpeg.Version(ctx)
	if err != nil {
		return "", err
	}
	held, err := ffmpeg.Confine(ctx)
	if err != nil {
		return "", err
	}
	tell := logger.Info
	if !held.Limited || !held.Offline || !held.OwnUser {
		tell = logger.Warn // the work is done all the same
	}
	tell("ffmpeg confined", "limits_from_start", held.Limited, "limits", held.Limited || held.LimitedLate, "offline", held.Offline,
		"own_user_namespace", held.OwnUser, "processes_limited", held.Counted)
	return version, nil
}

func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
