package identity

import (
	"crypto/x509"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
)

// Whatever is in a file is taken as it would be written again, or refused in one line that shows nothing secret of it.
func FuzzLoadClient(f *testing.F) {
	a, err := OpenAuthority(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	good := Client{Address: "h:1", CACertificate: a.CACertificate(), Token: "rfa-x"}
	path := filepath.Join(f.TempDir(), "client.json")
	if err := good.Write(path); err != nil {
		f.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte("address: h:1\ntoken: \"a\\nb\"\nca_certificate: x"))
	f.Add([]byte("address: [1]"))
	f.Add([]byte("&a [*a]"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, raw []byte) {
		path := filepath.Join(dir, "client.json")
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := LoadClient(path)
		if err != nil {
			inOneLine(t, err)
			return
		}
		if err := c.Write(path); err != nil {
			t.Fatal(err)
		}
		if again, err := LoadClient(path); err != nil || again != c {
			t.Errorf("%+v became %+v, %v", c, again, err)
		}
	})
}

func inOneLine(t *testing.T, err error) {
	t.Helper()
	if strings.ContainsFunc(err.Error(), unicode.IsControl) {
		t.Errorf("the error has several lines: %q", err)
	}
}

// What is kept is read whole or not at all, and is never written anew where it is damaged.
func FuzzOpenTokens(f *testing.F) {
	f.Add([]byte(`{"admin":"a","agent":"b","encoder":"c"}`))
	f.Add([]byte(`{"admin":"a","agent":1}`))
	f.Add([]byte(``))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, raw []byte) {
		path := filepath.Join(dir, "tokens.json")
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := OpenTokens(dir)
		if err != nil {
			inOneLine(t, err)
		} else if got.Admin == "" || got.Agent == "" || got.Encoder == "" {
			t.Errorf("%q makes %+v", raw, got)
		}
		if there, err := os.ReadFile(path); err != nil || string(there) != string(raw) {
			t.Errorf("the file became %q, %v", there, err)
		}
	})
}

// An authority is taken from a pair that fits together, or not at all.
func FuzzOpenAuthority(f *testing.F) {
	good := f.TempDir()
	if _, err := OpenAuthority(good); err != nil {
		f.Fatal(err)
	}
	certificate, err := os.ReadFile(filepath.Join(good, "ca.pem"))
	if err != nil {
		f.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(good, "ca.key"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(certificate, key)
	f.Add(certificate, certificate)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), key)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, certificate, key []byte) {
		for name, raw := range map[string][]byte{"ca.pem": certificate, "ca.key": key} {
			if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		a, err := OpenAuthority(dir)
		if err != nil {
			inOneLine(t, err)
			return
		}
		if !a.key.PublicKey.Equal(a.certificate.PublicKey) || a.CACertificate() != string(certificate) {
			t.Error("the key is not the certificate's")
		}
	})
}

// An agent's certificate names it in the one way in which it is written.
func FuzzAgentID(f *testing.F) {
	for _, seed := range []string{"recfleet://agent/a1", "recfleet://agent/a1/", "recfleet://agent/a1?x", "recfleet://agent/A1", "recfleet://agent/%61", "recfleet:agent/a1",
		"recfleet://user@agent/a1", "recfleet://agent:1/a1", "recfleet://agent/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.Parse(text)
		if err != nil {
			return
		}
		if id, ok := AgentID(&x509.Certificate{URIs: []*url.URL{u}}); ok && text != "recfleet://agent/"+id && u.String() != "recfleet://agent/"+id {
			t.Errorf("%q is %q", text, id)
		}
	})
}
