package control

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"
)

// What comes through the socket is a request or an answer of one line, or an error; what follows the line counts for nothing.
func FuzzLines(f *testing.F) {
	f.Add([]byte(`{"command":"stop","reason":"r","drain":1000000000}` + "\n"))
	f.Add([]byte(`{"status":{"state":"recording","registered":true,"frames":3}}` + "\n"))
	f.Add([]byte(`{"error":"x"}` + "\n"))
	f.Add([]byte(`{"command":"status"}`))
	f.Add([]byte("null\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		line, _, whole := bytes.Cut(raw, []byte("\n"))
		q, err := readRequest(bytes.NewReader(raw))
		if err == nil && (!whole || !json.Valid(line)) {
			t.Errorf("%q is %+v", raw, q)
		}
		status, err := readAnswer(bytes.NewReader(raw))
		if err != nil {
			return
		}
		if !whole {
			t.Errorf("%q is %+v", raw, status)
		}
		again, err := json.Marshal(answer{Status: &status})
		if err != nil {
			t.Fatalf("%+v: %v", status, err)
		}
		if read, err := readAnswer(bytes.NewReader(append(again, '\n'))); err != nil || read != status {
			t.Errorf("%+v became %+v, %v", status, read, err)
		}
	})
}

// Whatever is in the file of an order, the recording ends, and for a reason that can be told.
func FuzzStopOrdered(f *testing.F) {
	f.Add([]byte("the session ended"))
	f.Add([]byte{})
	f.Add([]byte{0xff})
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, raw []byte) {
		if err := os.WriteFile(filepath.Join(dir, stopName), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if reason, ordered := StopOrdered(dir); !ordered || reason == "" || !utf8.ValidString(reason) || len(reason) > maxReason {
			t.Errorf("%q is %q, %v", raw, reason, ordered)
		}
	})
}
