// Package e2e records real desktops with the product's programs, started as a user starts them, and reads what is in the
// videos.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/recfleet/recfleet/test/desktop"
)

const (
	frameInterval = 200 * time.Millisecond // the product's default
	// A value stays for more than two frame intervals: whatever the phase, a capture instant falls on it, also where a change
	// of size costs one.
	valueInterval = 450 * time.Millisecond
	segmentLength = 3 * time.Second
)

// bin holds the programs under test.
var bin string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	var err error
	if bin, err = os.MkdirTemp("", "recfleet-e2e-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(bin)
	build := exec.Command("go", "build", "-o", bin+"/", "../../agent/recagent", "../../coordinator/reccoordinator",
		"../../encoder/recencoder", "../../cli/recctl", "../../deploy/standalone/recfleet", "github.com/nats-io/nats-server/v2")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// One process serves everything: what one host runs.
func TestRecordsWithEverythingInOneProcess(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	start(t, "recfleet", "--data-dir", data, "--listen", "127.0.0.1:0", "--segment-length", segmentLength.String()).ready(t)
	recordAndRead(t, data, dir)
}

// Broker, coordinator and encoder are processes of their own: what a fleet runs.
func TestRecordsWithSeparateProcesses(t *testing.T) {
	dir := t.TempDir()
	data, archive := filepath.Join(dir, "data"), "file://"+filepath.Join(dir, "archive")
	address := freeAddress(t)
	run(t, "reccoordinator", "broker-config", "--data-dir", data, "--listen", address, "--store-dir", filepath.Join(dir, "js"), "--store-bytes", "1073741824", "--output", filepath.Join(dir, "broker"))
	startServer(t, address, "nats-server", "-c", filepath.Join(dir, "broker", "nats.conf"))
	start(t, "reccoordinator", "--data-dir", data, "--listen", "127.0.0.1:0", "--archive", archive, "--nats-url", "tls://"+address,
		"--segment-length", segmentLength.String()).ready(t)
	for range 2 {
		start(t, "recencoder", "--config", filepath.Join(data, "encoder.json"), "--slots", "1", "--archive", archive, "--work-dir", t.TempDir()).ready(t)
	}
	recordAndRead(t, data, dir)
}

// recordAndRead records a counting desktop across a change of size and several segments and expects every value that was
// on screen at a capture instant, in order.
func recordAndRead(t *testing.T, data, dir string) {
	screen := desktop.Start(t, 800, 600)
	counter, err := desktop.StartCounter(screen, valueInterval)
	if err != nil {
		t.Fatal(err)
	}
	defer counter.Stop()
	spool := filepath.Join(dir, "spool")
	t.Cleanup(func() { tryRun(t, "recagent", "stop", "--spool-dir", spool) })

	run(t, "recagent", "start", "--config", filepath.Join(data, "client.json"), "--display", screen.Display(), "--spool-dir", spool,
		"--user", "alice", "--meta", "stack=s1")
	waitForValues(t, counter, 10)
	if err := screen.Resize(1025, 641); err != nil {
		t.Fatal(err)
	}
	waitForValues(t, counter, 12)
	id := recordedSession(t, spool)
	run(t, "recagent", "stop", "--spool-dir", spool)
	ledger := counter.Ledger()
	if err := counter.Stop(); err != nil {
		t.Fatal(err)
	}

	session := waitForComplete(t, data, id)
	t.Logf("session %s: recorded %s, %d segments, gaps %v", id, session.Recorded, len(session.Segments), session.Gaps)
	expectAccounted(t, session)
	if len(session.Segments) < 4 {
		t.Errorf("%d segments, expected a change of size and two changes of segment at least", len(session.Segments))
	}
	seen := readCounters(t, session)
	expectEveryValue(t, session, ledger, seen)
}
