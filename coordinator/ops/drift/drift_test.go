package drift

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"go.uber.org/goleak"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/bus/embedded"
	"github.com/recfleet/recfleet/internal/identity"
	"github.com/recfleet/recfleet/internal/object"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a broker with what a coordinator holds of it, and a connection that goes behind the coordinator's back.
type world struct {
	broker *bus.Broker
	server *embedded.Server
	behind jetstream.JetStream
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	authority, err := identity.OpenAuthority(filepath.Join(dir, "identity"))
	must(err)
	certificate, err := authority.ServerCertificate(nil)
	must(err)
	trust, err := bus.OpenTrust(dir)
	must(err)
	w := &world{}
	w.server, err = embedded.Start(embedded.Config{
		Dir: filepath.Join(dir, "js"), Host: "127.0.0.1", Trust: trust, StoreBytes: 64 << 20, Logger: hclog.NewNullLogger(),
		TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13},
	})
	must(err)
	t.Cleanup(w.server.Shutdown)
	w.broker, err = bus.DialBroker(t.Context(), bus.BrokerConfig{Trust: trust, URLs: []string{w.server.URL()}, Embedded: w.server, Logger: hclog.NewNullLogger()})
	must(err)
	t.Cleanup(w.broker.Close)

	raw, err := os.ReadFile(filepath.Join(dir, "trust.json"))
	must(err)
	var seeds map[string]string
	must(json.Unmarshal(raw, &seeds))
	account, err := nkeys.FromSeed([]byte(seeds["fleet"]))
	must(err)
	user, err := nkeys.CreateUser()
	must(err)
	public, err := user.PublicKey()
	must(err)
	token, err := jwt.NewUserClaims(public).Encode(account)
	must(err)
	conn, err := nats.Connect("", nats.InProcessServer(w.server), nats.UserJWT(
		func() (string, error) { return token, nil }, func(nonce []byte) ([]byte, error) { return user.Sign(nonce) }))
	must(err)
	t.Cleanup(conn.Close)
	w.behind, err = jetstream.New(conn)
	must(err)
	return w
}

// change changes a stream behind the coordinator's back.
func (w *world) change(t *testing.T, session string, f func(*jetstream.StreamConfig)) {
	t.Helper()
	names := w.behind.StreamNames(t.Context())
	for name := range names.Name() {
		if !strings.HasSuffix(name, session) {
			continue
		}
		stream, err := w.behind.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		config := stream.CachedInfo().Config
		f(&config)
		if _, err := w.behind.UpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("no stream of %s, %v", session, names.Err())
}

func openCatalog(t *testing.T, sessions ...string) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "c.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	for _, id := range sessions {
		long := time.Now().Add(-time.Hour)
		if _, _, err := c.CreateSession(t.Context(), catalog.Session{ID: id, RequestID: id, FrameRate: 5, Start: long, Created: long}); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// step steps and returns what was logged.
func step(t *testing.T, d *Drift, log *bytes.Buffer) string {
	t.Helper()
	log.Reset()
	if err := d.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	return log.String()
}

func TestAStreamThatDriftsIsAnAlarmOnce(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"aa", "bb"} {
		if err := w.broker.CreateSession(t.Context(), id, 0); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	d := New([]Source{Broker(bus.NewAudit(w.broker, false), openCatalog(t, "aa", "cc"))}, hclog.New(&hclog.LoggerOptions{Output: &log}))
	if got := step(t, d, &log); strings.Count(got, "[ERROR]") != 1 || !strings.Contains(got, "of=cc setting=stream want=exists have=missing") {
		t.Errorf("%s", got)
	}
	if err := w.broker.CreateSession(t.Context(), "cc", 0); err != nil {
		t.Fatal(err)
	}
	if got := step(t, d, &log); strings.Count(got, "\n") != 1 || !strings.Contains(got, "[INFO]  configuration recovered: part=stream of=cc setting=stream was=missing") {
		t.Errorf("%s", got)
	}
	w.change(t, "bb", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 9 }) // nobody's session
	if got := step(t, d, &log); got != "" || d.Line() != "" {
		t.Errorf("%s", got)
	}
	w.change(t, "aa", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 9 })
	if got := step(t, d, &log); strings.Count(got, "[ERROR] configuration drifted: part=stream of=aa setting=max_msgs_per_subject want=1 have=9") != 1 {
		t.Errorf("%s", got)
	}
	if got := step(t, d, &log); got != "" {
		t.Errorf("told twice: %s", got)
	}
	if got := d.Line(); got != "drift: stream aa: max_msgs_per_subject is 9 instead of 1" || d.Broker(t.Context()) != nil {
		t.Error(got, d.Broker(t.Context()))
	}
	w.change(t, "aa", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 5 })
	if got := step(t, d, &log); strings.Count(got, "\n") != 1 || !strings.Contains(got, "have=5") {
		t.Errorf("a change was not told: %s", got)
	}
	w.change(t, "aa", func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 1 })
	if got := step(t, d, &log); strings.Count(got, "\n") != 1 || !strings.Contains(got, "configuration recovered") {
		t.Errorf("%s", got)
	}
	if found, checked := d.Findings(); len(found) != 0 || time.Since(checked) > time.Minute {
		t.Error(found, checked)
	}

	// A broker that is away takes nothing back.
	w.change(t, "aa", func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour })
	step(t, d, &log)
	w.broker.Close()
	if err := d.Step(t.Context()); err == nil {
		t.Error("a broker that is away was checked")
	}
	if found, _ := d.Findings(); len(found) != 1 || found[0].Setting != "max_age" {
		t.Error(found)
	}
}

