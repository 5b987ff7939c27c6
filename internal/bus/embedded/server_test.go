package embedded

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/identity"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What was created is there after a restart, and the broker passes its own check, over its port and without it.
func TestTheBrokerIsSafeAndKeepsWhatItHas(t *testing.T) {
	dir := t.TempDir()
	authority, err := identity.OpenAuthority(dir + "/identity")
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.ServerCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	trust, err := bus.OpenTrust(dir + "/trust")
	if err != nil {
		t.Fatal(err)
	}
	for round, inProcess := range []bool{true, false} {
		server, err := Start(Config{
			Dir: dir + "/js", Host: "127.0.0.1", Trust: trust, StoreBytes: 64 << 20, Logger: hclog.NewNullLogger(),
			TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13},
		})
		if err != nil {
			t.Fatal(err)
		}
		cfg := bus.BrokerConfig{Trust: trust, URLs: []string{server.URLFor("localhost")}, CA: authority.CACertificate(), Logger: hclog.NewNullLogger()}
		if inProcess {
			cfg.URLs, cfg.Embedded = []string{"tls://192.0.2.1:1"}, server
		}
		broker, err := bus.DialBroker(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := broker.Check(t.Context()); err != nil {
			t.Error(err)
		}
		if round == 0 {
			if err := broker.CreateSession(t.Context(), "aa", 0); err != nil {
				t.Error(err)
			}
		} else if counts, err := broker.Segments(t.Context(), "aa"); err != nil || counts == nil {
			t.Errorf("the stream after a restart: %v, %v", counts, err)
		}
		broker.Close()
		server.Shutdown()
	}
}

func TestAPortInUseIsSaid(t *testing.T) {
	dir := t.TempDir()
	trust, err := bus.OpenTrust(dir)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Dir: dir, Host: "192.0.2.1", Port: 1, Trust: trust, TLS: &tls.Config{MinVersion: tls.VersionTLS13}, StoreBytes: 1 << 20, Logger: hclog.NewNullLogger()}
	if _, err := Start(cfg); err == nil || !strings.Contains(err.Error(), "192.0.2.1") {
		t.Errorf("a broker on an address of somebody else: %v", err)
	}
}

func TestABrokerThatSyncsLaterIsUnsafe(t *testing.T) {
	dir := t.TempDir()
	authority, err := identity.OpenAuthority(dir + "/identity")
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.ServerCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	trust, err := bus.OpenTrust(dir + "/trust")
	if err != nil {
		t.Fatal(err)
	}
	server, err := Start(Config{
		Dir: dir + "/js", Host: "127.0.0.1", Trust: trust, StoreBytes: 1 << 20, SyncInterval: time.Second, Logger: hclog.NewNullLogger(),
		TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	broker, err := bus.DialBroker(t.Context(), bus.BrokerConfig{Trust: trust, Embedded: server, Logger: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	if err := broker.Check(t.Context()); !errors.Is(err, bus.ErrUnsafeBroker) {
		t.Errorf("the check of a broker that syncs each second: %v", err)
	}
}
