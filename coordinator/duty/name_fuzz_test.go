package duty

import (
	"os"
	"path/filepath"
	"testing"
)

// A name is the one that was kept, or the file is told to be damaged and stays.
func FuzzOpenName(f *testing.F) {
	f.Add([]byte("abcdefghijklmnop\n"))
	f.Add([]byte("abcdefghijklmnop\nqrst"))
	f.Add([]byte{})
	path := filepath.Join(f.TempDir(), "name")
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if known, err := OpenName(path); err == nil && !name.MatchString(known) {
			t.Errorf("%q is the name %q", raw, known)
		}
		if there, err := os.ReadFile(path); err != nil || string(there) != string(raw) {
			t.Errorf("the file became %q, %v", there, err)
		}
	})
}
