package agent

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/recfleet/recfleet/agent/control"
	"github.com/recfleet/recfleet/test/desktop"
)

// Stand-ins for systemd-run and systemctl, for a machine that systemd does not run. What they leave open: whether a real
// systemd-run takes these properties, and what they have it do beyond this: the service gets the environment it is given and no
// other, runs apart from its caller, is started again where a signal killed it, and is stopped by SIGTERM to its first process.
// Limits, the order at shutdown, and who is killed for want of memory are not played.
const (
	playSystemdRun = `#!/bin/sh
state=$(dirname "$0")/..
printf '%s\n' "$@" >"$state/arguments"
[ ! -e "$state/old" ] || case "$*" in *OOMPolicy*) echo "Unknown assignment: OOMPolicy=continue" >&2; exit 1;; esac
[ ! -e "$state/broken" ] || { echo "Failed to connect to bus: No such file or directory" >&2; exit 1; }
environment=
while :; do
	case $1 in
	--setenv=*) environment="$environment ${1#--setenv=}" ;;
	--*) ;;
	*) break ;;
	esac
	shift
done
rm -f "$state/stopped"
setsid sh -c '
	state=$1 environment=$2
	shift 2
	echo $$ >"$state/group"
	while :; do
		env -i $environment "$@" &
		echo $! >"$state/main"
		wait $!
		[ $? -gt 128 ] && [ ! -e "$state/stopped" ] || break
		sleep 0.2
	done
	rm "$state/main"
' sh "$state" "$environment" "$@" </dev/null >/dev/null 2>&1 &
`
	playSystemctl = `#!/bin/sh
state=$(dirname "$0")/..
touch "$state/stopped"
case $1 in
kill) kill -KILL "-$(cat "$state/group")"; rm -f "$state/main" ;;
stop) kill -TERM "$(cat "$state/main")"; while [ -e "$state/main" ]; do sleep 0.05; done ;;
esac
`
)

// belowSystemd has the program's hooks run as if systemd ran the machine. It returns the folder in which the stand-ins keep what
// they know.
func (p *program) belowSystemd() string {
	p.t.Helper()
	if os.Geteuid() != 0 {
		p.t.Skip("only root has its hooks use systemd, and may make a folder that says that it runs")
	}
	state := p.t.TempDir()
	bin := filepath.Join(state, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		p.t.Fatal(err)
	}
	for name, content := range map[string]string{"systemd-run": playSystemdRun, "systemctl": playSystemctl} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte(content), 0o755); err != nil {
			p.t.Fatal(err)
		}
	}
	p.wrap = func(cmd *exec.Cmd) {
		// The folder is there for the hook alone: in a mount namespace of its own.
		script := `mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && exec "$@"`
		cmd.Args = append([]string{"unshare", "--mount", "sh", "-c", script, "sh"}, append([]string{p.path}, cmd.Args[1:]...)...)
		cmd.Path = must(exec.LookPath("unshare"))
		cmd.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "HOME=/nonexistent", "SECRET=x", "AppStream_Stack_Name=the-stack"}
	}
	return state
}

func argumentsOf(t *testing.T, state string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(state, "arguments"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(b)), "\n")
}

func TestSupervisorRunsAsAUnit(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	p := build(t, c, x.Display())
	state := p.belowSystemd()
	st := p.recording()
	args := argumentsOf(t, state)
	for _, want := range []string{"--collect", "--property=KillMode=process", "--property=Restart=on-abnormal", "--property=OOMPolicy=continue",
		"--property=TimeoutStopSec=60s", "--setenv=HOME=/nonexistent", p.path, "supervise", "--unit"} {
		if !slices.Contains(args, want) {
			t.Errorf("%q is not among %q", want, args)
		}
	}
	if i := slices.IndexFunc(args, func(a string) bool { return strings.HasPrefix(a, "--unit=recagent-") }); i < 0 || strings.Contains(strings.Join(args, " "), "SECRET") {
		t.Errorf("arguments %q", args)
	}
	if environ, err := os.ReadFile(filepath.Join("/proc", itoa(st.PID), "environ")); err != nil || bytes.Contains(environ, []byte("AppStream")) {
		t.Errorf("the agent's environment is not the unit's: %q, %v", environ, err)
	}
	// The hook read for it what the platform says.
	if stack := c.all()[0].start.GetStack(); stack != "the-stack" {
		t.Errorf("stack %q", stack)
	}
	// Both at once: nobody but systemd can bring them back.
	send(t, st.SupervisorPID, syscall.SIGKILL)
	send(t, st.PID, syscall.SIGKILL)
	now := p.awaitOther(st, hangWithin)
	// The supervisor alone: systemd's takes the agent over, and the agent does not start one beside it.
	send(t, now.SupervisorPID, syscall.SIGKILL)
	supervisor := p.awaitSupervisor(now.SupervisorPID)
	main, err := os.ReadFile(filepath.Join(state, "main"))
	if again, qerr := control.Query(t.Context(), p.spool); err != nil || qerr != nil || again.PID != now.PID || strings.TrimSpace(string(main)) != itoa(supervisor) {
		t.Errorf("status %+v, %v, %v; the unit's process is %s", again, err, qerr, main)
	}
	p.finishOnly(c)
	await(t, func() bool { _, err := os.Stat(filepath.Join(state, "main")); return os.IsNotExist(err) })
}

func TestOldOrBrokenSystemd(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	for _, fault := range []string{"old", "broken"} {
		c := startCoordinator(t)
		p := build(t, c, x.Display())
		state := p.belowSystemd()
		if err := os.WriteFile(filepath.Join(state, fault), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		p.recording()
		if slices.Contains(argumentsOf(t, state), "--property=OOMPolicy=continue") {
			t.Errorf("%s: not tried without what it does not know", fault)
		}
		if _, err := os.Stat(filepath.Join(state, "main")); (err == nil) != (fault == "old") {
			t.Errorf("%s: unit's process %v", fault, err)
		}
		if log, err := os.ReadFile(filepath.Join(p.spool, "run.log")); err != nil || bytes.Contains(log, []byte("unit not started")) != (fault == "broken") {
			t.Errorf("%s: log %s, %v", fault, log, err)
		}
		p.finishOnly(c)
	}
}

func TestFailedStartLeavesNoUnit(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	c.set(func() { c.deaf = true })
	p := build(t, c, x.Display())
	state := p.belowSystemd()
	code, out, errs := p.start("--wait", "2s")
	if code != 1 || out != "" || strings.Count(errs, "\n") != 1 || p.pid() != 0 || len(leftFiles(t, p.spool)) != 0 {
		t.Errorf("exit %d, %q, %q, pid %d, left %v", code, out, errs, p.pid(), leftFiles(t, p.spool))
	}
	if _, err := os.Stat(filepath.Join(state, "main")); err == nil {
		t.Error("the unit still runs")
	}
}
