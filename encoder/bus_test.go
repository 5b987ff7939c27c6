package encoder

import (
	"context"
	"crypto/tls"
	"path/filepath"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/bus/embedded"
	"github.com/recfleet/recfleet/internal/identity"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// TestOverTheRealBus has an agent's publisher and the encoder meet on an embedded broker, each with its own rights only.
func TestOverTheRealBus(t *testing.T) {
	dir := t.TempDir()
	authority, err := identity.OpenAuthority(filepath.Join(dir, "identity"))
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.ServerCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	trust, err := bus.OpenTrust(filepath.Join(dir, "trust"))
	if err != nil {
		t.Fatal(err)
	}
	server, err := embedded.Start(embedded.Config{
		Dir: filepath.Join(dir, "js"), Host: "127.0.0.1", Trust: trust, StoreBytes: 64 << 20, Logger: hclog.NewNullLogger(),
		TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Shutdown()
	broker, err := bus.DialBroker(t.Context(), bus.BrokerConfig{
		Trust: trust, URLs: []string{server.URL()}, CA: authority.CACertificate(), Embedded: server, Logger: hclog.NewNullLogger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()

	f := newFixture(t)
	for _, session := range []string{"s1", "s2"} {
		if err := broker.CreateSession(t.Context(), session, 1<<20); err != nil {
			t.Fatal(err)
		}
	}
	key, err := bus.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	grant, err := broker.GrantAgent(key.Public(), "s1")
	if err != nil {
		t.Fatal(err)
	}
	publisher, err := bus.DialPublisher(t.Context(), bus.ClientConfig{Key: key, Grant: grant, Logger: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	for _, c := range f.bus.chunks {
		c.Session, c.Epoch, c.Frames, c.Width, c.Height, c.Start, c.LastFrame = "s1", 1, 1, 64, 48, start, start
		if err := publisher.Publish(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}

	f.cfg.dialBus = func(ctx context.Context, cfg bus.ClientConfig) (busReader, error) {
		// What the fake coordinator granted is replaced by the broker's own grant for the key that the encoder made.
		if cfg.Grant, err = broker.GrantEncoder(cfg.Key.Public(), "e1"); err != nil {
			return nil, err
		}
		return dialBus(ctx, cfg)
	}
	stop := f.run(t)
	f.offer("s1")
	f.offer("s2") // its stream holds nothing
	c := f.coordinator
	c.wait(t, "one job done and one failed", func() bool { return len(c.completed) == 1 && len(c.failed) == 1 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if c.completed[0].GetJobId() != "s1.1" || c.failed[0].GetCause() != recfleetv1.FailureCause_FAILURE_CAUSE_CONTENT {
		t.Errorf("completed %v, failed %v", c.completed, c.failed)
	}
}
