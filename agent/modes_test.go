package agent

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recfleet/recfleet/agent/control"
	"github.com/recfleet/recfleet/agent/hook"
	"github.com/recfleet/recfleet/test/desktop"
)

func (p *program) status() (st control.Status) {
	p.t.Helper()
	code, out, errs := p.call("status", "-o", "json", "--spool-dir", p.spool)
	if err := json.Unmarshal([]byte(out), &st); code != 0 || err != nil {
		p.t.Fatalf("status: exit %d, %v, %q", code, err, errs)
	}
	return st
}

// Nobody answers at the coordinator's address: a hook of the strict mode fails, one of best-effort records, and what it recorded is
// handed over while nothing is recorded.
func TestHooksWithoutACoordinator(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	p := build(t, c, x.Display())
	for _, mode := range [][]string{nil, {"--mode", "strict"}} {
		code, out, errs := p.start(append(mode, "--coordinator", "127.0.0.1:1")...)
		if code != 2 || out != "" || !strings.Contains(errs, "not reachable") || strings.Count(errs, "\n") != 1 || p.pid() != 0 || len(leftFiles(t, p.spool)) != 0 {
			t.Errorf("%v: exit %d, %q, %q, pid %d, left %v", mode, code, out, errs, p.pid(), leftFiles(t, p.spool))
		}
	}
	want := "recording on display " + x.Display() + ", not yet registered with the coordinator (mode best-effort)\n"
	for range 2 {
		code, out, errs := p.start("--mode", "best-effort", "--coordinator", "127.0.0.1:1")
		if code != 0 || out != want || errs != "" {
			t.Fatalf("exit %d, %q, %q", code, out, errs)
		}
	}
	if st := p.status(); st.State != control.StateRecording || st.Registered || st.RecordingMode != "best-effort" || st.SupervisorPID == 0 {
		t.Errorf("status %+v", st)
	}
	// A killed agent goes on with the same recording.
	killed := p.pid()
	p.kill(killed)
	await(t, func() bool {
		st, err := control.Query(t.Context(), p.spool)
		return err == nil && st.PID != killed && st.State == control.StateRecording
	})
	code, out, errs := p.call("stop", "--spool-dir", p.spool, "--wait", "2s")
	if code != 1 || out != "" || !strings.Contains(errs, "not registered") || strings.Count(errs, "\n") != 1 || p.pid() != 0 {
		t.Errorf("stop: exit %d, %q, %q, pid %d", code, out, errs, p.pid())
	}
	if code, _, errs := p.call("send", "--config", p.config, "--spool-dir", p.spool, "--coordinator", "127.0.0.1:1", "--wait", "500ms"); code != 1 ||
		!strings.Contains(errs, "stay in the spool") || len(c.all()) != 0 {
		t.Errorf("send: exit %d, %q", code, errs)
	}
	code, out, errs = p.call("send", "--config", p.config, "--spool-dir", p.spool)
	if code != 0 || !strings.HasSuffix(out, "nothing is left in the spool\n") || len(leftFiles(t, p.spool)) != 0 {
		t.Errorf("send: exit %d, %q, %q", code, out, errs)
	}
	all := c.all()
	if len(all) != 1 || all[0].end.GetReason() != "stopped by hook" || all[0].receipts < 2 || all[0].start.GetMetadata()[keyMode] != "best-effort" {
		t.Fatalf("%d sessions, end %v, %d receipts", len(all), all[0].end, all[0].receipts)
	}
	checkWhole(t, all[0])
}

