package cli

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/recfleet/recfleet/internal/identity"
)

// config is the content of config.yaml.
type config struct {
	Current  string             `json:"current_context,omitempty"`
	Defaults defaults           `json:"defaults"`
	Contexts map[string]profile `json:"contexts,omitempty"`

	path string // where it was read from, or would have been
	read bool
}

// profile says how to reach one coordinator: by the client file that it wrote, or by the parts of one.
type profile struct {
	ClientFile    string `json:"client_file,omitempty"`
	Address       string `json:"address,omitempty"`
	CAFile        string `json:"ca_file,omitempty"`
	CACertificate string `json:"ca_certificate,omitempty"`
	TokenFile     string `json:"token_file,omitempty"`
	Token         string `json:"token,omitempty"`
	// SignIn says that recctl login is how people come by a token.
	SignIn bool `json:"sign_in,omitempty"`
	// ManifestKey is the public key that manifests must be signed with: a file's path or a fingerprint.
	ManifestKey string   `json:"manifest_key,omitempty"`
	Defaults    defaults `json:"defaults"`
}

// defaults are for flags that are not given.
type defaults struct {
	Output  string `json:"output,omitempty"`
	Time    string `json:"time,omitempty"`
	Timeout string `json:"timeout,omitempty"`
}

func (d defaults) flags() map[string]string {
	return map[string]string{"output": d.Output, "time": d.Time, "timeout": d.Timeout}
}

// over returns d with what it leaves open taken from other.
func (d defaults) over(other defaults) defaults {
	pick := func(a, b string) string {
		if a != "" {
			return a
		}
		return b
	}
	return defaults{pick(d.Output, other.Output), pick(d.Time, other.Time), pick(d.Timeout, other.Timeout)}
}

// target is what a context comes to.
type target struct {
	name     string // empty where a client file was named
	source   string // for messages
	file     string // the client file, or empty
	profile  profile
	defaults defaults
}

var contextName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func (a *app) configDir() string {
	if home := a.Getenv("HOME"); home != "" {
		return filepath.Join(home, ".config", "recfleet")
	}
	return ""
}

// loadConfig reads the config file. One that is absent is empty.
func (a *app) loadConfig() (config, error) {
	path := a.Getenv("RECFLEET_CONFIG")
	named := path != ""
	if !named {
		dir := a.configDir()
		if dir == "" {
			return config{}, nil
		}
		path = filepath.Join(dir, "config.yaml")
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) && !named {
		return config{path: path}, nil
	}
	if err != nil {
		return config{}, fmt.Errorf("read config: %w", err)
	}
	c, err := parseConfig(raw)
	if err != nil {
		return config{}, fmt.Errorf("read config %s: %w", path, err)
	}
	c.path, c.read = path, true
	for name, p := range c.Contexts {
		if p.Token != "" {
			if err := private(path); err != nil {
				return config{}, fmt.Errorf("context %s has a token in the config: %w", name, err)
			}
		}
	}
	return c, nil
}

