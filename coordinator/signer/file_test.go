package signer

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeysAreKeptAndGuarded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "manifest.key")
	made, err := openKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := openKey(path); err != nil || !again.Equal(made) {
		t.Errorf("another key: %v", err)
	}
	if about, err := os.Stat(path); err != nil || about.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", about.Mode(), err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := openKey(path); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("%v", err)
	}
	for _, content := range []string{"", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if err := os.WriteFile(path+content[:min(1, len(content))], []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{path + "x", path + "-"} {
		if _, err := openKey(name); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
