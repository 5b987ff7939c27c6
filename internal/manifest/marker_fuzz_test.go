package manifest_test

import (
	"testing"

	"github.com/recfleet/recfleet/internal/manifest"
)

// A marker that is read is the one that was written.
func FuzzParseMarker(f *testing.F) {
	raw, err := manifest.NewMarker("a1", 10, "00").Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"format":"recfleet end marker","version":2}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := manifest.ParseMarker(raw)
		if err != nil {
			return
		}
		again, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if read, err := manifest.ParseMarker(again); err != nil || read != m {
			t.Errorf("%+v became %+v, %v", m, read, err)
		}
	})
}
