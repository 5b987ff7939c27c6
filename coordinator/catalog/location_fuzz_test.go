package catalog

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"unicode"
)

// A catalog's location is read, or refused in a text without its password; what is shown of one never has it either.
func FuzzParseLocation(f *testing.F) {
	for _, seed := range []string{
		"sqlite:/a/b.db", "a.db", "postgres://u:hunter2@h:5432/d?sslmode=require&sslpassword=hunter2", "postgres://h/?password=hunter2", "postgres:hunter2", "mysql://x",
		"postgres://u:hunter2@h:x/", "sqlite:", "//x", "postgresql://%zz", "postgres://h/?password=hunter2;&x=%zz",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		l, err := ParseLocation(s)
		if err != nil {
			if strings.Contains(err.Error(), "hunter2") || strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("%q", err)
			}
			return
		}
		if (l.postgres == "") == (l.path == "") {
			t.Errorf("%q is %+v", s, l)
		}
		u, err := url.Parse(l.String())
		if l.postgres == "" || err != nil {
			return
		}
		if _, ok := u.User.Password(); ok || u.Query().Has("password") || u.Query().Has("sslpassword") {
			t.Errorf("%q is shown as %q", s, l)
		}
	})
}

// A token of recordings is one that was made for this session, byte for byte.
func FuzzRecordingToken(f *testing.F) {
	for _, seed := range []string{"a1.1", "a1.01", "a1.+1", "a1.-1", "a1. 1", "a1.1x", "a2.1", "a1.99999999999999999999", "%d.1"} {
		f.Add(base64.RawURLEncoding.EncodeToString([]byte(seed)), "a1")
	}
	f.Add("!", "a1")
	f.Fuzz(func(t *testing.T, token, session string) {
		after, err := parseRecordingToken(session, token)
		if err != nil {
			return
		}
		if made := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%s.%d", session, after)); after < 1 || made != token {
			t.Errorf("%q is after %d, which is %q", token, after, made)
		}
	})
}