// meanwhile is an Audit during which something happens.
type meanwhile struct {
	happens func()
	found   []bus.Deviation
}

func (m meanwhile) Find(context.Context, map[string]bool) ([]bus.Deviation, error) {
	m.happens()
	return m.found, nil
}

// A session is finished while the broker is looked at: its stream is gone in order, but what was changed of it was changed.
func TestAStreamThatGoesInOrderIsNoAlarm(t *testing.T) {
	c := openCatalog(t, "aa")
	audit := meanwhile{
		happens: func() {
			if err := c.EndSession(t.Context(), "aa", catalog.End{Time: time.Now()}); err != nil {
				t.Error(err)
			}
		},
		found: []bus.Deviation{
			{Session: "aa", Setting: "stream", Want: "exists", Have: "missing", Missing: true},
			{Session: "aa", Setting: "discard", Want: "new", Have: "old"},
		},
	}
	found, err := Broker(audit, c).Find(t.Context())
	if err != nil || len(found) != 1 || found[0].Setting != "discard" {
		t.Errorf("%v, %v", found, err)
	}
}

func TestAnArchiveThatDriftsIsAnAlarm(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "archive")
	location, err := object.ParseLocation("file://" + dir)
	if err != nil {
		t.Fatal(err)
	}
	store, err := object.Open(t.Context(), location, object.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	var log bytes.Buffer
	d := New([]Source{Archive(store)}, hclog.New(&hclog.LoggerOptions{Output: &log}))
	if got := step(t, d, &log); got != "" {
		t.Error(got)
	}
	if err := os.RemoveAll(filepath.Join(dir, ".recfleet")); err != nil {
		t.Fatal(err)
	}
	if got := step(t, d, &log); strings.Count(got, "[ERROR] configuration drifted: part=archive") != 1 || !strings.Contains(got, "setting=writable") {
		t.Error(got)
	}
	if err := os.MkdirAll(filepath.Join(dir, ".recfleet", "tmp"), 0o750); err != nil {
		t.Fatal(err)
	}
	if got := step(t, d, &log); strings.Count(got, "configuration recovered") != 1 {
		t.Error(got)
	}
}

// Thousands of streams that drift at once do not flood the log, and the broker's own drift is not lost among them.
func TestMuchDrift(t *testing.T) {
	var found []Finding
	for i := range 500 {
		found = append(found, Finding{PartStream, fmt.Sprint(i), "discard", "new", "old"})
	}
	found = append(found, Finding{PartBroker, "n1", "sync_interval", "always", "not always"})
	var log bytes.Buffer
	fails := errors.New("away")
	d := New([]Source{
		{"failing", func(context.Context) ([]Finding, error) { return nil, fails }},
		{"much", func(context.Context) ([]Finding, error) { return found, nil }},
	}, hclog.New(&hclog.LoggerOptions{Output: &log}))
	if err := d.Step(t.Context()); !errors.Is(err, fails) {
		t.Error(err)
	}
	if got := log.String(); strings.Count(got, "\n") != logged+1 || !strings.Contains(got, "settings=481") || !strings.Contains(got, "sync_interval") {
		t.Errorf("%s", got)
	}
	if err := d.Broker(t.Context()); err == nil || err.Error() != "broker n1: sync_interval is not always instead of always" {
		t.Error(err)
	}
	if got := d.Line(); !strings.HasSuffix(got, "and 498 more") || strings.Count(got, "stream") != 2 {
		t.Error(got)
	}
	if _, checked := d.Findings(); !checked.IsZero() {
		t.Error("not everything was checked")
	}
}
