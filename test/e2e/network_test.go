package e2e

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recfleet/recfleet/test/desktop"
)

// long reports whether tests may take the time that faults take in life; `make faults` says so.
func long() bool { return os.Getenv("RECFLEET_LONG") != "" }

// The network between an instance and its server is cut while it is recorded, and heals: nothing is missing.
func TestNothingIsMissingAfterANetworkCut(t *testing.T) {
	cut := 8 * time.Second
	if long() {
		cut = 60 * time.Second
	}
	n := newNetwork(t)
	dir := t.TempDir()
	data, spool := filepath.Join(dir, "data"), filepath.Join(dir, "spool")
	n.start(t, n.server, "recfleet", "--data-dir", data, "--listen", n.address+":0", "--bus-listen", n.address+":0",
		"--segment-length", segmentLength.String()).ready(t)

	screen := desktop.Start(t, 800, 600)
	counter, err := desktop.StartCounter(screen, valueInterval)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = counter.Stop() })
	t.Cleanup(func() { tryRun(t, "recagent", "stop", "--spool-dir", spool) })
	n.run(t, n.instance, filepath.Join(bin, "recagent"), "start", "--config", filepath.Join(data, "client.json"),
		"--display", screen.Display(), "--spool-dir", spool, "--user", "alice")
	waitForValues(t, counter, 10)
	n.link(t, "down")
	waitForValues(t, counter, int(cut/valueInterval))
	n.link(t, "up")
	waitForValues(t, counter, 10)
	id := recordedSession(t, spool)
	n.run(t, n.instance, filepath.Join(bin, "recagent"), "stop", "--spool-dir", spool)
	ledger := counter.Ledger()
	if err := counter.Stop(); err != nil {
		t.Fatal(err)
	}

	s := waitForCompleteBy(t, func() string {
		return n.run(t, n.server, filepath.Join(bin, "recctl"), "--context", filepath.Join(data, "client.json"), "sessions", "get", id, "-o", "json")
	})
	t.Logf("session %s: recorded %s, %d segments, gaps %v", id, s.Recorded, len(s.Segments), s.Gaps)
	expectAccounted(t, s)
	expectEveryValue(t, s, ledger, readCounters(t, s))
	if s.Recorded < cut {
		t.Errorf("%s recorded, the cut alone took %s", s.Recorded, cut)
	}
}

// The bus is full, because nobody encodes, until an encoder comes: what does not fit waits in the spool.
func TestNothingIsMissingAfterAFullBus(t *testing.T) {
	if !long() {
		t.Skip("takes a minute: make faults runs it")
	}
	dir := t.TempDir()
	data, archive, spool := filepath.Join(dir, "data"), "file://"+filepath.Join(dir, "archive"), filepath.Join(dir, "spool")
	bus := freeAddress(t)
	// Room for some segments of a counting desktop, not for all.
	const busBytes = 30_000
	run(t, "reccoordinator", "broker-config", "--data-dir", data, "--listen", bus, "--store-dir", filepath.Join(dir, "js"),
		"--store-bytes", fmt.Sprint(busBytes), "--output", filepath.Join(dir, "broker"))
	startServer(t, bus, "nats-server", "-c", filepath.Join(dir, "broker", "nats.conf"))
	coordinator := []string{"--data-dir", data, "--listen", freeAddress(t), "--archive", archive, "--nats-url", "tls://" + bus, "--segment-length", "1s"}
	start(t, "reccoordinator", coordinator...).ready(t)

	counter := record(t, data, spool)
	waitFor(t, "the agent finds the bus full", func() bool {
		log, err := os.ReadFile(filepath.Join(spool, "run.log"))
		return err == nil && strings.Contains(string(log), "bus is full")
	})
	waitForValues(t, counter, 10)
	start(t, "recencoder", "--config", filepath.Join(data, "encoder.json"), "--slots", "1", "--archive", archive, "--work-dir", t.TempDir()).ready(t)
	waitForValues(t, counter, 10)
	id := recordedSession(t, spool)
	run(t, "recagent", "stop", "--spool-dir", spool)
	ledger := counter.Ledger()
	s := waitForComplete(t, data, id)
	t.Logf("session %s: recorded %s, %d segments, gaps %v", id, s.Recorded, len(s.Segments), s.Gaps)
	expectAccounted(t, s)
	expectEveryValue(t, s, ledger, readCounters(t, s))
}

// network is two hosts in namespaces of the test's own, joined by one wire.
type network struct {
	server, instance string // namespaces
	wire             string // the server's end
	address          string // the server's
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	// Names of interfaces have at most 15 characters; the subnet is one of many, in case other tests run.
	tag := fmt.Sprintf("rf%d", rand.N(1_000_000))
	subnet := net.IPv4(10, byte(64+rand.N(64)), byte(rand.N(256)), 0).To4()
	first, second := net.IP{subnet[0], subnet[1], subnet[2], 1}, net.IP{subnet[0], subnet[1], subnet[2], 2}
	n := &network{server: tag + "s", instance: tag + "i", wire: tag + "a", address: first.String()}
	for _, ns := range []string{n.server, n.instance} {
		ip(t, "netns", "add", ns)
		t.Cleanup(func() { ip(t, "netns", "delete", ns) })
		ip(t, "-n", ns, "link", "set", "lo", "up")
	}
	ip(t, "-n", n.server, "link", "add", n.wire, "type", "veth", "peer", "name", tag+"b", "netns", n.instance)
	ip(t, "-n", n.server, "address", "add", first.String()+"/24", "dev", n.wire)
	ip(t, "-n", n.instance, "address", "add", second.String()+"/24", "dev", tag+"b")
	ip(t, "-n", n.instance, "link", "set", tag+"b", "up")
	n.link(t, "up")
	return n
}

// link cuts the wire or joins it.
func (n *network) link(t *testing.T, state string) {
	t.Helper()
	ip(t, "-n", n.server, "link", "set", n.wire, state)
}

// in returns the arguments with which ip runs a program on one of the hosts.
func (n *network) in(host string, program ...string) []string {
	return append([]string{"netns", "exec", host}, program...)
}

func (n *network) start(t *testing.T, host, name string, args ...string) *process {
	t.Helper()
	return startCommand(t, exec.Command("ip", n.in(host, append([]string{filepath.Join(bin, name)}, args...)...)...), name)
}

func (n *network) run(t *testing.T, host string, program ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ip", n.in(host, program...)...).Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", program, err, out)
	}
	return string(out)
}

func ip(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v\n%s", args, err, out)
	}
}
