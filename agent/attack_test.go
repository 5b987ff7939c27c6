package agent

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/recfleet/recfleet/agent/control"
	"github.com/recfleet/recfleet/test/desktop"
)

// attacker is who attacks: somebody without any rights.
const attacker = 65534

// attack is one thing that the user of a desktop may try; it returns nil where it worked. Those that only look can be tried by root
// too, for whom they work.
type attack struct {
	name  string
	looks bool
	try   func() error
}

func attacks(spool, program, secret string, pids []int) []attack {
	all := []attack{
		{"list the spool", true, func() error { _, err := os.ReadDir(spool); return err }},
		{"connect to the socket", true, func() error {
			c, err := net.Dial("unix", filepath.Join(spool, "run.sock"))
			if err != nil {
				return err
			}
			return c.Close()
		}},
		{"ask for the status", true, func() error { return exec.Command(program, "status", "--spool-dir", spool).Run() }},
		{"stop by the hook", false, func() error { return exec.Command(program, "stop", "--spool-dir", spool, "--wait", "2s").Run() }},
		{"move the spool", false, func() error { return os.Rename(spool, spool+".moved") }},
		{"remove the spool", false, func() error { return os.RemoveAll(spool) }},
		{"write to the spool", false, func() error { return os.WriteFile(filepath.Join(spool, "stop"), []byte("x"), 0o600) }},
		{"open the spool to all", false, func() error { return os.Chmod(spool, 0o777) }},
		{"lock the agent out", false, func() error {
			f, err := os.Open(filepath.Join(spool, "lock"))
			if err != nil {
				return err
			}
			defer func() { _ = f.Close() }()
			return unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		}},
	}
	for _, name := range []string{"run.json", "run.log", "lock", "sessions"} {
		all = append(all, attack{"open " + name, true, func() error {
			f, err := os.Open(filepath.Join(spool, name))
			if err != nil {
				return err
			}
			return f.Close()
		}})
	}
	for _, pid := range pids {
		proc := filepath.Join("/proc", strconv.Itoa(pid))
		for _, name := range []string{"environ", "mem", "maps"} {
			all = append(all, attack{fmt.Sprintf("open %s of %d", name, pid), true, func() error {
				f, err := os.Open(filepath.Join(proc, name))
				if err != nil {
					return err
				}
				defer func() { _ = f.Close() }()
				if name == "mem" {
					return nil
				}
				_, err = io.ReadAll(f)
				return err
			}})
		}
		all = append(all,
			attack{fmt.Sprintf("find the secret in the arguments of %d", pid), false, func() error {
				b, err := os.ReadFile(filepath.Join(proc, "cmdline"))
				if err == nil && !bytes.Contains(b, []byte(secret)) {
					err = fmt.Errorf("not in %q", b)
				}
				return err
			}},
			attack{fmt.Sprintf("look into the files of %d", pid), true, func() error { _, err := os.ReadDir(filepath.Join(proc, "fd")); return err }},
			attack{fmt.Sprintf("enter the folder of %d", pid), true, func() error { _, err := os.ReadDir(filepath.Join(proc, "cwd")); return err }},
		)
		for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGSTOP, syscall.SIGKILL} {
			all = append(all, attack{fmt.Sprintf("send %s to %d", s, pid), false, func() error { return syscall.Kill(pid, s) }})
		}
		all = append(all, attack{fmt.Sprintf("trace %d", pid), false, func() error { return syscall.PtraceAttach(pid) }})
	}
	return all
}

// TestAttacker is run by the test below as another process: it prints what it could do.
func TestAttacker(t *testing.T) {
	spool, looks := os.Getenv("ATTACKED_SPOOL"), os.Getenv("ATTACK_LOOKS") != ""
	if spool == "" {
		t.Skip("only for TestUserCanNeitherStopNorRead")
	}
	var pids []int
	for _, s := range strings.Fields(os.Getenv("ATTACKED_PIDS")) {
		pid, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	for _, a := range attacks(spool, os.Getenv("ATTACK_PROGRAM"), os.Getenv("ATTACK_SECRET"), pids) {
		if looks && !a.looks {
			continue
		}
		if err := a.try(); err == nil {
			fmt.Printf("could %s\n", a.name)
		} else {
			fmt.Printf("could not %s: %v\n", a.name, err)
		}
	}
}

func TestUserCanNeitherStopNorRead(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can act as another user")
	}
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	p := build(t, c, x.Display())
	// Where everybody can get to, as on a real instance.
	open, err := os.MkdirTemp("", "open-") //nolint:usetesting // the test's own folder lies below one that others cannot enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(open) })
	if err := os.Chmod(open, 0o755); err != nil {
		t.Fatal(err)
	}
	p.spool = filepath.Join(open, "spool")
	copies := map[string]string{p.path: filepath.Join(open, "recagent"), os.Args[0]: filepath.Join(open, "attack")}
	for from, to := range copies {
		b, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p.mustStart()
	st, err := control.Query(t.Context(), p.spool)
	if err != nil {
		t.Fatal(err)
	}
	pids := []int{st.SupervisorPID, st.PID}
	for _, path := range must(filepath.Glob("/proc/[0-9]*/status")) {
		if b, err := os.ReadFile(path); err == nil && strings.Contains(string(b), "\nPPid:\t"+itoa(st.PID)+"\n") {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	// The agent takes the pictures itself: there is a third only where FFmpeg does.
	if len(pids) < 2 || slices.Contains(pids, 0) {
		t.Errorf("processes %v", pids)
	}
	run := func(uid uint32, more ...string) string {
		t.Helper()
		cmd := exec.Command(copies[os.Args[0]], "-test.run", "^TestAttacker$")
		cmd.Dir = "/"
		cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "ATTACKED_SPOOL=" + p.spool, "ATTACK_PROGRAM=" + copies[p.path],
			"ATTACK_SECRET=" + c.client.Token, "ATTACKED_PIDS=" + strings.Trim(fmt.Sprint(pids), "[]")}, more...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	out := run(attacker)
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, "could ") && !strings.HasPrefix(line, "could not ") {
			t.Errorf("the user %s", strings.TrimSpace(line))
		}
	}
	if strings.Count(out, "could not ") < 20+3*len(pids) {
		t.Errorf("too little was tried:\n%s", out)
	}
	// The attacks are real: those that only look work for root.
	if out := run(0, "ATTACK_LOOKS=1"); strings.Contains(out, "could not ") {
		t.Errorf("root: %s", out)
	}
	now, err := control.Query(t.Context(), p.spool)
	if err != nil || now.PID != st.PID || now.SupervisorPID != st.SupervisorPID || now.State != control.StateRecording {
		t.Errorf("status %+v, %v", now, err)
	}
	await(t, func() bool {
		again, err := control.Query(t.Context(), p.spool)
		return err == nil && again.Frames > now.Frames
	})
	var bad []string
	_ = filepath.Walk(p.spool, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			bad = append(bad, path)
		}
		return nil
	})
	if len(bad) > 0 {
		t.Errorf("open to others: %v", bad)
	}
	if code, _, errs := p.call("stop", "--spool-dir", p.spool, "--wait", "20s"); code != 0 {
		t.Errorf("stop: exit %d, %q", code, errs)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
