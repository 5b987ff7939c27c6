package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/spf13/pflag"

	"github.com/recfleet/recfleet/cli/verify"
)

// A config is refused in a text that can be shown, or names contexts that can be used.
func FuzzParseConfig(f *testing.F) {
	f.Add([]byte("current_context: a\ncontexts:\n  a: {client_file: c.json}\n  b: {address: 'h:1', ca_certificate: x, sign_in: true}\n"), "b")
	f.Add([]byte("\"current_context\": a # why\ncontexts: {a: {}}\n"), "a")
	f.Add([]byte("contexts: {a: {}}\ncurrent_context:\n  a\n"), "a")
	f.Add([]byte("---\ncontexts: {a: {}}\n...\n---\n"), "a")
	f.Add([]byte("contexts: {'..': {}}"), "..")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, raw []byte, name string) {
		before, err := parseConfig(raw)
		if err != nil {
			return
		}
		for context := range before.Contexts {
			if !contextName.MatchString(context) {
				t.Errorf("%q names a context %q", raw, context)
			}
		}
		if _, ok := before.Contexts[name]; !ok {
			return
		}
		path := filepath.Join(dir, "config.yaml")
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		changeErr := setCurrent(path, name)
		changed, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		after, err := parseConfig(changed)
		switch {
		case changeErr != nil && string(changed) != string(raw):
			t.Errorf("%q became %q, and %v", raw, changed, changeErr)
		case err != nil || changeErr == nil && after.Current != name || len(after.Contexts) != len(before.Contexts):
			t.Errorf("%q became %q, %v", raw, changed, err)
		}
	})
}

// A sign-in that was kept is read back, or told to be damaged.
func FuzzReadSignedIn(f *testing.F) {
	f.Add([]byte(`{"issuer":"https://i","client_id":"c","id_token":"a.b.c","refresh_token":"r"}`))
	f.Add([]byte(`{"id_token":1}`))
	f.Add([]byte{})
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, raw []byte) {
		path := filepath.Join(dir, "sign-in.json")
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := readSignedIn(path)
		if err != nil {
			if strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("%q", err)
			}
			return
		}
		if err := s.write(); err != nil {
			t.Fatal(err)
		}
		if again, err := readSignedIn(path); err != nil || again.IDToken != s.IDToken || again.Issuer != s.Issuer {
			t.Errorf("%+v became %+v, %v", s, again, err)
		}
	})
}

// What is typed behind a flag sets it within its bounds, or is refused in words that can be shown.
func FuzzFlags(f *testing.F) {
	for _, seed := range []string{"90d", "0d", "65536d", "12h", "-1h", "1e3", "7", "-1", "2147483648", "SHA256:00", "2026-11-20", "a\x1b[31m\n", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		flags := pflag.NewFlagSet("x", pflag.ContinueOnError)
		var life time.Duration
		var limit int
		var text string
		flags.Var(lifeFlag{&life}, "expires", "")
		limitVar(flags, &limit, 20)
		textVar(flags, &text, "reason", maxReason, "")
		if err := flags.Set("expires", s); err == nil && life <= 0 {
			t.Errorf("expires after %v", life)
		} else if err != nil {
			shown(t, flagError(nil, err))
		}
		if err := flags.Set("limit", s); err == nil && limit < 0 {
			t.Errorf("at most %d", limit)
		} else if err != nil {
			shown(t, flagError(nil, err))
		}
		if err := flags.Set("reason", s); err == nil && (text != s || strings.ContainsFunc(text, unicode.IsControl)) {
			t.Errorf("reason %q", text)
		} else if err != nil {
			shown(t, flagError(nil, err))
		}
		for _, check := range []func(string) error{checkSession, checkJob, checkEncoder, checkToken} {
			if err := check(s); err != nil {
				shown(t, err)
			} else if strings.ContainsAny(s, "/\\ \n*>") {
				t.Errorf("%q names something", s)
			}
		}
	})
}

func shown(t *testing.T, err error) {
	t.Helper()
	if strings.ContainsFunc(err.Error(), unicode.IsControl) || len(err.Error()) > 1000 {
		t.Errorf("cannot be shown: %q", err)
	}
}

// No cell of a table or file is a formula or a command, whatever it is made of.
func FuzzInert(f *testing.F) {
	for _, seed := range []string{"=1+1", " =x", "-5", "-5+1", "\x1b[31m", "@SUM(A1)", "\u202e", "", "\t=x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		out := inert(s)
		if strings.ContainsFunc(out, unicode.IsControl) || strings.HasPrefix(strings.TrimLeft(out, " "), "=") {
			t.Errorf("%q is %q", s, out)
		}
	})
}

// A file of keys is read whole or refused; each key is found again by its fingerprint and as it is written.
func FuzzCustodyFlags(f *testing.F) {
	f.Add("2026-11-20", "2026-11-20="+strings.Repeat("0", 64))
	f.Add("none", "2026-11-20="+strings.Repeat("z", 64))
	f.Add("", "=")
	keys := filepath.Join(f.TempDir(), "keys")
	if err := os.WriteFile(keys, []byte(strings.Repeat("0", 64)), 0o600); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, until, pin string) {
		cfg, _, err := custodyConfig("file:///a", keys, until, []string{pin}, time.Unix(1e9, 0))
		if err != nil {
			shown(t, err)
			return
		}
		for day, sum := range cfg.Pinned {
			if !strings.EqualFold(pin, string(day)+"="+sum) || len(sum) != 64 || strings.Trim(sum, "0123456789abcdef") != "" {
				t.Errorf("%q pins %q to %q", pin, day, sum)
			}
		}
		if until != "" && until != "none" && string(cfg.Until) != until {
			t.Errorf("%q is until %q", until, cfg.Until)
		}
	})
}

// A key that is demanded is named by its fingerprint or by a file that holds it.
func FuzzPinned(f *testing.F) {
	f.Add("SHA256:" + strings.Repeat("aB", 32))
	f.Add("sha256:0")
	f.Add("/nothing\nhere")
	f.Fuzz(func(t *testing.T, pin string) {
		want, err := pinned(pin)
		if err != nil {
			shown(t, err)
		}
		for _, one := range want {
			if !verify.IsFingerprint(one) {
				t.Errorf("%q demands %q", pin, one)
			}
		}
	})
}
