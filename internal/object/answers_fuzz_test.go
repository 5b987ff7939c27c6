package object

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// A sidecar says what was written into it, or nothing.
func FuzzParseSum(f *testing.F) {
	f.Add(formatSum(Digest{1, 2, 3}, 1<<40))
	f.Add(formatSum(Digest{}, 0)[:40])
	f.Add("00 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		if d, bytes, ok := parseSum(text); ok && (formatSum(d, bytes) != text || bytes < 0) {
			t.Errorf("%q is %v, %d", text, d, bytes)
		}
	})
}

func FuzzParseContentRange(f *testing.F) {
	for _, seed := range []string{"bytes 0-9/10", "bytes 5-5/6", "bytes 9-5/6", "bytes -1-5/6", "bytes */10", "bytes 0-9/*", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if first, size, ok := parseContentRange(text); ok && (first < 0 || first >= size) {
			t.Errorf("%q begins at %d of %d", text, first, size)
		}
	})
}

// What a service says of an object's sum is one of the right length, or none.
func FuzzSums(f *testing.F) {
	f.Add("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", "FULL_OBJECT", "SHA256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
	f.Add("abc-3", "COMPOSITE", "sha256", "zz")
	f.Add("", "", "", "")
	f.Fuzz(func(t *testing.T, value, kind, name, told string) {
		k := sums(&value, types.ChecksumType(kind), map[string]string{name: told})
		if k.composite != "" && !k.whole.IsZero() {
			t.Errorf("%q is both of the whole and of parts", value)
		}
		if best := k.best(); !best.IsZero() && best != k.whole && best != k.told {
			t.Errorf("%v comes from nowhere", best)
		}
	})
}
