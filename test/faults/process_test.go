package faults

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// options say how an encoder is started.
type options struct {
	// ffmpeg is a shell script in FFmpeg's place, for encoding alone; REAL in it is the real one, DIR a directory of the test's.
	ffmpeg  string
	dir     string
	workDir string
	args    []string
}

// encoder is a real recencoder.
type encoder struct {
	cmd  *exec.Cmd
	gone chan struct{} // closed when it has ended
	err  error

	mu  sync.Mutex
	log bytes.Buffer
}

func (e *encoder) Write(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.log.Write(b)
}

func (e *encoder) said(text string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return strings.Contains(e.log.String(), text)
}

// encoder starts one and waits until it is ready. It is killed when the test is over.
func (w *world) encoder(o options) *encoder {
	w.t.Helper()
	if o.workDir == "" {
		o.workDir = filepath.Join(w.t.TempDir(), "work")
	}
	e := &encoder{gone: make(chan struct{})}
	args := append([]string{"--config", w.client, "--archive", "file://" + w.archive + "/{session_id}/", "--work-dir", o.workDir, "--slots", "1", "--log-level", "debug"}, o.args...)
	e.cmd = exec.Command(filepath.Join(bin, "recencoder"), args...)
	e.cmd.Stderr = e
	e.cmd.Env = os.Environ()
	if o.ffmpeg != "" {
		e.cmd.Env = append(e.cmd.Env, "PATH="+shim(w.t, o)+":"+os.Getenv("PATH"))
	}
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		w.t.Fatal(err)
	}
	if err := e.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	lines := make(chan string, 1)
	go func() {
		scan := bufio.NewScanner(out)
		if scan.Scan() {
			lines <- scan.Text()
		}
		close(lines)
		for scan.Scan() {
		}
		e.err = e.cmd.Wait()
		close(e.gone)
	}()
	w.t.Cleanup(func() {
		_ = e.cmd.Process.Kill()
		_ = e.cmd.Process.Signal(syscall.SIGCONT)
		<-e.gone
		if w.t.Failed() {
			w.t.Logf("encoder %d said:\n%s", e.cmd.Process.Pid, e.log.String())
		}
	})
	select {
	case line, ok := <-lines:
		if !ok {
			w.t.Fatalf("the encoder ended before it was ready: %s", e.log.String())
		}
		if !strings.HasSuffix(line, " 1 slots") {
			w.t.Errorf("ready: %s", line)
		}
	case <-time.After(patience):
		w.t.Fatal("the encoder was not ready in time")
	}
	return e
}

// shim makes a directory in which FFmpeg is a script, but where it only says its version.
func shim(t *testing.T, o options) string {
	t.Helper()
	lookup, err := exec.LookPath("ffmpeg")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script := strings.NewReplacer("REAL", lookup, "DIR", o.dir).Replace(o.ffmpeg)
	script = fmt.Sprintf("#!/bin/bash\nif [ \"$1\" = -version ]; then exec %s -version; fi\n%s\n", lookup, script)
	if err := os.WriteFile(filepath.Join(dir, "ffmpeg"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func (e *encoder) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := e.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// ended waits for the encoder's end and returns its exit code, -1 after a signal.
func (e *encoder) ended(t *testing.T) int {
	t.Helper()
	select {
	case <-e.gone:
	case <-time.After(patience):
		t.Fatal("the encoder did not end")
	}
	return e.cmd.ProcessState.ExitCode()
}

// gate is a script that has every encoding wait until it is opened; each writes its process id.
const gate = `echo $$ >>DIR/waiting; while [ ! -e DIR/open ]; do sleep 0.02; done; exec REAL "$@"`

func (w *world) waiting(dir string) (pid int) {
	w.t.Helper()
	w.until("an FFmpeg waits at the gate", func() bool {
		raw, err := os.ReadFile(filepath.Join(dir, "waiting"))
		n, _ := fmt.Sscan(string(raw), &pid)
		return err == nil && n == 1
	})
	return pid
}

func open(t *testing.T, dir string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "open"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// alive reports whether a process runs and has not been waited for.
func alive(pid int) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, _ := strings.Cut(string(raw), ") ")
	return err == nil && !strings.HasPrefix(after, "Z")
}
