package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator/signer"
	"github.com/recfleet/recfleet/internal/program"
)

func TestKeysRotate(t *testing.T) {
	dir := t.TempDir()
	s := settings{dataDir: dir}
	var out bytes.Buffer
	for _, bad := range []settings{{}, s} { // there is no key yet, and none is made
		if err := bad.rotate(&out, "", time.Now()); !program.IsBadInput(err) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v", err)
		}
	}
	before, err := signer.Open(s.manifestKeyFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.rotate(&out, "", time.Now()); err != nil || !strings.Contains(out.String(), " follows on SHA256:") {
		t.Fatalf("%q, %v", out.String(), err)
	}
	after, err := signer.Open(filepath.Join(identityDir(dir), "manifest.key"))
	if err != nil || after.Public().Equal(before.Public()) || len(after.Line()) != 1 {
		t.Errorf("%v", err)
	}
	if err := s.rotate(&out, s.manifestKeyFile(), time.Now()); !program.IsBadInput(err) {
		t.Errorf("a key that follows on itself: %v", err)
	}
}
