package signer

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/recfleet/recfleet/internal/evidence"
	"github.com/recfleet/recfleet/internal/object"
)

var now = time.Date(2026, 11, 20, 12, 0, 0, 5, time.UTC)

func opened(t *testing.T, path string) *Signer {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func rotated(t *testing.T, path string) evidence.Succession {
	t.Helper()
	said, err := Rotate(path, now)
	if err != nil {
		t.Fatal(err)
	}
	return said
}

func newArchive(t *testing.T) object.Store {
	t.Helper()
	location, err := object.ParseLocation("file://" + t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	store, err := object.Open(t.Context(), location, object.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func sign(t *testing.T, s *Signer, archive Archive, content string) []byte {
	t.Helper()
	signature, err := s.Sign(t.Context(), archive, []byte(content))
	if err != nil || !ed25519.Verify(s.Public(), []byte(content), signature) {
		t.Fatal(err)
	}
	return signature
}

func TestKeysFollowOnEachOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "manifest.key")
	archive := newArchive(t)
	first := opened(t, path)
	before := sign(t, first, archive, "x")
	said := rotated(t, path)
	second := opened(t, path)
	again := rotated(t, path)
	third := opened(t, path)
	if line := third.Line(); len(line) != 2 || line[0] != said || line[1] != again || said.Key != evidence.PublicKeyOf(second.Public()) || again.Key != evidence.PublicKeyOf(third.Public()) {
		t.Errorf("%+v", line)
	}
	if about, err := os.Stat(path); err != nil || about.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", about.Mode(), err)
	}
	// The statements are in the archive before what the new key signs; who has the first key alone follows them.
	after := sign(t, third, archive, "x")
	for _, one := range third.Line() {
		if _, err := archive.Stat(t.Context(), one.Object()); err != nil {
			t.Error(err)
		}
	}
	_, foreign, _ := ed25519.GenerateKey(nil)
	for name, test := range map[string]struct {
		signer    *Signer
		signature []byte
		want      bool
	}{
		"a former one": {third, before, true}, "a later one": {opened(t, path), after, true}, "one that follows": {first, after, true},
		"nobody's": {third, ed25519.Sign(foreign, []byte("x")), false}, "nobody's, of the first": {first, ed25519.Sign(foreign, []byte("x")), false},
		"cut": {third, after[:63], false}, "none": {third, nil, false},
	} {
		if got, err := test.signer.Signed(t.Context(), archive, []byte("x"), test.signature); err != nil || got != test.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	// Trust goes forward only.
	if got := evidence.Trust([]ed25519.PublicKey{first.Public()}, third.Line()); len(got) != 3 || !got[2].Equal(third.Public()) {
		t.Errorf("from the first: %x", got)
	}
	if got := evidence.Trust([]ed25519.PublicKey{third.Public()}, third.Line()); len(got) != 1 {
		t.Errorf("from the last: %x", got)
	}
}

// An archive takes one key that follows on another, whoever is first.
func TestTwoKeysCannotFollowOnOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "manifest.key")
	archive := newArchive(t)
	opened(t, path)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "manifest.key")
	if err := os.WriteFile(other, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	rotated(t, path)
	rotated(t, other)
	sign(t, opened(t, path), archive, "x")
	if _, err := opened(t, other).Sign(t.Context(), archive, []byte("x")); !errors.Is(err, ErrKey) || !errors.Is(err, object.ErrExists) {
		t.Errorf("%v", err)
	}
}

// Wherever a change is interrupted, coordinators start, and it is gone on with.
func TestAnInterruptedChangeIsGoneOnWith(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "manifest.key")
	first := opened(t, path)
	next, err := newKey(path + nextSuffix) // dies here
	if err != nil {
		t.Fatal(err)
	}
	if s := opened(t, path); !s.Public().Equal(first.Public()) || len(s.Line()) > 0 {
		t.Error("another key")
	}
	said := evidence.NewSuccession(first.key, publicOf(next), now)
	if err := writeLine(path, []evidence.Succession{said}); err != nil { // or here
		t.Fatal(err)
	}
	if s := opened(t, path); !s.Public().Equal(first.Public()) || len(s.Line()) > 0 {
		t.Error("another key")
	}
	if got, err := Rotate(path, now.Add(time.Hour)); err != nil || got != said {
		t.Errorf("%+v, %v", got, err)
	}
	if s := opened(t, path); !s.Public().Equal(publicOf(next)) || len(s.Line()) != 1 {
		t.Error("not changed")
	}
	if _, err := os.Stat(path + nextSuffix); !os.IsNotExist(err) {
		t.Errorf("%v", err)
	}
}

func TestAKeyThatNobodySignedIsRefused(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "manifest.key")
	opened(t, path)
	rotated(t, path)
	line, err := os.ReadFile(path + lineSuffix)
	if err != nil {
		t.Fatal(err)
	}
	put := func(path string, raw []byte) {
		t.Helper()
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, bad := range map[string][]byte{
		"no line": {}, "an altered one": bytes.ReplaceAll(line, []byte("12:00:00"), []byte("12:00:01")), "a doubled one": append(line[:len(line):len(line)], line...),
	} {
		put(path+lineSuffix, bad)
		if _, err := Open(path); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v", name, err)
		}
	}
	put(path+lineSuffix, line)
	opened(t, path)
	aside := filepath.Join(dir, "aside")
	if err := os.Rename(path, aside); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, ErrKey) {
		t.Errorf("no key, but a line: %v", err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("one was made: %v", err)
	}
	if _, err := newKey(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), "no key before") {
		t.Errorf("%v", err)
	}
	if _, err := Rotate(path, now); !errors.Is(err, ErrKey) {
		t.Errorf("%v", err)
	}
	// Unless the one that was put aside says that it follows.
	if _, err := Adopt(path, filepath.Join(dir, "absent"), now); !errors.Is(err, ErrKey) {
		t.Errorf("%v", err)
	}
	if _, err := Adopt(path, aside, now); err != nil {
		t.Fatal(err)
	}
	if s := opened(t, path); len(s.Line()) != 2 {
		t.Errorf("%+v", s.Line())
	}
}

// However mangled the file of statements is, it is a line of signed ones or refused.
func FuzzParseLine(f *testing.F) {
	key := func(seed byte) ed25519.PrivateKey {
		return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	}
	var line []byte
	for n := range byte(2) {
		raw, err := evidence.NewSuccession(key(n), publicOf(key(n+1)), now).Encode()
		if err != nil {
			f.Fatal(err)
		}
		line = append(line, raw...)
	}
	f.Add(line)
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		line, err := parseLine(raw)
		if (err == nil) != (len(line) > 0) {
			t.Fatalf("%d statements, %v", len(line), err)
		}
		for n := 1; n < len(line); n++ {
			if line[n-1].Key != line[n].Previous {
				t.Errorf("%+v", line)
			}
		}
	})
}
