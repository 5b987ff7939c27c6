package verify

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"regexp"
	"strings"
)

const fingerprintPrefix = "SHA256:"

var fingerprint = regexp.MustCompile(`^(?i:sha256:)[0-9a-fA-F]{64}$`)

// Fingerprint names a public key: the SHA-256 of its 32 bytes, as "SHA256:" and 64 hexadecimal digits.
func Fingerprint(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return fingerprintPrefix + hex.EncodeToString(sum[:])
}

// IsFingerprint reports whether a text has a fingerprint's form.
func IsFingerprint(s string) bool { return fingerprint.MatchString(s) }

// SameFingerprint compares fingerprints, of which either may be in upper case.
func SameFingerprint(a, b string) bool { return IsFingerprint(a) && strings.EqualFold(a, b) }

// ParseKey reads an Ed25519 public key: PEM, or its 32 bytes in hexadecimal or base64.
func ParseKey(raw []byte) (ed25519.PublicKey, error) {
	if block, _ := pem.Decode(raw); block != nil {
		if block.Type != "PUBLIC KEY" {
			return nil, errors.New("it holds no public key")
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, errors.New("its public key is malformed")
		}
		if key, ok := key.(ed25519.PublicKey); ok {
			return key, nil
		}
		return nil, errors.New("its public key is not an Ed25519 key")
	}
	text := string(bytes.TrimSpace(raw))
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawStdEncoding.DecodeString} {
		if key, err := decode(text); err == nil && len(key) == ed25519.PublicKeySize {
			return key, nil
		}
	}
	return nil, errors.New("it holds no Ed25519 public key in PEM, hexadecimal or base64")
}

// ParseKeys reads a file of Ed25519 public keys: PEM blocks one after the other, with any lines between them, or one key a line in
// hexadecimal or base64, where empty lines and those that begin with # or SHA256: are passed over.
func ParseKeys(raw []byte) (keys []ed25519.PublicKey, err error) {
	if block, _ := pem.Decode(raw); block != nil {
		for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
			key, err := ParseKey(pem.EncodeToMemory(block))
			if err != nil {
				return nil, err
			}
			keys = append(keys, key)
		}
		return keys, nil
	}
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || strings.HasPrefix(line, fingerprintPrefix) {
			continue
		}
		key, err := ParseKey([]byte(line))
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("it holds no public key")
	}
	return keys, nil
}

// Signed returns what is wrong with a manifest's signature, given the key that the coordinator signs with now. With want, a
// fingerprint, that key must be the one it names.
func Signed(raw, signature []byte, key ed25519.PublicKey, want string) []Problem {
	var p problems
	switch {
	case len(signature) == 0:
		p.add(Signature, 0, "the manifest is not signed")
	case len(key) != ed25519.PublicKeySize || len(signature) != ed25519.SignatureSize:
		p.add(Signature, 0, "the signature or its key is malformed")
	case want != "" && !SameFingerprint(want, Fingerprint(key)):
		p.add(Signature, 0, "the coordinator's key is %s and not %s", Fingerprint(key), want)
	case !ed25519.Verify(key, raw, signature):
		p.add(Signature, 0, "the signature is not the one of this manifest under key %s", Fingerprint(key))
	}
	return p
}
