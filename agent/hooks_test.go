package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/recfleet/recfleet/agent/control"
	"github.com/recfleet/recfleet/test/desktop"
)

// program is the built recagent with a spool and a configuration.
type program struct {
	t            *testing.T
	path, config string
	spool        string
	display      string
	wrap         func(*exec.Cmd) // nil for none
}

func build(t *testing.T, c *coordinator, display string) *program {
	t.Helper()
	dir := t.TempDir()
	p := &program{t: t, path: filepath.Join(dir, "recagent"), config: filepath.Join(dir, "client.json"), spool: filepath.Join(dir, "spool"), display: display}
	if out, err := exec.Command("go", "build", "-o", p.path, "./recagent").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if err := c.client.Write(p.config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.killAll()
		if t.Failed() {
			if log, err := os.ReadFile(filepath.Join(p.spool, "run.log")); err == nil {
				t.Logf("run.log:\n%s", log)
			}
		}
	})
	return p
}

// pid returns the process that runs on the spool, 0 where there is none.
func (p *program) pid() int {
	st, err := control.Query(context.Background(), p.spool)
	if err != nil {
		return 0
	}
	return st.PID
}

// killAll kills what runs on the spool, the supervisor first.
func (p *program) killAll() {
	st, err := control.Query(context.Background(), p.spool)
	if err != nil {
		return
	}
	if st.SupervisorPID > 1 {
		_ = syscall.Kill(st.SupervisorPID, syscall.SIGKILL)
	}
	_ = syscall.Kill(st.PID, syscall.SIGKILL)
}

