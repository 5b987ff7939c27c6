package custody_test

import (
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"

	"github.com/recfleet/recfleet/cli/custody"
)

// One session is verified without what others have in the archive, and with what the digests say of it.
func TestASessionIsVerifiedByItself(t *testing.T) {
	b := newBucket(t)
	for n, test := range []struct {
		name, session, hidden, other string // which object is gone, and over which something else lies
		kind                         custody.Kind
		about                        string
	}{
		{name: "whole", session: "s1"},
		{name: "whole beside an altered one", session: "s1", other: "f/s2/video-000001.mp4"},
		{name: "deleted in order", session: "s3"},
		{name: "an mp4 is gone", session: "s1", hidden: "f/s1/video-000002.mp4", kind: custody.Removed, about: "video-000002.mp4 is not in"},
		{name: "another manifest", session: "s2", other: "f/s2/manifest.json", kind: custody.Altered, about: "manifest.json has SHA-256"},
		{name: "a manifest is gone", session: "s2", hidden: "f/s2/manifest.json", kind: custody.Removed, about: "manifest.json is not in"},
		{name: "something is added", session: "s2", other: "f/s2/more.mp4", kind: custody.Added, about: "is in no manifest"},
		{name: "deleted and there again", session: "s3", other: "f/s3/video-000001.mp4", kind: custody.Added, about: "deleted by ann"},
		{name: "never there", session: "s4", kind: custody.Removed, about: "no manifest of the session"},
		{name: "a digest is gone", session: "s1", hidden: "evidence/2026/01/01/digest.json", kind: custody.Removed, about: "digests before"},
	} {
		t.Run(test.name, func(t *testing.T) {
			prefix := fmt.Sprintf("one-%d", n)
			a := newArchive(t, b.open(t, prefix, false), 3000)
			if test.hidden != "" {
				b.hide(t, prefix+"/"+test.hidden)
			}
			if test.other != "" {
				b.overwrite(t, prefix+"/"+test.other, []byte("forged"))
			}
			r, err := custody.VerifySession(t.Context(), b.open(t, prefix, true), test.session, custody.Config{Keys: []ed25519.PublicKey{a.public()}})
			switch {
			case err != nil:
				t.Fatal(err)
			case test.kind == "" && (!r.Verified || r.Sessions+r.Deleted != 1 || r.Days != 2):
				t.Errorf("%+v", r)
			case test.kind != "" && (r.Verified || r.Problems[0].Kind != test.kind || !strings.Contains(r.Problems[0].Error(), test.about)):
				t.Errorf("want %s about %q, found %+v", test.kind, test.about, r.Problems)
			}
		})
	}
}

// A session that was closed after the last digest is verified all the same, with a note; a folder that nobody signed is none.
func TestASessionOfTodayIsVerifiedByItself(t *testing.T) {
	b := newBucket(t)
	store := b.open(t, "today", false)
	a := newArchive(t, store, 3000)
	a.session("s5", 1000)
	cfg := custody.Config{Keys: []ed25519.PublicKey{a.public()}}
	if r, err := custody.VerifySession(t.Context(), store, "s5", cfg); err != nil || !r.Verified || r.Sessions != 1 || len(r.Notes) == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	first := b.open(t, "first-day", false)
	alone := &archive{t: t, store: first, key: a.key, content: map[string][]byte{}}
	alone.session("s1", 1000)
	if r, err := custody.VerifySession(t.Context(), first, "s1", cfg); err != nil || !r.Verified || r.Sessions != 1 || len(r.Notes) != 2 {
		t.Errorf("on the first day: %+v, %v", r, err)
	}
	a.key = newKey(t)
	a.session("s6", 1000)
	if r, err := custody.VerifySession(t.Context(), store, "s6", cfg); err != nil || r.Verified || r.Problems[0].Kind != custody.Added {
		t.Errorf("%+v, %v", r, err)
	}
}
