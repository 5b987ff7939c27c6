// Package standalone runs everything of recfleet's server side in one process: an embedded broker, the coordinator with its
// catalog and page, and an encoder, with a directory as the archive unless another location is given.
//
// It is the one place that knows both the coordinator and the encoder. They talk to each other as they do between hosts,
// through the port that agents use.
package standalone

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"github.com/recfleet/recfleet/coordinator"
	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/policy"
	"github.com/recfleet/recfleet/encoder"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/bus/embedded"
	"github.com/recfleet/recfleet/internal/filelock"
	"github.com/recfleet/recfleet/internal/identity"
	"github.com/recfleet/recfleet/internal/metrics"
	"github.com/recfleet/recfleet/internal/object"
	"github.com/recfleet/recfleet/internal/version"
)

// Config says how to run.
type Config struct {
	// DataDir keeps everything: identity, broker, catalog, work files and, unless Archive is set, the recordings.
	DataDir string
	// Listen is HOST:PORT of the API and the page; port 0 means any.
	Listen string
	// BusListen is HOST:PORT of the broker for agents; empty means Listen's host and any port. Any port is the one of the last start
	// where that is free.
	BusListen string
	// Host is the name or address by which others reach this host; empty means Listen's host, or the host's own name where
	// that is the unspecified address.
	Host string
	// Archive is where recordings go; empty means DataDir/archive.
	Archive string
	// FrameRate and SegmentLength are told to agents; 0 means the coordinator's defaults.
	FrameRate     int
	SegmentLength time.Duration
	// GiveUp is how long an agent may be silent before its session is taken over; 0 means the coordinator's default.
	GiveUp time.Duration
	// Policy is the file that says who is recorded and how, read again at every signal of Reload; empty means everybody.
	Policy string
	Reload <-chan os.Signal
	// Access is the file that says who may do what, read again at every signal of AccessReload; empty means the admin token only.
	Access       string
	AccessReload <-chan os.Signal
	// OIDCSecret is the page's client secret where Access names a provider and no file with it.
	OIDCSecret string
	// Certificate names the files of the certificate of Listen; without, the installation's own authority makes one. The broker's is
	// always its own.
	Certificate identity.CertificatePaths
	// RequireEnrollment lets nobody record with the token that agents share: they have to join.
	RequireEnrollment bool
	// Slots is how many segments are encoded at the same time.
	Slots int
	// MetricsListen is HOST:PORT for Prometheus and probes; empty for none.
	MetricsListen string

	Logger hclog.Logger
	// Ready is called once when everything serves, with the address to reach it.
	Ready func(address string)
}

// busShare is how much of the free disk the broker may fill: a full store is an error at once, a full disk is silence.
const busShare = 0.8

// Run serves until ctx is done, then stops taking work, finishes what is held, and closes the broker last. It blocks.
// ErrConfig and object.ErrLocation name a setting that cannot be used.
func Run(ctx context.Context, cfg Config) error {
	cfg, location, err := cfg.complete()
	if err != nil {
		return err
	}
	lock, err := filelock.Take(cfg.path("lock"))
	if err != nil {
		return fmt.Errorf("%w: data directory: %w", ErrConfig, err)
	}
	defer func() { _ = lock.Release() }()
	rules, err := policy.Open(cfg.Policy, cfg.Logger.Named("policy"))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	people, err := access.Open(cfg.Access, cfg.Logger.Named("access"))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	authority, err := identity.OpenAuthority(cfg.path("identity"))
	if err != nil {
		return err
	}
	tokens, err := identity.OpenTokens(cfg.path("identity"))
	if err != nil {
		return err
	}
	if cfg.RequireEnrollment {
		tokens.Agent = ""
	}
	serverTLS, ca, err := authority.ServerTLS(cfg.Certificate, []string{cfg.Host}, cfg.Logger.Named("tls"))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	brokerTLS, _, err := authority.ServerTLS(identity.CertificatePaths{}, []string{cfg.Host}, cfg.Logger)
	if err != nil {
		return err
	}
	server, trust, err := cfg.startBroker(brokerTLS)
	if err != nil {
		return err
	}
	defer server.Shutdown()
	broker, err := bus.DialBroker(ctx, bus.BrokerConfig{
		Trust: trust, URLs: []string{server.URLFor(cfg.Host)}, CA: authority.CACertificate(), Embedded: server, Logger: cfg.Logger.Named("bus"),
	})
	if err != nil {
		return err
	}
	defer broker.Close()
	store, err := object.Open(ctx, location, object.Config{Logger: cfg.Logger.Named("archive")})
	if err != nil {
		return err
	}
	defer func() { _ = store.Close() }()
	listener, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("%w: listen: %w", ErrConfig, err)
	}

	var metricsListener net.Listener
	if cfg.MetricsListen != "" {
		if metricsListener, err = net.Listen("tcp", cfg.MetricsListen); err != nil {
			listener.Close()
			return fmt.Errorf("%w: metrics listen: %w", ErrConfig, err)
		}
		defer metricsListener.Close()
		cfg.Logger.Info("metrics listener opened", "address", metricsListener.Addr().String())
	}
	registry := metrics.New("recfleet", version.Version)

	address := reachable(cfg.Host, listener.Addr())
	if err := tokens.WriteClients(cfg.DataDir, address, ca); err != nil {
		listener.Close()
		return err
	}
	conn, err := identity.Client{Address: address, CACertificate: ca, Token: tokens.Encoder}.Dial()
	if err != nil {
		listener.Close()
		return err
	}
	defer conn.Close()

	// The encoder drains before the coordinator stops answering it.
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	group, running := errgroup.WithContext(ctx)
	group.Go(func() error {
		return coordinator.Run(serving, coordinator.Config{
			CatalogPath: cfg.path("catalog.db"), Name: "standalone", ManifestKey: filepath.Join(cfg.path("identity"), "manifest.key"), Broker: broker, Store: store, Location: location, Listener: listener, TLS: serverTLS,
			Tokens: tokens, Authority: authority, FrameRate: cfg.FrameRate, SegmentLength: cfg.SegmentLength, GiveUp: cfg.GiveUp, FreeBytes: coordinator.DiskSpace(cfg.DataDir),
			Metrics: metricsListener, Registry: registry,
			Policy: rules, Reload: cfg.Reload, Access: people, AccessReload: cfg.AccessReload, Address: address, OIDCSecret: cfg.OIDCSecret, Logger: cfg.Logger.Named("coordinator"), Ready: func() { cfg.Ready(address) },
		})
	})
	group.Go(func() error {
		defer stopServing()
		err := encoder.Run(running, encoder.Config{
			Client: conn, Store: store, WorkDir: cfg.path("work"), Slots: cfg.Slots, Host: cfg.Host, Registry: registry, Logger: cfg.Logger.Named("encoder"),
		})
		if err == nil {
			<-running.Done() // it may have been ordered to drain; the rest goes on
		}
		return err
	})
	return group.Wait()
}

