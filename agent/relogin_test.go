package agent

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/recfleet/recfleet/agent/control"
	"github.com/recfleet/recfleet/test/desktop"
)

// lockedServer starts an X server on a given display with a cookie of its own, as a display manager does at every login.
func lockedServer(t *testing.T, display, cookie string) (stop func()) {
	t.Helper()
	dir := t.TempDir()
	number := strings.TrimPrefix(display, ":")
	b := binary.BigEndian.AppendUint16(nil, 256) // a host's name, which need not be this one's
	for _, f := range []string{"elsewhere", number, "MIT-MAGIC-COOKIE-1", cookie} {
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(f))), f...)
	}
	auth := filepath.Join(dir, "auth")
	if err := os.WriteFile(auth, b, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("Xvnc", display, "-auth", auth, "-geometry", "320x240", "-depth", "24", "-SecurityTypes", "None", "-localhost",
		"-rfbport", "-1", "-rfbunixpath", filepath.Join(dir, "rfb"), "-nolisten", "tcp", "-noreset")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
			_ = os.Remove("/tmp/.X11-unix/X" + number)
			_ = os.Remove("/tmp/.X" + number + "-lock")
		}
	}
	t.Cleanup(stop)
	return stop
}

// A user logs out and in again: the display is the same, its server and its cookie are not.
func TestServerStartedAnewWithAnotherCookie(t *testing.T) {
	// The number of a display that was just free.
	probe := desktop.Start(t, 320, 240)
	display := probe.Display()
	if err := probe.Stop(); err != nil {
		t.Fatal(err)
	}
	stop := lockedServer(t, display, "0123456789abcdef")
	c := startCoordinator(t)
	p := build(t, c, display)
	p.mustStart()
	st, err := control.Query(t.Context(), p.spool)
	if err != nil {
		t.Fatal(err)
	}
	stop()
	lockedServer(t, display, "fedcba9876543210")
	n := st.Frames
	await(t, func() bool {
		now, err := control.Query(t.Context(), p.spool)
		return err == nil && now.Frames > n+20 && now.PID == st.PID
	})
	if code, _, errs := p.call("stop", "--spool-dir", p.spool, "--wait", "20s"); code != 0 {
		t.Errorf("stop: exit %d, %q", code, errs)
	}
	s := c.all()[0]
	if len(c.all()) != 1 {
		t.Errorf("%d sessions", len(c.all()))
	}
	checkWhole(t, s)
}

// As on an instance: the system's server, locked, with a user's programs on it, and nothing but the user's number is told.
func TestStartFindsAndOpensTheDesktop(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can have programs run as another user")
	}
	const person = 41500
	x := desktop.StartConfig(t, desktop.Config{Width: 320, Height: 240, Locked: true})
	c := startCoordinator(t)
	p := build(t, c, x.Display())
	args := []string{"start", "--config", p.config, "--spool-dir", p.spool, "--user", itoa(person)}
	if code, _, errs := p.call(append(args, "--wait", "1s")...); code != 2 || !strings.Contains(errs, "no desktop to record") {
		t.Errorf("nobody is logged in: exit %d, %q", code, errs)
	}
	said := make(chan string, 1)
	go func() {
		_, out, errs := p.call(append(args, "--wait", "20s")...)
		said <- out + errs
	}()
	program := exec.Command("sleep", "600")
	program.Env = []string{"DISPLAY=" + x.Display()}
	program.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: person, Gid: person}, Pdeathsig: syscall.SIGKILL}
	if err := program.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = program.Process.Kill()
		_ = program.Wait()
	}()
	if out := <-said; !strings.HasPrefix(out, "recording session ") || !strings.HasSuffix(out, "on display "+x.Display()+"\n") {
		t.Errorf("start: %q", out)
	}
	if code, _, errs := p.call("stop", "--spool-dir", p.spool, "--wait", "20s"); code != 0 {
		t.Errorf("stop: exit %d, %q", code, errs)
	}
	if s := c.all()[0]; s.start.GetUser() != itoa(person) || s.gaps() != "" {
		t.Errorf("start %v, gaps %s", s.start, s.gaps())
	}
}