// A recording that could not be registered within the grace time ends for good: nobody begins it anew.
func TestGraceEndsUnderItsSupervisor(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	c.set(func() { c.deaf = true })
	p := build(t, c, x.Display())
	code, out, errs := p.start("--mode", "grace", "--grace", "2s")
	if code != 0 || !strings.Contains(out, "not yet registered") || errs != "" {
		t.Fatalf("exit %d, %q, %q", code, out, errs)
	}
	await(t, func() bool { return p.pid() == 0 && !hook.Held(p.spool, hook.SupervisorLock) })
	if len(c.all()) != 0 || len(leftFiles(t, p.spool)) == 0 {
		t.Errorf("%d sessions, left %v", len(c.all()), leftFiles(t, p.spool))
	}
	// The next hook begins another recording, and hands the first one over.
	c.set(func() { c.deaf = false })
	p.mustStart()
	if code, _, errs := p.call("stop", "--spool-dir", p.spool, "--wait", "20s"); code != 0 {
		t.Errorf("stop: exit %d, %q", code, errs)
	}
	if all := c.all(); len(all) != 2 || all[0].end.GetReason() != errNotRegistered.Error() || len(leftFiles(t, p.spool)) != 0 {
		t.Errorf("%d sessions, left %v", len(all), leftFiles(t, p.spool))
	}
}

// A start hook does not wait for an agent that only sends.
func TestStartTakesOverFromSend(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	p := build(t, c, x.Display())
	if code, _, errs := p.start("--mode", "best-effort", "--coordinator", "127.0.0.1:1"); code != 0 {
		t.Fatal(errs)
	}
	p.call("stop", "--spool-dir", p.spool, "--wait", "1s")
	sent := make(chan int, 1)
	go func() {
		code, _, _ := p.call("send", "--config", p.config, "--spool-dir", p.spool, "--coordinator", "127.0.0.1:1")
		sent <- code
	}()
	await(t, func() bool { return p.pid() != 0 })
	if st := p.status(); st.State != control.StateSending || st.EarlierSessions != 1 {
		t.Errorf("status %+v", st)
	}
	p.mustStart()
	if code := <-sent; code != 1 {
		t.Errorf("send: exit %d", code)
	}
	if code, out, _ := p.call("send", "--config", p.config, "--spool-dir", p.spool); code != 0 || !strings.Contains(out, "an agent runs") {
		t.Errorf("send beside an agent: exit %d, %q", code, out)
	}
	if code, _, errs := p.call("stop", "--spool-dir", p.spool, "--wait", "20s"); code != 0 || len(leftFiles(t, p.spool)) != 0 || len(c.all()) != 2 {
		t.Errorf("stop: exit %d, %q, left %v", code, errs, leftFiles(t, p.spool))
	}
}

func TestBadModesAreNamed(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	p := build(t, c, x.Display())
	b, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	file := func(key string, value any) string {
		var all map[string]any
		if err := json.Unmarshal(b, &all); err != nil {
			t.Fatal(err)
		}
		all[key] = value
		path := filepath.Join(t.TempDir(), "agent.json")
		text, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, test := range []struct {
		names string
		args  []string
	}{
		{"--mode", []string{"--mode", "sometimes"}},
		{"--grace", []string{"--mode", "grace", "--grace", "10ms"}},
		{"--grace", []string{"--mode", "grace", "--grace", "-1s"}},
		{"grace", []string{"--grace", "soon"}},
		{"mode", []string{"--config", file("mode", "loose")}},
		{"mode", []string{"--config", file("mode", []int{1})}},
		{"grace", []string{"--config", file("grace", "48h")}},
		{"grace", []string{"--config", file("grace", "x")}},
		{"min_free_bytes", []string{"--config", file("min_free_bytes", -1)}},
	} {
		code, out, errs := p.start(test.args...)
		if code != 2 || out != "" || !strings.Contains(errs, test.names) || strings.Count(errs, "\n") != 1 {
			t.Errorf("%v: exit %d, %q, %q", test.args, code, out, errs)
		}
	}
	// One that the disk has no room for.
	if code, _, errs := p.start("--config", file("min_free_bytes", int64(1)<<60)); code != 1 || !strings.Contains(errs, "too little disk") || strings.Count(errs, "\n") != 1 {
		t.Errorf("exit %d, %q", code, errs)
	}
	if _, err := os.Stat(filepath.Join(p.spool, "run.json")); !errors.Is(err, fs.ErrNotExist) || p.pid() != 0 || len(c.all()) != 0 || len(leftFiles(t, p.spool)) != 0 {
		t.Errorf("%v, pid %d, left %v", err, p.pid(), leftFiles(t, p.spool))
	}
}
