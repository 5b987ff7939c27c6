package signer

import (
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A file holds a key that signs, or is refused; nothing is ever made in its place.
func FuzzOpenKey(f *testing.F) {
	path := filepath.Join(f.TempDir(), "key")
	if _, err := openKey(path); err != nil {
		f.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(strings.ReplaceAll(string(raw), "PRIVATE", "PUBLIC")))
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIA==\n-----END PRIVATE KEY-----\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		key, err := openKey(path)
		if err != nil {
			if !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), path) {
				t.Errorf("%v", err)
			}
		} else if !ed25519.Verify(key.Public().(ed25519.PublicKey), []byte("x"), ed25519.Sign(key, []byte("x"))) {
			t.Error("a key was taken that does not sign")
		}
		if there, err := os.ReadFile(path); err != nil || string(there) != string(raw) {
			t.Errorf("the file became %q, %v", there, err)
		}
	})
}
