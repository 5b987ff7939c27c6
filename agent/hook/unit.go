package hook

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// UnitFlag is added to the supervisor's arguments where it runs as a unit.
	UnitFlag = "--unit"
	// unitTimeout bounds what systemd is asked to do at once.
	unitTimeout = 10 * time.Second
)

// Unit has systemd run the supervisor as a service that lasts as long as the recording: apart from the service that the hook
// belongs to, and started again also where it is killed together with its agent.
type Unit struct {
	// Name is the service's, unlike that of any other.
	Name string
	// run and control are the paths of systemd-run and systemctl.
	run, control string
}

// FindUnit returns how to have systemd run a supervisor under that name; nil where systemd does not run the system that lies below
// root, its programs are not on the path, or the caller is not root.
func FindUnit(root, name string) *Unit {
	// The folder is what systemd itself says to look for.
	if st, err := os.Lstat(filepath.Join(root, "run/systemd/system")); err != nil || !st.IsDir() || os.Geteuid() != 0 {
		return nil
	}
	u := &Unit{Name: name}
	for program, path := range map[string]*string{"systemd-run": &u.run, "systemctl": &u.control} {
		var err error
		if *path, err = exec.LookPath(program); err != nil {
			return nil
		}
	}
	return u
}

// properties are the service's.
func properties() []string {
	return []string{
		// A supervisor that is killed leaves its agent recording, and the next one takes it over.
		"KillMode=process",
		// By signals only: one that ended has its reason to.
		"Restart=on-abnormal", "RestartSec=200ms", "StartLimitIntervalSec=0",
		// SIGTERM ends the recording and hands it over.
		"TimeoutStopSec=60s",
		// Of two the kernel may kill for want of memory, the other one.
		"OOMScoreAdjust=-900",
	}
}

// newerProperties are those that not every systemd knows: that a grabber that is killed for want of memory is no reason to stop.
func newerProperties() []string { return []string{"OOMPolicy=continue"} }

// arguments returns what systemd-run is called with. Of the environment it gets what says where programs are and how to speak:
// arguments are for everybody to see.
func (u *Unit) arguments(l Launch, properties []string) []string {
	args := []string{"--quiet", "--no-ask-password", "--collect", "--unit=" + u.Name, "--description=Recording of the desktop"}
	for _, p := range properties {
		args = append(args, "--property="+p)
	}
	for _, entry := range l.Env {
		name, _, _ := strings.Cut(entry, "=")
		if slices.Contains([]string{"PATH", "HOME", "LANG", "TZ"}, name) {
			args = append(args, "--setenv="+entry)
		}
	}
	args = append(args, l.Program)
	for _, a := range append(slices.Clone(l.Args), UnitFlag) {
		args = append(args, strings.ReplaceAll(a, "$", "$$")) // systemd would put variables in
	}
	return args
}

// start blocks until the service runs.
func (u *Unit) start(ctx context.Context, l Launch) error {
	ctx, cancel := context.WithTimeout(ctx, unitTimeout)
	defer cancel()
	err := u.call(ctx, u.run, u.arguments(l, append(properties(), newerProperties()...))...)
	if err == nil || ctx.Err() != nil {
		return err
	}
	if again := u.call(ctx, u.run, u.arguments(l, properties())...); again != nil {
		return errors.Join(err, again)
	}
	return nil
}

func (u *Unit) call(ctx context.Context, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.WaitDelay = "/", time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("call %s: %w: %.200s", filepath.Base(program), err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (u *Unit) leave() error { return nil }

func (u *Unit) end(dir string) {
	ctx, cancel := context.WithTimeout(context.Background(), killGrace)
	defer cancel()
	if u.call(ctx, u.control, "stop", u.Name+".service") == nil && AwaitFree(ctx, dir, SupervisorLock, AgentLock) == nil {
		return
	}
	again, cancelAgain := context.WithTimeout(context.Background(), killGrace)
	defer cancelAgain()
	_ = u.call(again, u.control, "kill", "--signal=SIGKILL", u.Name+".service") // one that is not there any more is what is wanted
	_ = AwaitFree(again, dir, SupervisorLock, AgentLock)
}
