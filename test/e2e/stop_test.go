package e2e

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
	"github.com/recfleet/recfleet/test/desktop"
)

// An order from the server's side stops the recording on the instance, and what was recorded until then can be had.
func TestStopAndDownloadFromTheServerSide(t *testing.T) {
	dir := t.TempDir()
	data, spool := filepath.Join(dir, "data"), filepath.Join(dir, "spool")
	start(t, "recfleet", "--data-dir", data, "--listen", "127.0.0.1:0", "--segment-length", segmentLength.String()).ready(t)
	counter := record(t, data, spool)
	waitForValues(t, counter, 20)
	id := recordedSession(t, spool)

	const reason = "audit of May"
	var stopped recfleetv1.Session
	recctl(t, data, &stopped, "sessions", "stop", id, "--reason", reason, "--wait")
	if s := stopped.GetState(); s != recfleetv1.SessionState_SESSION_STATE_FINALIZING && s != recfleetv1.SessionState_SESSION_STATE_COMPLETE {
		t.Errorf("the order was waited for, and the session is %s", s)
	}
	waitFor(t, "the agent ends", func() bool { return agentState(t, spool) == "stopped" && len(processesOf(t, spool)) == 0 })

	s := waitForComplete(t, data, id)
	ledger := counter.Ledger()
	expectAccounted(t, s)
	expectEveryValue(t, s, ledger, readCounters(t, s))
	var after recfleetv1.Session
	recctl(t, data, &after, "sessions", "stop", id, "--reason", "too late")
	if after.GetStopReason() != reason || after.GetState() != recfleetv1.SessionState_SESSION_STATE_COMPLETE {
		t.Errorf("%v", &after)
	}
	m := readManifest(t, s)
	if m.Session.StopReason != reason || m.Session.State != "complete" || len(m.Segments) != len(s.Segments) {
		t.Errorf("%+v", m)
	}
	expectDownloads(t, data, id, m)
}

// The server is killed in the middle of a recording and comes back: nothing is missing.
func TestKilledServerLosesNothing(t *testing.T) {
	dir := t.TempDir()
	data, spool := filepath.Join(dir, "data"), filepath.Join(dir, "spool")
	arguments := []string{
		"--data-dir", data, "--listen", freeAddress(t), "--bus-listen", freeAddress(t), "--segment-length", segmentLength.String(),
	}
	kill := startDoomed(t, "recfleet", arguments...)
	counter := record(t, data, spool)
	waitForValues(t, counter, 15)
	id := recordedSession(t, spool)
	kill()
	waitForValues(t, counter, 10) // more than a segment
	start(t, "recfleet", arguments...).ready(t)
	waitForValues(t, counter, 15)
	run(t, "recagent", "stop", "--spool-dir", spool)
	ledger := counter.Ledger()
	if err := counter.Stop(); err != nil {
		t.Fatal(err)
	}

	s := waitForComplete(t, data, id)
	t.Logf("session %s: recorded %s, %d segments, gaps %v", id, s.Recorded, len(s.Segments), s.Gaps)
	expectAccounted(t, s)
	expectEveryValue(t, s, ledger, readCounters(t, s))
	m := readManifest(t, s)
	for _, g := range m.Gaps {
		// A busy machine may cost a frame, which the agent declares. What the server side adds would be its own loss.
		if slices.Contains([]string{"agent_lost", "unexplained", "segment_quarantined"}, g.Cause) {
			t.Errorf("gap %+v", g)
		}
	}
	for i := 1; i < len(m.Segments); i++ {
		if m.Segments[i].ChainStart != m.Segments[i-1].ChainEnd {
			t.Errorf("segment %d does not continue the chain", m.Segments[i].Number)
		}
	}
	expectDownloads(t, data, id, m)
}

