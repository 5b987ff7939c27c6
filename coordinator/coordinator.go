// Package coordinator leads recordings: it answers agents, encoders and people, keeps the catalog, and does the duties
// that nobody asks for, each in one coordinator of those that share a catalog.
//
//	agents ----> api ---> sessions --> ingest --+
//	people --> api, web -> catalog <------------+--> jobs <-- api <-- encoders
//	                        ^
//	   for agents: watch and beats (lost ones), appstream (users without a recording), enroll (their keys)
//	   for sessions: jobs (leases), finish, purge (chunks), retention
//	   for evidence: refusals, digest
//
// Run wires the packages below this one and runs them; none of them knows Run. What comes in is a Config with everything
// opened that others share: the bus, the archive, a listener. What always holds: what was promised to an agent or an
// encoder is in the catalog before it is promised, so that the process may be killed at any instant.
package coordinator

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/api"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/front"
	"github.com/recfleet/recfleet/coordinator/policy"
	"github.com/recfleet/recfleet/coordinator/sessions"
	"github.com/recfleet/recfleet/coordinator/signer"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/identity"
	"github.com/recfleet/recfleet/internal/object"
)

// Config is what a coordinator needs. The fields above the line must be set; the others have defaults.
type Config struct {
	// CatalogPath is the SQLite database, made where there is none.
	CatalogPath string
	// Name is that of this coordinator among those that share the catalog, the same after a restart; a new one each time where it
	// is not set. DutyLease is how late the others take its duties over where it dies, default 15 s.
	Name      string
	DutyLease time.Duration
	// ManifestKey is the file of the key that manifests are signed with, made where there is none.
	ManifestKey string
	Broker      *bus.Broker
	Store       object.Store
	// Location is where Store lies, with the template of the sessions' folders.
	Location object.Location
	// Listener gives plain TCP connections; Run closes it.
	Listener net.Listener
	// TLS has the server's certificate.
	TLS    *tls.Config
	Tokens identity.Tokens
	// Authority signs the certificates of agents that join.
	Authority *identity.Authority
	Logger    hclog.Logger

	// Ready is called once when calls are served and everything that the coordinator needs has answered well.
	Ready func()
	// Policy says who is recorded and how; nil records everybody as the settings below say. Run reads it again at every signal
	// of Reload.
	Policy *policy.File
	Reload <-chan os.Signal
	// Access says who may do what; nil for the tokens of the installation only. Run reads it again at every signal of
	// AccessReload.
	Access       *access.File
	AccessReload <-chan os.Signal
	// Address is HOST:PORT by which the page is reached; OIDCSecret is the page's client secret at the provider that Access names,
	// empty where that names a file or the page is a public client.
	Address, OIDCSecret string
	// FrameRate is 1 to 60, default 5; SegmentLength 1 s to 1 h, default 300 s. A segment is sealed early when its stream has
	// SegmentBytes, default 512 MiB, at least 1 MiB. They hold for sessions that start from now on.
	FrameRate     int
	SegmentLength time.Duration
	SegmentBytes  int64
	// FreeBytes tells what the server's disk has left; below MinFreeBytes (default 500 MB) no session starts. nil where the
	// bus and the archive are on other hosts.
	FreeBytes    func() (uint64, error)
	MinFreeBytes uint64
	// Patience is how long an agent may be silent before its session says so, default 30 s; GiveUp, how long before its
	// session is taken over, default 15 min, at least 1 s.
	Patience, GiveUp time.Duration
	// Lease is how long an encoder keeps a job without a Sync, default 30 s.
	Lease time.Duration
	// Encode is how mp4s are made; default preset veryfast, CRF 23, a keyframe at least every 10 s,
	// a thumbnail every 30 s.
	Encode api.EncodeSettings
	// Metrics gives plain connections to Prometheus and to whoever asks how the coordinator stands; Run closes it. nil for
	// none.
	Metrics net.Listener
	// Registry takes what is counted; one of its own where it is nil.
	Registry *prometheus.Registry
	// Now is by which days end; the real clock where it is nil.
	Now func() time.Time
	// UnsafeBroker accepts a broker that acknowledges what is not on its disk.
	UnsafeBroker bool
}

// Defaults of settings.
const (
	DefaultFrameRate     = 5
	DefaultSegmentLength = 300 * time.Second
	DefaultSegmentBytes  = 512 << 20
	DefaultGiveUp        = 15 * time.Minute
)

const (
	minFrameRate, maxFrameRate         = 1, 60
	minSegmentLength, maxSegmentLength = time.Second, time.Hour

	minSegmentBytes = 1 << 20
	minGiveUp       = time.Second

	defaultMinFree  = 500_000_000
	defaultPatience = 30 * time.Second
	defaultLease    = 30 * time.Second
	checkTimeout    = 30 * time.Second
)

// ErrConfig says that a setting cannot be used; the text names it.
var ErrConfig = errors.New("coordinator settings")

