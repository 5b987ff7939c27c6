package verify_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"testing"

	"github.com/recfleet/recfleet/cli/verify"
)

// A file of keys holds keys or is refused; each key is read again from any of its forms.
func FuzzParseKeys(f *testing.F) {
	public := ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey)
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		f.Fatal(err)
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	f.Add(append(append([]byte("of 2026\n"), block...), block...))
	f.Add([]byte("# kept\nSHA256:00\n" + hex.EncodeToString(public) + "\n"))
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		keys, err := verify.ParseKeys(raw)
		if (err == nil) != (len(keys) > 0) {
			t.Fatalf("%d keys, %v", len(keys), err)
		}
		for _, key := range keys {
			if !verify.IsFingerprint(verify.Fingerprint(key)) {
				t.Errorf("key %x has no fingerprint", key)
			}
			if again, err := verify.ParseKey([]byte(hex.EncodeToString(key))); err != nil || !again.Equal(key) {
				t.Errorf("%x became %x, %v", key, again, err)
			}
		}
	})
}
