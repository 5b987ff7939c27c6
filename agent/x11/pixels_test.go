package x11_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/recfleet/recfleet/agent/x11"
)

// startServer runs an X server with further arguments and returns its display.
func startServer(t *testing.T, args ...string) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command("Xvnc", append([]string{"-displayfd", "3", "-geometry", "320x240", "-SecurityTypes", "None", "-localhost", "-rfbport", "-1",
		"-rfbunixpath", filepath.Join(t.TempDir(), "rfb"), "-nolisten", "tcp"}, args...)...)
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Skipf("no X server with %v", args)
	}
	return ":" + strings.TrimSpace(line)
}

func TestOtherPixelsAreRefused(t *testing.T) {
	for name, args := range map[string][]string{"16 bits": {"-depth", "16"}, "red first": {"-depth", "24", "-pixelformat", "bgr888"}} {
		t.Run(name, func(t *testing.T) {
			d, err := x11.Open(startServer(t, args...), x11.Options{})
			if !errors.Is(err, x11.ErrPixels) || strings.Contains(err.Error(), "\n") {
				t.Errorf("opened with %v", err)
			}
			if err == nil {
				d.Close()
			}
		})
	}
}
