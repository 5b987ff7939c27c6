package ffmpeg

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// shim puts a shell script in FFmpeg's place.
func shim(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ffmpeg"), []byte("#!/bin/bash\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
}

// said runs what is in FFmpeg's place to its end and returns what it wrote.
func said(t *testing.T, cfg Config) (string, Exit, Confinement) {
	t.Helper()
	cfg.Stdout = true
	p := start(t, cfg)
	out, err := io.ReadAll(p.Stdout())
	exit, waitErr := p.Wait()
	if err != nil || waitErr != nil {
		t.Fatal(err, waitErr)
	}
	return string(out), exit, p.Confinement()
}

func someLimits() Limits {
	return Limits{Memory: 1 << 30, CPU: 100 * time.Second, FileSize: 1 << 20, Files: 50, Processes: 40}
}

// The limits are those of the very first instruction, whatever way the kernel allows.
func TestAProcessIsConfined(t *testing.T) {
	shim(t, `cat /proc/self/limits /proc/net/dev; cat /proc/$$/oom_score_adj`)
	out, exit, held := said(t, Config{Limits: someLimits(), Offline: true})
	if exit.Code != 0 || !held.Limited || held.LimitedLate {
		t.Fatalf("%v, %+v", exit, held)
	}
	want := []string{"Max address space 1073741824 1073741824", "Max cpu time 100 105", "Max file size 1048576 1048576", "Max open files 50 50", "Max core file size 0 0"}
	if held.OwnUser {
		want = append(want, "Max processes 40 40")
	}
	plain := strings.Join(strings.Fields(out), " ")
	for _, w := range want {
		if !strings.Contains(plain, w) {
			t.Errorf("%q is missing in\n%s", w, out)
		}
	}
	if !strings.HasSuffix(plain, " 500") {
		t.Errorf("out of memory, it is not taken first:\n%s", out)
	}
	if held.Offline && strings.Count(out, ":") != 1 {
		t.Errorf("it has more than a loopback:\n%s", out)
	}
}

func TestEveryWayToStart(t *testing.T) {
	for _, w := range ways(true) {
		t.Run(fmt.Sprintf("%+v", w), func(t *testing.T) {
			cmd := exec.Command("cat", "/proc/self/limits")
			cmd.SysProcAttr = &syscall.SysProcAttr{}
			w.prepare(cmd.SysProcAttr)
			in, hold, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			cmd.Args, cmd.Stdin = []string{"cat", "-", "/proc/self/limits"}, in // until the pipe is closed
			var out strings.Builder
			cmd.Stdout = &out
			type started struct {
				held Confinement
				err  error
			}
			done := make(chan started)
			go func() { // on a thread of its own, as launch does
				held, err := func() (Confinement, error) {
					if err := cmd.Start(); err != nil {
						return Confinement{}, err
					}
					return w.finish(cmd, someLimits()), nil
				}()
				done <- started{held, err}
			}()
			s := <-done
			hold.Close()
			if s.err != nil {
				t.Skip("the kernel does not allow it here: ", s.err)
			}
			if err := cmd.Wait(); err != nil {
				t.Fatal(err)
			}
			if s.held.Limited != w.traced || s.held.LimitedLate == w.traced || s.held.Offline != w.ownNetwork || s.held.OwnUser != w.ownUser {
				t.Errorf("%+v", s.held)
			}
			if plain := strings.Join(strings.Fields(out.String()), " "); !strings.Contains(plain, "Max cpu time 100 105") {
				t.Errorf("limits\n%s", out.String())
			}
		})
	}
}