// call runs the program and returns its exit code and output.
func (p *program) call(args ...string) (code int, stdout, stderr string) {
	p.t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.Command(p.path, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent"}
	if p.wrap != nil {
		p.wrap(cmd)
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func (p *program) start(more ...string) (int, string, string) {
	p.t.Helper()
	return p.call(append([]string{"start", "--config", p.config, "--spool-dir", p.spool, "--display", p.display, "--wait", "20s"}, more...)...)
}

func (p *program) mustStart() string {
	p.t.Helper()
	code, out, errs := p.start()
	if code != 0 || !strings.HasPrefix(out, "recording session ") || strings.Count(out, "\n") != 1 || errs != "" {
		p.t.Fatalf("start: exit %d, %q, %q", code, out, errs)
	}
	return out
}

func TestHooksTwiceAndOutOfOrder(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	p := build(t, c, x.Display())
	stop := []string{"stop", "--spool-dir", p.spool, "--wait", "20s"}
	if code, out, errs := p.call(stop...); code != 0 || out != "nothing is being recorded\n" || errs != "" {
		t.Errorf("stop before start: exit %d, %q, %q", code, out, errs)
	}
	// Two at the same moment make one session.
	var group sync.WaitGroup
	said := make([]string, 2)
	for i := range said {
		group.Go(func() { said[i] = p.mustStart() })
	}
	group.Wait()
	if said[0] != said[1] || p.mustStart() != said[0] || len(c.all()) != 1 {
		t.Errorf("starts said %q, %d sessions", said, len(c.all()))
	}
	if code, _, errs := p.call("start", "--config", p.config, "--spool-dir", p.spool, "--display", ":9973"); code != 1 || strings.Count(errs, "\n") != 1 {
		t.Errorf("start for another display: exit %d, %q", code, errs)
	}
	code, out, _ := p.call("status", "-o", "json", "--spool-dir", p.spool)
	var st control.Status
	if err := json.Unmarshal([]byte(out), &st); code != 0 || err != nil || st.State != control.StateRecording || !strings.Contains(said[0], st.SessionID) {
		t.Errorf("status: exit %d, %v, %s", code, err, out)
	}
	if args, err := os.ReadFile(filepath.Join("/proc", "self", "..", itoa(st.PID), "cmdline")); err != nil || strings.Contains(string(args), c.client.Token) {
		t.Errorf("arguments %q, %v", args, err)
	}
	for _, name := range []string{"run.json", "run.log", "run.sock", "lock", "start.lock", "supervisor.lock"} {
		if st, err := os.Stat(filepath.Join(p.spool, name)); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
	for range 2 {
		group.Go(func() {
			if code, _, errs := p.call(stop...); code != 0 || errs != "" {
				t.Errorf("stop: exit %d, %q", code, errs)
			}
		})
	}
	group.Wait()
	if left := leftFiles(t, p.spool); len(left) != 0 || p.pid() != 0 {
		t.Errorf("left: %v, pid %d", left, p.pid())
	}
	if _, err := os.Stat(filepath.Join(p.spool, "run.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file with the token: %v", err)
	}
	if s := c.all()[0]; s.end.GetReason() != "stopped by hook" || s.gaps() != "" {
		t.Errorf("end %v, gaps %s", s.end, s.gaps())
	}
	if p.mustStart() == said[0] {
		t.Error("a second sitting is the first session")
	}
	if code, _, errs := p.call(stop...); code != 0 {
		t.Errorf("stop: exit %d, %q", code, errs)
	}
}

func itoa(n int) string {
	b, _ := json.Marshal(n)
	return string(b)
}

// grabbers counts the processes that grab a display.
func grabbers(display string) int {
	n := 0
	paths, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err == nil && strings.HasPrefix(string(b), "ffmpeg\x00") && strings.Contains(string(b), "\x00"+display+"+0,0\x00") {
			n++
		}
	}
	return n
}

func TestSessionOfAKilledAgentIsFinishedBesideTheNewOne(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	counter, err := desktop.StartCounter(x, 150*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = counter.Stop() }()
	c := startCoordinator(t)
	p := build(t, c, x.Display())
	var frames []int64
	for range 3 {
		p.mustStart()
		var n int64
		await(t, func() bool {
			st, err := control.Query(t.Context(), p.spool)
			n = st.Frames
			return err == nil && n >= 14
		})
		frames = append(frames, n)
		p.killAll()
		await(t, func() bool { return grabbers(x.Display()) == 0 })
	}
	p.mustStart()
	if code, _, errs := p.call("stop", "--spool-dir", p.spool, "--wait", "20s"); code != 0 {
		t.Fatalf("stop: exit %d, %q", code, errs)
	}
	all := c.all()
	if len(all) != 4 || len(leftFiles(t, p.spool)) != 0 {
		t.Fatalf("%d sessions, left %v", len(all), leftFiles(t, p.spool))
	}
	for i, s := range all {
		var sent int64
		for _, e := range s.events {
			sent += e.GetSegmentSealed().GetFrameCount()
		}
		if want := "agent was killed"; i < 3 && (s.end.GetReason() != want || sent < frames[i]-1) {
			t.Errorf("session %d: end %v, %d of %d frames", i, s.end, sent, frames[i])
		}
	}
}

func TestFailedStartLeavesNoProcess(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	c.set(func() { c.deaf = true })
	p := build(t, c, x.Display())
	code, out, errs := p.start("--wait", "2s")
	if code != 1 || out != "" || strings.Count(errs, "\n") != 1 {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	if p.pid() != 0 || len(leftFiles(t, p.spool)) != 0 {
		t.Errorf("left: pid %d, %v", p.pid(), leftFiles(t, p.spool))
	}
}

func TestBadInputIsOneLineAndExitCode2(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	p := build(t, c, x.Display())
	notHere := filepath.Join(t.TempDir(), "absent")
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(t.TempDir(), "open")
	if err := c.client.Write(open); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	base := []string{"start", "--config", p.config, "--spool-dir", p.spool, "--display", p.display, "--wait", "5s"}
	with := func(more ...string) []string { return append(append([]string{}, base...), more...) }
	for name, args := range map[string][]string{
		"unknown flag":            with("--nope"),
		"unknown command":         {"record"},
		"argument":                with("now"),
		"unknown display":         with("--display", ":9973"),
		"no display name":         with("--display", "nonsense"),
		"unreachable coordinator": with("--coordinator", "127.0.0.1:1"),
		"no coordinator address":  with("--coordinator", "somewhere"),
		"no coordinator":          {"start", "--spool-dir", p.spool, "--display", p.display},
		"no token":                {"start", "--spool-dir", p.spool, "--display", p.display, "--coordinator", "127.0.0.1:1"},
		"absent token file":       with("--token-file", notHere),
		"absent CA":               with("--ca", notHere),
		"CA that is none":         with("--ca", file),
		"absent configuration":    with("--config", notHere),
		"broken configuration":    with("--config", file),
		"readable configuration":  with("--config", open),
		"readable token":          with("--token-file", open),
		"spool below a file":      with("--spool-dir", filepath.Join(file, "spool")),
		"spool is a file":         with("--spool-dir", file),
		"spool in /proc":          with("--spool-dir", "/proc/spool"),
		"metadata without value":  with("--meta", "key"),
		"metadata without key":    with("--meta", "=value"),
		"long metadata":           with("--meta", "k="+strings.Repeat("v", 5000)),
		"wait of nothing":         with("--wait", "0s"),
		"wait that is none":       with("--wait", "soon"),
		"unknown output":          {"status", "-o", "xml"},
		"stop with unknown flag":  {"stop", "--now"},
	} {
		code, out, errs := p.call(args...)
		if code != 2 || out != "" || strings.Count(errs, "\n") != 1 || strings.Contains(errs, "goroutine") {
			t.Errorf("%s: exit %d, %q, %q", name, code, out, errs)
		}
	}
	if len(c.all()) != 0 || p.pid() != 0 {
		t.Errorf("%d sessions, pid %d", len(c.all()), p.pid())
	}
}

func TestSignals(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	p := build(t, c, x.Display())
	p.mustStart()
	pid := p.pid()
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return p.pid() == 0 })
	await(t, func() bool { return len(leftFiles(t, p.spool)) == 0 })
	if s := c.all()[0]; s.end.GetReason() != "stopped by signal" {
		t.Errorf("end %v", s.end)
	}
	// The first signal cannot drain while the coordinator is away; the second does not wait.
	p.mustStart()
	pid = p.pid()
	c.set(func() { c.deaf = true })
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool {
		st, err := control.Query(t.Context(), p.spool)
		return err == nil && st.State == control.StateStopping
	})
	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return p.pid() == 0 })
	if len(leftFiles(t, p.spool)) == 0 {
		t.Error("a session without its receipts left the spool")
	}
}

// What cannot be handed over in time stays, and the hook says so.
func TestStopWithoutTheServerKeepsTheSpool(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	p := build(t, c, x.Display())
	p.mustStart()
	c.set(func() { c.deaf = true })
	code, out, errs := p.call("stop", "--spool-dir", p.spool, "--wait", "3s")
	if code != 1 || out != "" || !strings.Contains(errs, "stay in the spool") || strings.Count(errs, "\n") != 1 {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	if p.pid() != 0 || len(leftFiles(t, p.spool)) == 0 {
		t.Errorf("pid %d, left %v", p.pid(), leftFiles(t, p.spool))
	}
	c.set(func() { c.deaf = false })
	p.mustStart()
	if code, _, errs := p.call("stop", "--spool-dir", p.spool); code != 0 || len(leftFiles(t, p.spool)) != 0 {
		t.Errorf("exit %d, %q, left %v", code, errs, leftFiles(t, p.spool))
	}
	if all := c.all(); len(all) != 2 || all[0].end.GetReason() != "stopped by hook" {
		t.Errorf("%d sessions, end %v", len(all), all[0].end)
	}
}
