package evidence_test

import (
	"bytes"
	"testing"

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
