package evidence

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// KeysFolder is where the statements lie that lead from one signing key to the next.
const KeysFolder = Folder + "keys/"

// SuccessionFormat is what a statement says of itself.
const SuccessionFormat = "recfleet key succession"

// PublicKey is an Ed25519 public key, in JSON as 64 hexadecimal digits.
type PublicKey [ed25519.PublicKeySize]byte

// PublicKeyOf returns the key in its form here; the zero key for one of another length.
func PublicKeyOf(key ed25519.PublicKey) (k PublicKey) {
	if len(key) == len(k) {
		copy(k[:], key)
	}
	return k
}

// Ed25519 returns the key in the form that verifies.
func (k PublicKey) Ed25519() ed25519.PublicKey { return slices.Clone(k[:]) }

// MarshalText writes the digits.
func (k PublicKey) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, k[:]), nil }

// UnmarshalText reads the digits, and no other number of them.
func (k *PublicKey) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(k)) {
		return errors.New("it is not 64 hexadecimal digits")
	}
	_, err := hex.Decode(k[:], text)
	return err
}

// Succession is the word of a signing key that another one follows on it. It needs no secret to be believed by whoever trusts the
// key before.
type Succession struct {
	Format    string    `json:"format"`
	Version   int       `json:"version"`
	Time      time.Time `json:"time"` // of the change, by the clock of whoever changed it, in whole seconds
	Previous  PublicKey `json:"previous_key"`
	Key       PublicKey `json:"key"`
	Signature string    `json:"signature"` // of the key before over the lines of statement, in hexadecimal
}

// NewSuccession has a key say which one follows on it.
func NewSuccession(previous ed25519.PrivateKey, key ed25519.PublicKey, at time.Time) Succession {
	before, _ := previous.Public().(ed25519.PublicKey)
	s := Succession{
		Format: SuccessionFormat, Version: Version, Time: at.UTC().Truncate(time.Second), Previous: PublicKeyOf(before), Key: PublicKeyOf(key),
	}
	s.Signature = hex.EncodeToString(ed25519.Sign(previous, s.statement()))
	return s
}

// statement is what is signed. It begins as no manifest and no digest does, which the same key signs.
func (s Succession) statement() []byte {
	return fmt.Appendf(nil, "%s\n%d\n%s\n%x\n%x\n", SuccessionFormat, Version, s.Time.UTC().Format(time.RFC3339Nano), s.Previous[:], s.Key[:])
}

// Object is the statement's key in the archive. There is but one for each key, so that no key has two that follow on it.
func (s Succession) Object() string {
	sum := sha256.Sum256(s.Previous[:])
	return KeysFolder + hex.EncodeToString(sum[:]) + ".json"
}

// Encode returns the statement as it is archived, in one line.
func (s Succession) Encode() ([]byte, error) {
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("write key succession: %w", err)
	}
	return append(raw, '\n'), nil
}

// ParseSuccession reads a statement. It fails for anything else, and where it is not signed by the key that it names as the one before;
// whether that one is to be believed is for the caller to say.
func ParseSuccession(raw []byte) (Succession, error) {
	var s Succession
	if err := json.Unmarshal(raw, &s); err != nil {
		return Succession{}, errors.New("parse key succession: not the JSON of one")
	}
	switch {
	case s.Format != SuccessionFormat:
		return Succession{}, fmt.Errorf("parse key succession: format %q is not %q", s.Format, SuccessionFormat)
	case s.Version != Version:
		return Succession{}, fmt.Errorf("parse key succession: version %d is not known", s.Version)
	case s.Key == s.Previous:
		return Succession{}, errors.New("parse key succession: a key cannot follow on itself")
	}
	signature, err := hex.DecodeString(s.Signature)
	if err != nil || len(signature) != ed25519.SignatureSize || !ed25519.Verify(s.Previous[:], s.statement(), signature) {
		return Succession{}, errors.New("parse key succession: it is not signed by the key before")
	}
	return s, nil
}

// Trust returns the keys, and those to which statements lead from them, oldest first. Trust goes forward only: a key says nothing for those
// before it. The statements are to come from ParseSuccession.
func Trust(keys []ed25519.PublicKey, line []Succession) []ed25519.PublicKey {
	trusted := slices.Clone(keys)
	has := func(k PublicKey) bool {
		return slices.ContainsFunc(trusted, func(one ed25519.PublicKey) bool { return one.Equal(k.Ed25519()) })
	}
	for more := true; more; {
		more = false
		for _, s := range line {
			if has(s.Previous) && !has(s.Key) {
				trusted, more = append(trusted, s.Key.Ed25519()), true
			}
		}
	}
	return trusted
}

// SignedBy returns which of the keys a signature over these bytes is of; nil where it is none's.
func SignedBy(keys []ed25519.PublicKey, raw, signature []byte) ed25519.PublicKey {
	for _, key := range keys {
		if len(key) == ed25519.PublicKeySize && len(signature) == ed25519.SignatureSize && ed25519.Verify(key, raw, signature) {
			return key
		}
	}
	return nil
}
