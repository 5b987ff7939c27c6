package evidence_test

import (
	"bytes"
	"crypto/ed25519"
	"testing"
	"time"

	"github.com/recfleet/recfleet/internal/evidence"
)

func FuzzReadAudit(f *testing.F) {
	f.Add([]byte(`{"format":"recfleet audit","version":1,"day":"2026-11-20","first":1,"previous_hash":"0000000000000000000000000000000000000000000000000000000000000000"}` + "\n{}\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, last, err := evidence.ReadAudit(bytes.NewReader(raw), nil)
		if err == nil && last.Number < h.First-1 {
			t.Errorf("%+v, %+v", h, last)
		}
	})
}

func FuzzParseDigest(f *testing.F) {
	f.Add([]byte(`{"format":"recfleet digest","version":1,"day":"2026-11-20","closed":[{}],"audit":{"key":"x"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if d, err := evidence.ParseDigest(raw); err == nil {
			if _, err := d.Encode(); err != nil {
				t.Error(err)
			}
		}
	})
}

// A statement is signed by the key that it names as the one before, or refused.
func FuzzParseSuccession(f *testing.F) {
	key := func(seed byte) ed25519.PrivateKey {
		return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	}
	one := evidence.NewSuccession(key(1), key(2).Public().(ed25519.PublicKey), time.Unix(1e9, 0))
	raw, err := one.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(bytes.ReplaceAll(raw, []byte("2001"), []byte("2002")))
	f.Add([]byte(`{"format":"recfleet key succession","version":1,"signature":"00"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := evidence.ParseSuccession(raw)
		if err != nil {
			return
		}
		again, err := s.Encode()
		if err == nil {
			_, err = evidence.ParseSuccession(again)
		}
		if err != nil {
			t.Error(err)
		}
		if s.Previous == one.Previous && (s.Key != one.Key || !s.Time.Equal(one.Time)) {
			t.Errorf("a statement that nobody made was taken: %+v", s)
		}
	})
}
