package enroll

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// A key that was kept whole, on this machine, is the one that is used; in the place of anything else comes a new one.
func FuzzOpenKey(f *testing.F) {
	good, err := json.Marshal(kept{Seed: make([]byte, 32), Machine: "m", Agent: "a1"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"seed":"AAAA","machine":"m"}`))
	f.Add([]byte(`{"machine":"other"}`))
	f.Add([]byte{})
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(filepath.Join(dir, keyFile), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		k, why, err := openKey(dir, "m")
		if err != nil {
			t.Fatal(err)
		}
		var from kept
		usable := json.Unmarshal(raw, &from) == nil && len(from.Seed) == 32 && from.Machine == "m"
		if usable != (why == "") || usable && !bytes.Equal(k.private.Seed(), from.Seed) || !usable && k.agent != "" {
			t.Errorf("%q: %q, agent %q", raw, why, k.agent)
		}
		if again, why, err := openKey(dir, "m"); err != nil || why != "" || !again.private.Equal(k.private) || again.agent != k.agent {
			t.Errorf("the key is another one at the next start: %q, %v", why, err)
		}
	})
}
