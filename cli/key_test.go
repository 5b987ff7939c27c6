package cli

import (
	"crypto/ed25519"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recfleet/recfleet/cli/verify"
	"github.com/recfleet/recfleet/internal/evidence"
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

// After a change of the key the one before is still told, and whoever trusts it trusts the next one; not the other way round.
func TestAKeyThatWasChanged(t *testing.T) {
	f := newSigned(t)
	before, old := f.key, f.secret
	after, secret, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	said := evidence.NewSuccession(old, after, time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC))
	statement, err := said.Encode()
	if err != nil {
		t.Fatal(err)
	}
	f.manifest.PublicKey, f.manifest.Successions = after, [][]byte{statement}
	exit, stdout, stderr := f.run(t, "recordings", "key")
	keys, err := verify.ParseKeys([]byte(stdout))
	if exit != exitOK || err != nil || len(keys) != 2 || !keys[0].Equal(after) || !keys[1].Equal(before) || !strings.Contains(stdout, "until 2026-11-20T12:00:00Z") {
		t.Fatalf("exit %d, %q, %q, %v", exit, stdout, stderr, err)
	}
	both := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(both, []byte(stdout), 0o600); err != nil {
		t.Fatal(err)
	}
	raw := f.manifest.GetManifest()
	foreign := func() ed25519.PrivateKey { _, key, _ := ed25519.GenerateKey(nil); return key }()
	forged := evidence.NewSuccession(foreign, after, said.Time)
	forged.Previous = said.Previous
	unsigned, err := forged.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		key       ed25519.PrivateKey // that has signed
		pin       string
		statement []byte
		want      string // what is wrong
	}{
		"old, not pinned": {old, "", statement, ""}, "new, not pinned": {secret, "", statement, ""},
		"old, pinned old": {old, verify.Fingerprint(before), statement, ""}, "new, pinned old": {secret, verify.Fingerprint(before), statement, ""},
		"new, pinned new": {secret, verify.Fingerprint(after), statement, ""}, "old, pinned new": {old, verify.Fingerprint(after), statement, "of a key before"},
		"old, pinned both":  {old, both, statement, ""},
		"new, no statement": {secret, verify.Fingerprint(before), nil, "the coordinator's key is"}, "new, not signed by the old": {secret, verify.Fingerprint(before), unsigned, "not signed by the key before"},
		"nobody's": {foreign, "", statement, "is not the one"}, "nobody's, pinned": {foreign, verify.Fingerprint(before), statement, "is not the one"},
	} {
		f.manifest.Signature, f.manifest.Successions = ed25519.Sign(test.key, raw), nil
		if test.statement != nil {
			f.manifest.Successions = [][]byte{test.statement}
		}
		exit, v, stderr := f.verify(t, "--public-key", test.pin)
		switch {
		case test.want == "" && (exit != exitOK || v.KeyFingerprint != verify.Fingerprint(test.key.Public().(ed25519.PublicKey))):
			t.Errorf("%s: exit %d, %q, %+v", name, exit, stderr, v)
		case test.want != "" && (exit != exitFailed || !strings.Contains(stderr, test.want)):
			t.Errorf("%s: exit %d, %q", name, exit, stderr)
		}
	}
}