// record starts to record a counting desktop.
func record(t *testing.T, data, spool string) *desktop.Counter {
	t.Helper()
	screen := desktop.Start(t, 800, 600)
	counter, err := desktop.StartCounter(screen, valueInterval)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = counter.Stop() })
	t.Cleanup(func() { tryRun(t, "recagent", "stop", "--spool-dir", spool) })
	run(t, "recagent", "start", "--config", filepath.Join(data, "client.json"), "--display", screen.Display(), "--spool-dir", spool, "--user", "alice")
	return counter
}

// recctl runs recctl and reads its answer.
func recctl(t *testing.T, data string, into proto.Message, args ...string) {
	t.Helper()
	out := run(t, "recctl", append([]string{"--context", filepath.Join(data, "client.json"), "-o", "json"}, args...)...)
	if err := protojson.Unmarshal([]byte(out), into); err != nil {
		t.Fatalf("recctl %v: %v\n%s", args, err, out)
	}
}

func agentState(t *testing.T, spool string) string {
	t.Helper()
	var status struct{ State string }
	if err := json.Unmarshal([]byte(run(t, "recagent", "status", "-o", "json", "--spool-dir", spool)), &status); err != nil {
		t.Fatal(err)
	}
	return status.State
}

// processesOf returns the command lines of the processes that have the directory among their arguments.
func processesOf(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, path := range paths {
		line, err := os.ReadFile(path)
		if err == nil && bytes.Contains(line, []byte(dir)) { // others end meanwhile
			found = append(found, string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return found
}

type manifest struct {
	Session struct {
		State      string
		StopReason string `json:"stop_reason"`
	}
	Segments []struct {
		Number     int
		ChainStart string `json:"chain_start"`
		ChainEnd   string `json:"chain_end"`
		Object     struct {
			Key, SHA256 string
			Bytes       int64
		}
	}
	Gaps []struct{ Cause, Detail string }
}

// readManifest reads what lies beside the videos.
func readManifest(t *testing.T, s session) (m manifest) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(filepath.Dir(s.Segments[0].Path), "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// expectDownloads downloads a session and expects exactly the files of the manifest, byte for byte.
func expectDownloads(t *testing.T, data, id string, m manifest) {
	t.Helper()
	var list recfleetv1.ListRecordingsResponse
	recctl(t, data, &list, "recordings", "list", id)
	dir := t.TempDir()
	run(t, "recctl", "--context", filepath.Join(data, "client.json"), "recordings", "download", id, "--dir", dir)
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(m.Segments) || len(list.GetRecordings()) != len(m.Segments) {
		t.Fatalf("%d files and %d recordings of %d segments", len(files), len(list.GetRecordings()), len(m.Segments))
	}
	for i, g := range m.Segments {
		content, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%s-%06d.mp4", id, g.Number)))
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(content)
		r := list.GetRecordings()[i]
		if got := hex.EncodeToString(sum[:]); got != g.Object.SHA256 || int64(len(content)) != g.Object.Bytes {
			t.Errorf("segment %d: %d bytes with %s came, the manifest says %d with %s", g.Number, len(content), got, g.Object.Bytes, g.Object.SHA256)
		}
		if hex.EncodeToString(r.GetSha256()) != g.Object.SHA256 || r.GetObjectKey() != g.Object.Key || int(r.GetSegment()) != g.Number ||
			!strings.HasSuffix(r.GetLocation(), g.Object.Key) {
			t.Errorf("segment %d: the list says %v, the manifest %+v", g.Number, r, g.Object)
		}
	}
}

// startDoomed runs a server until the returned function kills it.
func startDoomed(t *testing.T, name string, args ...string) (kill func()) {
	t.Helper()
	var log bytes.Buffer // read only after Wait
	cmd := exec.Command(filepath.Join(bin, name), args...)
	cmd.Stderr = &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	kill = func() {
		if killed {
			return
		}
		killed = true
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(func() {
		kill()
		if t.Failed() {
			t.Logf("%s said until it was killed:\n%s", name, log.String())
		}
	})
	if !bufio.NewScanner(stdout).Scan() {
		t.Fatal("a server ended before it was ready")
	}
	return kill
}