// Where namespaces are forbidden the work goes on without them.
func TestWhereTheKernelForbidsNamespaces(t *testing.T) {
	const variable = "RECFLEET_TEST_FORBIDDEN"
	if os.Getenv(variable) == "" {
		cmd := exec.Command("unshare", "--user", "--map-root-user", "--", "sh", "-c",
			`echo 0 >/proc/sys/user/max_user_namespaces && echo 0 >/proc/sys/user/max_net_namespaces && exec "$0" -test.run "^TestWhereTheKernelForbidsNamespaces$" -test.v`,
			"/proc/self/exe")
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd.Args[len(cmd.Args)-1] = self
		cmd.Env = append(os.Environ(), variable+"=1")
		out, err := cmd.CombinedOutput()
		switch {
		case strings.Contains(string(out), "unshare failed") || strings.Contains(string(out), "cannot create"):
			t.Skipf("a user namespace cannot be made here: %s", out)
		case err != nil || !strings.Contains(string(out), "PASS"):
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	held, err := Confine(t.Context())
	if err != nil || held != (Confinement{Limited: true}) {
		t.Errorf("%+v, %v", held, err)
	}
	if _, err := Version(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestThereIsNoNetwork(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	shim(t, fmt.Sprintf(`exec 2>&1; if exec 3<>/dev/tcp/127.0.0.1/%d; then echo reached; fi`, listener.Addr().(*net.TCPAddr).Port))
	if out, exit, _ := said(t, Config{}); out != "reached\n" {
		t.Fatalf("online: %q, %v", out, exit)
	}
	out, exit, held := said(t, Config{Offline: true})
	if !held.Offline {
		t.Skip("the kernel does not allow a network namespace here")
	}
	if strings.Contains(out, "reached\n") || !strings.Contains(out, "unreachable") {
		t.Errorf("offline: %q, %v", out, exit)
	}
}

func TestALimitIsToldApart(t *testing.T) {
	dir := t.TempDir()
	encode := func(size string) []string {
		return []string{"-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=" + size + ":rate=25", "-frames:v", "100", "-c:v", "libx264",
			"-preset", "medium", "-threads", "1", "-y", filepath.Join(dir, "out.mp4")}
	}
	for name, c := range map[string]struct {
		script string // in FFmpeg's place, where there is one
		cfg    Config
		want   Limit
	}{
		"spins":                  {"while :; do :; done", Config{Limits: Limits{CPU: time.Second}}, LimitCPU},
		"takes too much CPU":     {"", Config{Limits: Limits{CPU: time.Second}, Args: encode("1920x1080")}, LimitCPU},
		"takes too much memory":  {"", Config{Limits: Limits{Memory: 600 << 20}, Args: encode("1920x1080")}, LimitMemory},
		"writes too much":        {"", Config{Limits: Limits{FileSize: 10_000}, Args: encode("320x240")}, LimitFileSize},
		"writes and goes on":     {"trap '' XFSZ; head -c 20000 /dev/zero >" + filepath.Join(dir, "x"), Config{Limits: Limits{FileSize: 10_000}}, LimitFileSize},
		"fails of itself":        {"echo 'Conversion failed!' >&2; exit 1", Config{Limits: someLimits()}, ""},
		"no memory on machine":   {"echo 'Cannot allocate memory' >&2; exit 1", Config{Limits: someLimits()}, ""},
		"does its work":          {"", Config{Limits: Limits{Memory: 2 << 30, CPU: time.Minute, FileSize: 10 << 20, Files: 50, Processes: 64}, Offline: true, Args: encode("320x240")}, ""},
		"opens too many files":   {"for i in $(seq 3 60); do eval \"exec $i</dev/null\" || exit 1; done", Config{Limits: someLimits()}, ""},
		"is killed by an enemy":  {"kill -KILL $$", Config{Limits: someLimits()}, ""},
		"ends well at the brink": {"exit 0", Config{Limits: Limits{CPU: time.Nanosecond}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if c.script != "" {
				shim(t, c.script)
			}
			_, exit, _ := said(t, c.cfg)
			if exit.Limit != c.want {
				t.Errorf("limit %q of %v", exit.Limit, exit)
			}
			if good := name == "does its work" || name == "ends well at the brink"; good != (exit.Code == 0) {
				t.Errorf("%v", exit)
			}
		})
	}
}

func TestItsNumberOfProcessesIsLimited(t *testing.T) {
	shim(t, `for i in $(seq 100); do sleep 100 & done; echo started`)
	cfg := Config{Limits: someLimits(), Offline: true, Stdout: true}
	p := start(t, cfg)
	t.Cleanup(p.Kill)
	waitFor(t, func() bool { return len(group(t, p.PID())) > 30 })
	if n := len(group(t, p.PID())); p.Confinement().Counted && n > 40 {
		t.Errorf("%d processes", n)
	}
	// All of them go with the group.
	p.Kill()
	waitFor(t, func() bool { return len(group(t, p.PID())) <= 1 }) // itself, until it was waited for
	if _, err := p.Wait(); err != nil {
		t.Error(err)
	}
}

// An encoder is to run as a user of its own: then all of it holds.
func TestOfAnOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the other tests run as one")
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil { // testing makes it for its user alone
		t.Fatal(err)
	}
	copied := filepath.Join(dir, "tests")
	if err := os.WriteFile(copied, self, 0o755); err != nil {
		t.Fatal(err)
	}
	const nobody = 65534
	cmd := exec.Command(copied, "-test.v", "-test.run", "^(TestItsNumberOfProcessesIsLimited|TestAProcessIsConfined|TestThereIsNoNetwork|TestOfNobody)$")
	cmd.Dir = filepath.Dir(copied)
	home := filepath.Join(cmd.Dir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(home, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "TMPDIR="+home, "RECFLEET_TEST_NOBODY=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS: TestOfNobody") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestOfNobody(t *testing.T) {
	if os.Getenv("RECFLEET_TEST_NOBODY") == "" {
		t.Skip("is part of another test")
	}
	held, err := Confine(t.Context())
	if err != nil || !held.Limited || held.OwnUser && held != (Confinement{Limited: true, Offline: true, OwnUser: true, Counted: true}) {
		t.Errorf("%+v, %v", held, err)
	}
	if !held.OwnUser {
		t.Log("the kernel does not allow an ordinary user a namespace here")
	}
}

// group returns the processes of a process group that have not ended.
func group(t *testing.T, id int) (pids []string) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, after, _ := strings.Cut(string(raw), ") ")
		if f := strings.Fields(after); len(f) > 2 && f[0] != "Z" && f[2] == fmt.Sprint(id) {
			pids = append(pids, path)
		}
	}
	return pids
}

// A process does not outlive the one that started it, not even one that is killed.
func TestItDiesWithItsParent(t *testing.T) {
	const variable = "RECFLEET_TEST_PARENT"
	if at := os.Getenv(variable); at != "" {
		p := start(t, Config{Limits: someLimits(), Offline: true})
		if err := os.WriteFile(at, []byte(fmt.Sprint(p.PID())), 0o600); err != nil {
			t.Fatal(err)
		}
		_, _ = p.Wait()
		return
	}
	shim(t, "exec sleep 1000")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(t.TempDir(), "pid")
	parent := exec.Command(self, "-test.run", "^TestItDiesWithItsParent$")
	parent.Env = append(os.Environ(), variable+"="+at)
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	waitFor(t, func() bool {
		raw, _ := os.ReadFile(at)
		n, _ := fmt.Sscan(string(raw), &pid)
		return n == 1
	})
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	waitFor(t, func() bool { return len(group(t, pid)) == 0 })
}

func BenchmarkStart(b *testing.B) {
	for name, offline := range map[string]bool{"plain": false, "confined": true} {
		b.Run(name, func(b *testing.B) {
			limits := Limits{}
			if offline {
				limits = someLimits()
			}
			for b.Loop() {
				cmd, _, err := launch(func() *exec.Cmd {
					cmd := exec.Command("true")
					cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL}
					return cmd
				}, limits, offline)
				if err != nil {
					b.Fatal(err)
				}
				if err := cmd.Wait(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
