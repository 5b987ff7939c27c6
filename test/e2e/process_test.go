package e2e

import (
	"bufio"
	"bytes"
	"net"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

const patience = 60 * time.Second

// process is a program of the product that runs beside the test.
type process struct {
	cmd   *exec.Cmd
	lines chan string

	mu  sync.Mutex
	log bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(b)
}

// start runs a program until the test is over; what it said is shown where the test fails.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	return startCommand(t, exec.Command(filepath.Join(bin, name), args...), name)
}

func startCommand(t *testing.T, cmd *exec.Cmd, name string) *process {
	t.Helper()
	p := &process{cmd: cmd, lines: make(chan string, 16)}
	p.cmd.Stderr = p
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		defer close(p.lines)
		for scan := bufio.NewScanner(stdout); scan.Scan(); {
			select {
			case p.lines <- scan.Text():
			default: // nobody listens any more
			}
		}
	})
	t.Cleanup(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		killer := time.AfterFunc(patience, func() { _ = p.cmd.Process.Kill() })
		defer killer.Stop()
		reading.Wait()
		if err := p.cmd.Wait(); err != nil {
			t.Errorf("%s ended: %v", name, err)
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", name, p.log.String())
		}
	})
	return p
}

// ready waits for the one line that a server prints.
func (p *process) ready(t *testing.T) string {
	t.Helper()
	select {
	case line, ok := <-p.lines:
		if !ok {
			t.Fatal("a server ended before it was ready")
		}
		return line
	case <-time.After(patience):
		t.Fatal("a server was not ready in time")
	}
	return ""
}

// run runs a program to its end, which must be a success.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), filepath.Join(bin, name), args...).Output()
	if err != nil {
		var said []byte
		if exit, ok := err.(*exec.ExitError); ok { //nolint:errorlint // Output returns it bare
			said = exit.Stderr
		}
		t.Fatalf("%s %v: %v\n%s%s", name, args, err, out, said)
	}
	return string(out)
}

// tryRun runs a program when the test is over, for cleaning up.
func tryRun(t *testing.T, name string, args ...string) {
	if out, err := exec.Command(filepath.Join(bin, name), args...).CombinedOutput(); err != nil {
		t.Logf("%s %v: %v\n%s", name, args, err, out)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// startServer starts somebody else's server and waits until it accepts connections.
func startServer(t *testing.T, address, name string, args ...string) {
	t.Helper()
	start(t, name, args...)
	waitFor(t, name+" accepts connections", func() bool {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("%s: not in time", what)
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-tick.C:
		}
	}
}
