package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator"
	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/duty"
	"github.com/recfleet/recfleet/coordinator/policy"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/filelock"
	"github.com/recfleet/recfleet/internal/identity"
	"github.com/recfleet/recfleet/internal/object"
	"github.com/recfleet/recfleet/internal/program"
)

// identityDir is where, in the data directory, the authority and the tokens are.
func identityDir(dataDir string) string { return filepath.Join(dataDir, "identity") }

// serve opens what the settings name and runs the coordinator.
func (s settings) serve(ctx context.Context, stdout, stderr io.Writer) error {
	if err := s.check(); err != nil {
		return program.BadInput(err)
	}
	program.SpareMemory(os.Getenv)
	location, err := object.ParseLocation(s.archive)
	if err != nil {
		return program.BadInput(err)
	}
	at, err := s.catalogLocation(os.Getenv)
	if err != nil {
		return program.BadInput(err)
	}
	if err := os.MkdirAll(s.dataDir, 0o700); err != nil {
		return program.BadInput(err)
	}
	lock, err := filelock.Take(filepath.Join(s.dataDir, "lock"))
	if err != nil {
		return program.BadInput(fmt.Errorf("data directory: %w", err))
	}
	defer func() { _ = lock.Release() }()
	logger := hclog.New(&hclog.LoggerOptions{Name: "reccoordinator", Level: hclog.LevelFromString(s.logLevel), Output: stderr})
	rules, err := policy.Open(s.policy, logger.Named("policy"))
	if err != nil {
		return program.BadInput(err)
	}
	people, err := access.Open(s.access, logger.Named("access"))
	if err != nil {
		return program.BadInput(err)
	}
	reload, stopReload := onHangup(s.policy)
	defer stopReload()
	accessReload, stopAccess := onHangup(s.access)
	defer stopAccess()
	name, err := duty.OpenName(filepath.Join(s.dataDir, "name")) // not with what coordinators share
	if err != nil {
		return program.BadInput(err)
	}
	authority, err := identity.OpenAuthority(identityDir(s.dataDir))
	if err != nil {
		return program.BadInput(err)
	}
	tokens, err := identity.OpenTokens(identityDir(s.dataDir))
	if err != nil {
		return program.BadInput(err)
	}
	if s.requireEnrollment {
		tokens.Agent = ""
	}
	broker, err := s.dialBroker(ctx, authority, logger.Named("bus"))
	if err != nil {
		return program.BadInput(err)
	}
	defer broker.Close()
	store, err := object.Open(ctx, location, object.Config{Logger: logger.Named("object")})
	if err != nil {
		return program.BadInput(err)
	}
	defer store.Close() //nolint:errcheck // what was put is durable already
	listener, err := net.Listen("tcp", s.listen)
	if err != nil {
		return program.BadInput(err)
	}
	serverTLS, address, err := s.present(authority, tokens, listener.Addr(), logger.Named("tls"))
	if err != nil {
		return errors.Join(program.BadInput(err), listener.Close())
	}
	var metricsListener net.Listener
	if s.metricsListen != "" {
		if metricsListener, err = net.Listen("tcp", s.metricsListen); err != nil {
			return errors.Join(program.BadInput(fmt.Errorf("--metrics-listen: %w", err)), listener.Close())
		}
		logger.Info("metrics listener opened", "address", metricsListener.Addr().String())
	}
	disks := []string{s.dataDir}
	if location.Scheme == object.SchemeFile {
		disks = append(disks, location.Dir)
	}
	err = coordinator.Run(ctx, coordinator.Config{
		CatalogPath: at, Name: name, ManifestKey: s.manifestKeyFile(), Broker: broker, Store: store, Location: location, Listener: listener,
		TLS:    serverTLS,
		Tokens: tokens, Authority: authority, Logger: logger, FrameRate: s.frameRate, SegmentLength: s.segmentLength, GiveUp: s.giveUp, UnsafeBroker: s.unsafeBroker,
		FreeBytes: coordinator.DiskSpace(disks...), Metrics: metricsListener, Policy: rules, Reload: reload, Access: people, AccessReload: accessReload, Address: address, OIDCSecret: os.Getenv(oidcSecret),
		Ready: func() { fmt.Fprintf(stdout, "reccoordinator ready at %s\n", address) },
	})
	if errors.Is(err, coordinator.ErrConfig) || errors.Is(err, bus.ErrUnsafeBroker) || errors.Is(err, catalog.ErrLocation) {
		return program.BadInput(err)
	}
	return err
}

// manifestKeyFile is where the key is that manifests are signed with.
func (s settings) manifestKeyFile() string {
	if s.manifestKey != "" {
		return s.manifestKey
	}
	return filepath.Join(identityDir(s.dataDir), "manifest.key")
}

// dialBroker reaches the broker with the keys that it trusts.
func (s settings) dialBroker(ctx context.Context, authority *identity.Authority, logger hclog.Logger) (*bus.Broker, error) {
	dir := s.natsTrust
	if dir == "" {
		dir = filepath.Join(s.dataDir, "bus")
	}
	trust, err := bus.OpenTrust(dir)
	if err != nil {
		return nil, err
	}
	ca := authority.CACertificate()
	if s.natsCA != "" {
		raw, err := os.ReadFile(s.natsCA)
		if err != nil {
			return nil, err
		}
		ca = string(raw)
	}
	return bus.DialBroker(ctx, bus.BrokerConfig{Trust: trust, URLs: s.natsURLs, CA: ca, Logger: logger})
}

// present makes or opens the server's certificate, and makes the client files for the address at which the coordinator is reached.
func (s settings) present(authority *identity.Authority, tokens identity.Tokens, at net.Addr, logger hclog.Logger) (*tls.Config, string, error) {
	host, _, err := net.SplitHostPort(s.listen)
	if err != nil {
		return nil, "", err
	}
	_, port, err := net.SplitHostPort(at.String())
	if err != nil {
		return nil, "", err
	}
	names := s.hosts
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		own, err := os.Hostname()
		if err != nil {
			return nil, "", fmt.Errorf("find own name: %w", err)
		}
		names = append(names, own)
	} else {
		names = append(names, host)
	}
	config, ca, err := authority.ServerTLS(s.certificate, names, logger)
	if err != nil {
		return nil, "", err
	}
	address := net.JoinHostPort(names[0], port)
	return config, address, tokens.WriteClients(s.dataDir, address, ca)
}
