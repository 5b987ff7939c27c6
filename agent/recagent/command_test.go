package main

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/recfleet/recfleet/agent/hook"
	"github.com/recfleet/recfleet/internal/identity"
	"github.com/recfleet/recfleet/internal/program"
)

// settingsFor returns what start would record with, given its arguments and environment.
func settingsFor(t *testing.T, env map[string]string, args ...string) (hook.Settings, error) {
	t.Helper()
	c := &command{getenv: func(k string) string { return env[k] }, environ: func() []string {
		var all []string
		for k, v := range env {
			all = append(all, k+"="+v)
		}
		return all
	}}
	var flags settingsFlags
	cmd := &cobra.Command{Use: "start"}
	flags.add(cmd.Flags())
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	if err := program.FromEnvironment(cmd.Flags(), c.getenv); err != nil {
		t.Fatal(err)
	}
	return c.settings(flags)
}

func TestFlagWinsOverEnvironmentOverFile(t *testing.T) {
	dir := t.TempDir()
	authority, err := identity.OpenAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	ca := strings.TrimSpace(authority.CACertificate())
	file := filepath.Join(dir, "agent.yaml")
	content := "address: file:1\ntoken: file\ndisplay: ':1'\nuser: file\nspool_dir: /file\nmeta: {a: file, b: file}\nca_certificate: |\n  " +
		strings.ReplaceAll(ca, "\n", "\n  ") + "\n"
	token := filepath.Join(dir, "token")
	for path, text := range map[string]string{file: content, token: "secret\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{
		"RECFLEET_CONFIG": file, "RECFLEET_COORDINATOR": "env:1", "RECFLEET_DISPLAY": ":2", "RECFLEET_SPOOL_DIR": "/env", "RECFLEET_META": "a=env", "RECFLEET_META_A": "env of a", "RECFLEET_META_B": "env of b", "RECFLEET_META_C": "env of c",
		"DISPLAY": ":4", "USER": "nobody", "XAUTHORITY": "/xauth",
	}
	s, err := settingsFor(t, env, "--display", ":3", "--token-file", token)
	if err != nil {
		t.Fatal(err)
	}
	s.CACertificate = strings.TrimSpace(s.CACertificate)
	want := hook.Settings{
		Client:  identity.Client{Address: "env:1", CACertificate: ca, Token: "secret"},
		Display: ":3", User: "file", SpoolDir: "/env", Metadata: map[string]string{"a": "env", "b": "env of b", "c": "env of c"},
	}
	if !reflect.DeepEqual(s, want) {
		t.Errorf("settings\n%+v, want\n%+v", s, want)
	}
	// What start hands to run comes through unchanged.
	handed := filepath.Join(dir, "run.json")
	if err := s.Save(handed); err != nil {
		t.Fatal(err)
	}
	again, err := settingsFor(t, nil, "--config", handed)
	if err != nil || !reflect.DeepEqual(again, want) {
		t.Errorf("settings\n%+v, want\n%+v (%v)", again, want, err)
	}
}

func TestDisplayComesFromTheEnvironment(t *testing.T) {
	c := &command{getenv: func(k string) string { return map[string]string{"DISPLAY": ":7"}[k] }}
	if w := c.wanted(hook.Settings{}); w.Display != ":7" {
		t.Errorf("wanted %+v", w)
	}
	if w := c.wanted(hook.Settings{Display: ":8"}); w.Display != ":8" {
		t.Errorf("wanted %+v", w)
	}
}

func TestHelpGoesToStdout(t *testing.T) {
	for _, args := range [][]string{nil, {"--help"}, {"start", "--help"}, {"--version"}} {
		var out, errs bytes.Buffer
		c := command{args: args, stdout: &out, stderr: &errs, getenv: func(string) string { return "" }, version: "1"}
		if code := c.execute(); code != 0 || out.Len() == 0 || errs.Len() != 0 {
			t.Errorf("%v: exit %d, %q, %q", args, code, out.String(), errs.String())
		}
		if strings.Contains(out.String(), "ready-fd") {
			t.Errorf("%v shows what is not for people", args)
		}
	}
}
