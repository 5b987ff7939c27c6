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
	"slices"
	"strings"

	"github.com/recfleet/recfleet/internal/evidence"
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

// Keys are those of a coordinator, by its own word, and which of them are believed.
type Keys struct {
	// Present is the one that it signs with now.
	Present ed25519.PublicKey
	// Line are the statements that lead to it.
	Line []evidence.Succession
	// Pinned are fingerprints of keys that are believed, with those to which Line leads from them. Where it is empty all of Line are.
	Pinned []string
}

// Trusted are the keys that are believed.
func (k Keys) Trusted() []ed25519.PublicKey {
	all := []ed25519.PublicKey{k.Present}
	last := evidence.PublicKeyOf(k.Present)
	for _, one := range slices.Backward(k.Line) {
		if one.Key == last { // what does not lead to the present key is nobody's
			last = one.Previous
			all = append(all, last.Ed25519())
		}
	}
	if len(k.Pinned) == 0 {
		return all
	}
	pinned := slices.DeleteFunc(all, func(one ed25519.PublicKey) bool {
		return !slices.ContainsFunc(k.Pinned, func(pin string) bool { return SameFingerprint(pin, Fingerprint(one)) })
	})
	return evidence.Trust(pinned, k.Line)
}

// Signed returns what is wrong with a manifest's signature. It must be of a key that is believed.
func Signed(raw, signature []byte, keys Keys) []Problem {
	var p problems
	key, trusted := keys.Present, keys.Trusted()
	switch {
	case len(signature) == 0:
		p.add(Signature, 0, "the manifest is not signed")
	case len(key) != ed25519.PublicKeySize || len(signature) != ed25519.SignatureSize:
		p.add(Signature, 0, "the signature or its key is malformed")
	case len(trusted) == 0:
		p.add(Signature, 0, "the coordinator's key is %s and not %s, nor does a statement of that one lead to it", Fingerprint(key), strings.Join(keys.Pinned, " or "))
	case evidence.SignedBy(trusted, raw, signature) == nil && evidence.SignedBy(Keys{Present: key, Line: keys.Line}.Trusted(), raw, signature) != nil:
		p.add(Signature, 0, "the signature is of a key before %s; what that one signed is believed only with itself", strings.Join(keys.Pinned, " and "))
	case evidence.SignedBy(trusted, raw, signature) == nil:
		p.add(Signature, 0, "the signature is not the one of this manifest under key %s", Fingerprint(key))
	}
	return p
}
