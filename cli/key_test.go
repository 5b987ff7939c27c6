package cli

import (
	"crypto/ed25519"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/recfleet/recfleet/cli/verify"
)

// What is printed may be kept and demanded.
func TestTheManifestKeyIsPrinted(t *testing.T) {
	f := newSigned(t)
	exit, stdout, stderr := f.run(t, "recordings", "key")
	if key, err := verify.ParseKey([]byte(stdout)); exit != exitOK || stderr != "" || err != nil || !key.Equal(f.key) {
		t.Fatalf("exit %d, %q, %q, %v", exit, stdout, stderr, err)
	}
	pin := filepath.Join(t.TempDir(), "manifest.pub")
	if err := os.WriteFile(pin, []byte(stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	if exit, v, stderr := f.verify(t, "--public-key", pin); exit != exitOK || !v.KeyPinned || !v.Verified {
		t.Errorf("exit %d, %q, %+v", exit, stderr, v)
	}
	_, stdout, _ = f.run(t, "recordings", "key", "-o", "json")
	var got struct {
		Fingerprint string `json:"fingerprint"`
		PublicKey   []byte `json:"public_key"`
	}
	if err := json.Unmarshal([]byte(stdout), &got); err != nil || got.Fingerprint != verify.Fingerprint(f.key) || !f.key.Equal(ed25519.PublicKey(got.PublicKey)) {
		t.Errorf("%v: %s", err, stdout)
	}
	f.manifest.PublicKey = nil
	if exit, _, _ := f.run(t, "recordings", "key"); exit != exitFailed {
		t.Errorf("exit %d for no key", exit)
	}
}
