package chunk_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/recfleet/recfleet/internal/chunk"
)

// A hash is read from what it is written as, in bytes and in text, and from nothing that is shorter or longer.
func FuzzHash(f *testing.F) {
	sum := chunk.Sum([]byte("x"))
	f.Add(sum[:])
	f.Add([]byte(sum.String()))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if h, err := chunk.ParseHash(raw); err == nil && !bytes.Equal(h[:], raw) {
			t.Errorf("%x is %v", raw, h)
		}
		var h chunk.Hash
		if err := h.UnmarshalText(raw); err == nil && h.String() != strings.ToLower(string(raw)) {
			t.Errorf("%q is %v", raw, h)
		}
	})
}