func (c Config) path(name string) string { return filepath.Join(c.DataDir, name) }

// startBroker starts the embedded broker with what it may fill of the disk.
func (c Config) startBroker(serverTLS *tls.Config) (*embedded.Server, *bus.Trust, error) {
	trust, err := bus.OpenTrust(c.path("bus"))
	if err != nil {
		return nil, nil, err
	}
	host, port, err := splitAddress("bus listen", c.BusListen)
	if err != nil {
		return nil, nil, err
	}
	free, err := coordinator.DiskSpace(c.DataDir)()
	if err != nil {
		return nil, nil, err
	}
	settings := embedded.Config{
		Dir: c.path("bus"), Host: host, Port: port, TLS: serverTLS, Trust: trust, StoreBytes: int64(float64(free) * busShare),
		Logger: c.Logger.Named("bus"),
	}
	last := filepath.Join(c.path("bus"), portFile)
	if port == 0 {
		settings.Port = rememberedPort(last)
	}
	server, err := embedded.Start(settings)
	if errors.Is(err, embedded.ErrListen) && settings.Port != port {
		c.Logger.Warn("port of the broker was taken", "port", settings.Port)
		settings.Port = 0
		server, err = embedded.Start(settings)
	}
	switch {
	case errors.Is(err, embedded.ErrListen):
		return nil, nil, fmt.Errorf("%w: %w", ErrConfig, err)
	case err != nil:
		return nil, nil, err
	}
	if server.Port() == rememberedPort(last) {
		return server, trust, nil
	}
	if err := os.WriteFile(last, []byte(strconv.Itoa(server.Port())+"\n"), 0o600); err != nil {
		server.Shutdown()
		return nil, nil, fmt.Errorf("keep the broker's port: %w", err)
	}
	return server, trust, nil
}

// portFile keeps the port of a broker that may have any: agents that record go on to look for it there after a restart.
const portFile = "port"

// rememberedPort returns the port of the last start, 0 where it is not known.
func rememberedPort(path string) int {
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0
	}
	port, err := strconv.ParseUint(strings.TrimSpace(string(raw)), 10, 16)
	if err != nil {
		return 0
	}
	return int(port)
}

// ErrConfig means that a setting cannot be used; the text names it.
var ErrConfig = errors.New("recfleet settings")

// complete fills in what is not set and checks what is.
func (c Config) complete() (Config, object.Location, error) {
	if c.DataDir == "" {
		return c, object.Location{}, fmt.Errorf("%w: data directory is missing", ErrConfig)
	}
	var err error
	if c.DataDir, err = filepath.Abs(c.DataDir); err == nil {
		err = os.MkdirAll(c.DataDir, 0o700)
	}
	if err != nil {
		return c, object.Location{}, fmt.Errorf("%w: data directory: %w", ErrConfig, err)
	}
	host, _, err := splitAddress("listen", c.Listen)
	if err != nil {
		return c, object.Location{}, err
	}
	if c.BusListen == "" {
		c.BusListen = net.JoinHostPort(host, "0")
	}
	if c.Host == "" {
		c.Host = host
		if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
			if c.Host, err = os.Hostname(); err != nil {
				return c, object.Location{}, fmt.Errorf("%w: host: %w", ErrConfig, err)
			}
		}
	}
	if c.Archive == "" {
		c.Archive = "file://" + c.path("archive")
	}
	if c.Slots < 1 {
		return c, object.Location{}, fmt.Errorf("%w: slots: %d is none", ErrConfig, c.Slots)
	}
	location, err := object.ParseLocation(c.Archive)
	return c, location, err
}

func splitAddress(name, address string) (host string, port int, err error) {
	tcp, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return "", 0, fmt.Errorf("%w: %s: %w", ErrConfig, name, err)
	}
	host, _, err = net.SplitHostPort(address)
	return host, tcp.Port, err
}

// reachable is a listener's address under the host's name.
func reachable(host string, listening net.Addr) string {
	_, port, err := net.SplitHostPort(listening.String())
	if err != nil {
		return listening.String()
	}
	return net.JoinHostPort(host, port)
}
