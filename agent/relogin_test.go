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