// withDefaults fills in what is not set and checks what is.
func (c Config) withDefaults() (Config, error) {
	c.FrameRate = orDefault(c.FrameRate, DefaultFrameRate)
	c.SegmentLength = orDefault(c.SegmentLength, DefaultSegmentLength)
	c.SegmentBytes = orDefault(c.SegmentBytes, DefaultSegmentBytes)
	c.MinFreeBytes = orDefault(c.MinFreeBytes, defaultMinFree)
	c.Patience = orDefault(c.Patience, defaultPatience)
	c.GiveUp = orDefault(c.GiveUp, DefaultGiveUp)
	c.Lease = orDefault(c.Lease, defaultLease)
	c.Name = orDefault(c.Name, strings.ToLower(rand.Text()))
	c.DutyLease = orDefault(c.DutyLease, dutyLease)
	c.Encode.Preset = orDefault(c.Encode.Preset, "veryfast")
	c.Encode.CRF = orDefault(c.Encode.CRF, 23)
	c.Encode.KeyframeInterval = orDefault(c.Encode.KeyframeInterval, 10*time.Second)
	c.Encode.ThumbnailInterval = orDefault(c.Encode.ThumbnailInterval, 30*time.Second)
	switch {
	case c.FrameRate < minFrameRate || c.FrameRate > maxFrameRate:
		return c, fmt.Errorf("%w: frame rate %d is not within %d to %d", ErrConfig, c.FrameRate, minFrameRate, maxFrameRate)
	case c.SegmentLength < minSegmentLength || c.SegmentLength > maxSegmentLength:
		return c, fmt.Errorf("%w: segment length %v is not within %v to %v", ErrConfig, c.SegmentLength, minSegmentLength, maxSegmentLength)
	case c.SegmentBytes < minSegmentBytes:
		return c, fmt.Errorf("%w: segments of %d bytes are too small, %d is the least", ErrConfig, c.SegmentBytes, minSegmentBytes)
	case c.GiveUp < minGiveUp:
		return c, fmt.Errorf("%w: %v is too short to give a silent agent up, %v is the least", ErrConfig, c.GiveUp, minGiveUp)
	case c.Broker == nil || c.Store == nil || c.Listener == nil || c.TLS == nil || c.Authority == nil || c.Logger == nil:
		return c, fmt.Errorf("%w: broker, store, listener, TLS, authority and logger are needed", ErrConfig)
	case c.ManifestKey == "":
		return c, fmt.Errorf("%w: the file of the manifest key is missing", ErrConfig)
	case c.Tokens.Admin == "":
		return c, fmt.Errorf("%w: admin token is missing", ErrConfig)
	}
	return c, nil
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Run serves until ctx is done, then drains and returns nil. It blocks. It closes the listener and its own catalog, and
// nothing else of the Config. It refuses, with bus.ErrUnsafeBroker, a broker that may lose what it has acknowledged.
func Run(ctx context.Context, cfg Config) (err error) {
	cfg, err = cfg.withDefaults()
	if err != nil {
		return err
	}
	defer cfg.Listener.Close() // serving has closed it unless opening failed
	if cfg.Metrics != nil {
		defer cfg.Metrics.Close()
	}

	if err := cfg.check(ctx); err != nil {
		return err
	}
	store, err := catalog.Open(ctx, cfg.CatalogPath)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	keys, err := signer.Open(cfg.ManifestKey)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	p, err := cfg.build(ctx, store, keys)
	defer p.close()
	if err != nil {
		return err
	}

	group, running := errgroup.WithContext(ctx)
	for _, run := range []func(context.Context) error{p.board.Run, p.beats.Run, p.enroll.Run, p.refusals.Run} {
		group.Go(func() error { return run(running) })
	}
	for name, run := range map[string]func(context.Context) error{
		"watch": p.watching, "finish": p.finish.Run, "purge": p.purge.Run, "rescue": p.board.Rescue, "retention": p.retention.Run,
		"tidy": p.tidy.Run, "digest": p.digest.Run, "sweep": p.sweep.Run,
	} {
		group.Go(func() error { return p.singles(name).Run(running, run) })
	}
	group.Go(func() error {
		<-running.Done()
		close(p.closing)
		return nil
	})
	if cfg.Policy != nil {
		group.Go(func() error { return cfg.Policy.Run(running, cfg.Reload) })
	}
	if cfg.Access != nil {
		group.Go(func() error { return cfg.Access.Run(running, cfg.AccessReload) })
	}
	group.Go(func() error { return p.ops.run(running, cfg) })
	serving := make(chan struct{})
	group.Go(func() error {
		cfg.announce(running, serving, p.ops.health.Ready())
		return nil
	})
	group.Go(func() error {
		return front.Serve(running, front.Config{
			Listener: cfg.Listener, TLS: cfg.TLS, Machines: cfg.Authority.Pool(), GRPC: p.server, Web: p.ops.health.Handler(false, p.page),
			Ready: func() { close(serving) }, Logger: cfg.Logger.Named("front"),
		})
	})
	return group.Wait()
}

// announce calls Ready.
func (c Config) announce(ctx context.Context, serving, ready <-chan struct{}) {
	if c.Ready == nil {
		return
	}
	for _, reached := range []<-chan struct{}{serving, ready} {
		select {
		case <-reached:
		case <-ctx.Done():
			return
		}
	}
	c.Ready()
}

// check looks at what the coordinator depends on.
func (c Config) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if err := c.Store.Check(ctx); err != nil {
		return err
	}
	err := c.Broker.Check(ctx)
	if errors.Is(err, bus.ErrUnsafeBroker) && c.UnsafeBroker {
		c.Logger.Warn("unsafe broker was accepted", "error", err)
		return nil
	}
	return err
}

// sweep removes what writers that died have left in the archive. Encoders cannot: they may put there and nothing else.
func (c Config) sweep(ctx context.Context) error {
	removed, err := object.Sweep(ctx, c.Store, sweepAge)
	if removed > 0 {
		c.Logger.Info("unfinished uploads removed", "count", removed)
	}
	return err
}

// space refuses new sessions when the disk is nearly full.
func (c Config) space() error {
	if c.FreeBytes == nil {
		return nil
	}
	free, err := c.FreeBytes()
	if err != nil {
		return fmt.Errorf("read free disk space: %w", err)
	}
	if free < c.MinFreeBytes {
		return fmt.Errorf("%d MB are free, %d MB are needed: %w", free/1e6, c.MinFreeBytes/1e6, sessions.ErrNoSpace)
	}
	return nil
}
