package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/recfleet/recfleet/internal/identity"
)

// config writes a config file with contexts for the fixture's server, and takes the environment's context away.
func (f *fixture) config(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	dir := filepath.Join(f.home, ".config", "recfleet")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	client, err := identity.LoadClient(filepath.Join(f.home, "client.json"))
	if err != nil {
		t.Fatal(err)
	}
	f.file(t, filepath.Join(dir, "ca.pem"), client.CACertificate, 0o644)
	f.file(t, filepath.Join(dir, "lab.token"), "secret\n", 0o600)
	path := filepath.Join(dir, "config.yaml")
	f.file(t, path, strings.NewReplacer("ADDRESS", f.address, "HOME", f.home).Replace(text), mode)
	f.env = map[string]string{"HOME": f.home}
	return path
}

func (f *fixture) file(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

const contextsYAML = `# kept
current_context: prod  # this too is replaced
defaults:
  output: json
contexts:
  prod:
    client_file: ~/client.json
  lab: # by parts
    address: ADDRESS
    ca_file: ca.pem
    token_file: lab.token
    defaults: {output: yaml, time: utc, timeout: 5s}
  broken:
    address: nowhere
    ca_file: ca.pem
    token_file: lab.token
`

func TestContexts(t *testing.T) {
	f := newFixture(t)
	path := f.config(t, contextsYAML, 0o640)
	for _, c := range []struct {
		env  string
		args []string
		want string
	}{
		{"", nil, "{\n"},
		{"", []string{"--context", "lab"}, "- archivedBytes"},
		{"lab", nil, "- archivedBytes"},
		{"lab", []string{"--context", "prod"}, "{\n"},
		{"lab", []string{"-o", "table"}, "ID"},
		{filepath.Join(f.home, "client.json"), nil, "{\n"},
		{"", []string{"--context", filepath.Join(f.home, "client.json")}, "{\n"},
	} {
		f.env["RECFLEET_CONTEXT"] = c.env
		exit, stdout, stderr := f.run(t, append([]string{"sessions", "list"}, c.args...)...)
		if exit != exitOK || !strings.Contains(stdout, c.want) {
			t.Errorf("%q %v: exit %d, stderr %q, stdout %.80q", c.env, c.args, exit, stderr, stdout)
		}
	}
	delete(f.env, "RECFLEET_CONTEXT")
	exit, stdout, stderr := f.run(t, "context", "list")
	lines := strings.Split(stdout, "\n")
	if exit != exitOK || len(lines) != 5 || !strings.HasPrefix(lines[1], "-        broken  nowhere") || !strings.Contains(lines[1], "not HOST:PORT") ||
		!strings.HasPrefix(lines[2], "-        lab     "+f.address) || !strings.HasPrefix(lines[3], "*        prod    "+f.address) {
		t.Errorf("exit %d, %s\n%s", exit, stderr, stdout)
	}
	if exit, stdout, _ = f.run(t, "context", "use", "lab"); exit != exitOK || stdout != "lab\n" {
		t.Errorf("use: exit %d, %q", exit, stdout)
	}
	raw, _ := os.ReadFile(path)
	want := strings.NewReplacer("ADDRESS", f.address, "current_context: prod  # this too is replaced", `current_context: "lab"`).Replace(contextsYAML)
	if info, _ := os.Stat(path); string(raw) != want || info.Mode().Perm() != 0o640 {
		t.Errorf("the config is of mode %v and holds\n%s", info.Mode(), raw)
	}
	if exit, stdout, _ = f.run(t, "context", "show"); exit != exitOK || !strings.Contains(stdout, "name        lab\ncurrent     yes\naddress     "+f.address) {
		t.Errorf("show: exit %d\n%s", exit, stdout)
	}
	if exit, stdout, _ = f.run(t, "sessions", "list"); exit != exitOK || !strings.Contains(stdout, "- archivedBytes") {
		t.Errorf("the new current context is not used: exit %d, %.80q", exit, stdout)
	}
	if exit, _, stderr = f.run(t, "context", "show", "broken"); exit != exitUsage || !strings.Contains(stderr, "context broken: address") {
		t.Errorf("broken: exit %d, %s", exit, stderr)
	}
	if exit, _, stderr = f.run(t, "context", "use", "absent"); exit != exitNotFound || !strings.Contains(stderr, `NAME: "absent"`) {
		t.Errorf("absent: exit %d, %s", exit, stderr)
	}
	if _, stdout, _ = f.run(t, "__complete", "context", "use", ""); !strings.HasPrefix(stdout, "broken\nlab\nprod\n") {
		t.Errorf("completion: %q", stdout)
	}
}

func TestContextIsChosenInAConfigWithoutOne(t *testing.T) {
	f := newFixture(t)
	path := f.config(t, "contexts:\n  prod: {client_file: HOME/client.json}\n", 0o600)
	if exit, _, stderr := f.run(t, "sessions", "list"); exit != exitUsage || !strings.Contains(stderr, "current_context") {
		t.Errorf("exit %d, %s", exit, stderr)
	}
	if exit, _, stderr := f.run(t, "context", "use", "prod"); exit != exitOK {
		t.Errorf("exit %d, %s", exit, stderr)
	}
	if raw, _ := os.ReadFile(path); !strings.HasPrefix(string(raw), "current_context: \"prod\"\ncontexts:") {
		t.Errorf("%s", raw)
	}
	if exit, _, stderr := f.run(t, "sessions", "list"); exit != exitOK {
		t.Errorf("exit %d, %s", exit, stderr)
	}
}

func TestTokensAreKept(t *testing.T) {
	inline := "current_context: lab\ncontexts:\n  lab: {address: ADDRESS, ca_file: ca.pem, token: secret}\n"
	byParts := "current_context: lab\ncontexts:\n  lab: {address: ADDRESS, ca_file: ca.pem, token_file: lab.token}\n"
	byFile := "current_context: lab\ncontexts:\n  lab: {client_file: HOME/client.json}\n"
	for name, c := range map[string]struct {
		config string
		mode   os.FileMode
		open   string // a file below the home directory that others may read
		exit   int
	}{
		"token in a private config":     {inline, 0o600, "", exitOK},
		"token in a config for others":  {inline, 0o604, "", exitUsage},
		"token in a config for a group": {inline, 0o640, "", exitUsage},
		"no token in an open config":    {byParts, 0o644, "", exitOK},
		"open token file":               {byParts, 0o600, ".config/recfleet/lab.token", exitUsage},
		"client file":                   {byFile, 0o644, "", exitOK},
		"open client file":              {byFile, 0o600, "client.json", exitUsage},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.config(t, c.config, c.mode)
			if c.open != "" {
				if err := os.Chmod(filepath.Join(f.home, c.open), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			for _, args := range [][]string{{"sessions", "list"}, {"context", "list"}, {"context", "list", "-o", "json"}, {"context", "show", "-o", "yaml"}, {"context", "show"}} {
				exit, stdout, stderr := f.run(t, args...)
				listing := args[0] == "context" && args[1] == "list" && c.mode != 0o604 && c.mode != 0o640
				if exit != c.exit && !listing {
					t.Errorf("%v: exit %d, stderr %q", args, exit, stderr)
				}
				if c.exit != exitOK && !strings.Contains(stdout+stderr, "open to others") {
					t.Errorf("%v: stdout %q, stderr %q", args, stdout, stderr)
				}
				if strings.Contains(stdout+stderr, "secret") {
					t.Errorf("%v: the token is printed: %q %q", args, stdout, stderr)
				}
			}
		})
	}
}

func TestBadConfigs(t *testing.T) {
	for name, c := range map[string][2]string{
		"no yaml":          {"contexts: [", "not as a config must be"},
		"unknown field":    {"contexts:\n  a: {host: x}\n", "host"},
		"secret in a list": {"contexts:\n  a: {token: [hunter2]}\n", "not as a config must be"},
		"bad name":         {"contexts:\n  \"a b\\e\": {}\n", "a name is"},
		"unknown current":  {"current_context: b\ncontexts:\n  a: {}\n", `current_context "b"`},
		"nothing in it":    {"current_context: a\ncontexts:\n  a: {}\n", "context a: either ca_file"},
		"both":             {"current_context: a\ncontexts:\n  a: {client_file: HOME/client.json, address: ADDRESS}\n", "says it all"},
		"two tokens":       {"current_context: a\ncontexts:\n  a: {address: ADDRESS, ca_file: ca.pem, token_file: lab.token, token: x}\n", "either token_file or token"},
		"bad default":      {"current_context: a\ndefaults: {output: xml}\ncontexts:\n  a: {client_file: HOME/client.json}\n", `default output of context a: "xml" is none of`},
		"no client file":   {"current_context: a\ncontexts:\n  a: {client_file: absent.json}\n", "absent.json"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.config(t, c[0], 0o600)
			exit, stdout, stderr := f.run(t, "sessions", "list")
			if exit != exitUsage || stdout != "" || !strings.Contains(stderr, c[1]) || strings.Count(stderr, "\n") != 1 || strings.ContainsAny(stderr, "\x1b") || strings.Contains(stderr, "hunter2") {
				t.Errorf("exit %d, stderr %q", exit, stderr)
			}
		})
	}
	f := newFixture(t)
	f.config(t, "contexts:\n  a: {client_file: HOME/client.json}\n", 0o600)
	if exit, _, stderr := f.run(t, "sessions", "list", "--context", "b"); exit != exitUsage || !strings.Contains(stderr, `--context: "b" is neither a context (there are a) nor a client file`) {
		t.Errorf("exit %d, %s", exit, stderr)
	}
}