func parseConfig(raw []byte) (config, error) {
	var c config
	if err := yaml.UnmarshalStrict(raw, &c); err != nil {
		return config{}, fmt.Errorf("not as a config must be: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Contexts)) {
		if !contextName.MatchString(name) {
			return config{}, fmt.Errorf("context %s: a name is 1 to 64 letters, digits, dots, underscores and hyphens", quote(name))
		}
	}
	if _, ok := c.Contexts[c.Current]; c.Current != "" && !ok {
		return config{}, fmt.Errorf("current_context %s is none of its contexts", quote(c.Current))
	}
	return c, nil
}

// chooseTarget finds the context that the flag, the environment or the config names.
func (a *app) chooseTarget() (target, error) {
	c, err := a.loadConfig()
	if err != nil {
		return target{}, err
	}
	name, from := a.context, "--context"
	if name == "" {
		name, from = a.Getenv("RECFLEET_CONTEXT"), "RECFLEET_CONTEXT"
	}
	if name == "" {
		name, from = c.Current, "current_context"
	}
	if name != "" {
		return a.named(c, name, from)
	}
	dir := a.configDir()
	if dir == "" {
		return target{}, errors.New("no context: give --context, or set RECFLEET_CONTEXT or HOME")
	}
	t := target{file: filepath.Join(dir, "client.json"), defaults: c.Defaults}
	t.source = "client file " + t.file
	if _, err := os.Stat(t.file); errors.Is(err, os.ErrNotExist) {
		return target{}, fmt.Errorf("no context: give --context, set RECFLEET_CONTEXT, or have %s or a current_context in config.yaml beside it", t.file)
	}
	return t, nil
}

// named returns the context of that name, or else the client file.
func (a *app) named(c config, name, from string) (target, error) {
	if p, ok := c.Contexts[name]; ok && contextName.MatchString(name) {
		t := target{name: name, source: "context " + name, profile: a.absolute(c, p), defaults: p.Defaults.over(c.Defaults)}
		t.file = t.profile.ClientFile
		return t, nil
	}
	_, err := os.Stat(name)
	if errors.Is(err, os.ErrNotExist) && strings.ContainsAny(name, `/\`) {
		return target{}, fmt.Errorf("%s: there is no client file %s", from, quote(name))
	}
	if err != nil && !strings.ContainsAny(name, `/\`) {
		known := "there are none"
		if names := slices.Sorted(maps.Keys(c.Contexts)); len(names) > 0 {
			known = "there are " + strings.Join(names, ", ")
		}
		return target{}, fmt.Errorf("%s: %s is neither a context (%s) nor a client file", from, quote(name), known)
	}
	return target{file: name, source: "client file " + name, defaults: c.Defaults}, nil
}

// absolute makes the paths of a profile independent of where recctl runs.
func (a *app) absolute(c config, p profile) profile {
	fix := func(path string) string {
		switch {
		case path == "" || filepath.IsAbs(path):
			return path
		case strings.HasPrefix(path, "~/") && a.Getenv("HOME") != "":
			return filepath.Join(a.Getenv("HOME"), path[2:])
		}
		return filepath.Join(filepath.Dir(c.path), path)
	}
	p.ClientFile, p.CAFile, p.TokenFile = fix(p.ClientFile), fix(p.CAFile), fix(p.TokenFile)
	if p.ManifestKey != "" && !isFingerprint(p.ManifestKey) {
		p.ManifestKey = fix(p.ManifestKey)
	}
	return p
}

// client returns what is needed to reach the coordinator.
func (t target) client() (identity.Client, error) {
	if t.file != "" {
		if other := t.profile; other.SignIn || other.Address+other.CAFile+other.CACertificate+other.TokenFile+other.Token != "" {
			return identity.Client{}, fmt.Errorf("%s: client_file says it all; address, ca and token are not to be there too", t.source)
		}
		if err := private(t.file); err != nil {
			return identity.Client{}, err
		}
		return identity.LoadClient(t.file)
	}
	fail := func(err error) (identity.Client, error) {
		return identity.Client{}, fmt.Errorf("%s: %w", t.source, err)
	}
	p := t.profile
	c := identity.Client{Address: p.Address, CACertificate: p.CACertificate, Token: p.Token}
	if (p.CAFile != "") == (p.CACertificate != "") {
		return fail(errors.New("either ca_file or ca_certificate is needed, or a client_file instead of all"))
	}
	if p.SignIn && p.TokenFile+p.Token != "" {
		return fail(errors.New("with sign_in there is no token_file and no token"))
	}
	if (p.TokenFile != "") == (p.Token != "") && !p.SignIn {
		return fail(errors.New("either token_file or token is needed, or sign_in"))
	}
	if p.CAFile != "" {
		raw, err := os.ReadFile(p.CAFile)
		if err != nil {
			return fail(fmt.Errorf("read ca_file: %w", err))
		}
		c.CACertificate = string(raw)
	}
	if p.TokenFile != "" {
		if err := private(p.TokenFile); err != nil {
			return fail(err)
		}
		raw, err := os.ReadFile(p.TokenFile)
		if err != nil {
			return fail(fmt.Errorf("read token_file: %w", err))
		}
		c.Token = string(bytes.TrimSpace(raw))
	}
	if p.SignIn {
		c.Token = "-" // it shows another one
	}
	if err := c.Validate(); err != nil {
		return fail(err)
	}
	if p.SignIn {
		c.Token = ""
	}
	return c, nil
}

// private refuses a file with a secret in it that others than its owner can read or write.
func private(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, errors.Unwrap(err))
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return fmt.Errorf("%s holds a token and is open to others (mode %04o): chmod 600 it", path, mode)
	}
	return nil
}
