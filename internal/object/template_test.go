package object

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func mustTemplate(t testing.TB, text string) Template {
	t.Helper()
	tmpl, err := ParseTemplate(text)
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

func TestExpand(t *testing.T) {
	tmpl := mustTemplate(t, "{start_date}/x-{username}.{stack}/{session_id}")
	for _, c := range []struct {
		vars map[string]string
		want string
	}{
		{map[string]string{"start_date": "2023-12-09", "username": "ann", "stack": "s", "session_id": "s1"}, "2023-12-09/x-ann.s/s1/"},
		{map[string]string{"session_id": "s1", "ignored": "x"}, "none/x-none.none/s1/"},
		{
			map[string]string{"session_id": "s1", "username": "../../etc", "start_date": "..", "stack": "none"},
			"__-x5ec1f7e700f37c3d/x-_._.._etc-x74ccf3c5b4c19a81.none-x140bedbf9c3f6d56/s1/",
		},
	} {
		got, err := tmpl.Expand(c.vars)
		if err != nil {
			t.Fatal(err)
		}
		if got != c.want {
			t.Errorf("%v: got %s, want %s", c.vars, got, c.want)
		}
	}
	for _, vars := range []map[string]string{nil, {"username": "ann"}, {"session_id": ""}} {
		if got, err := tmpl.Expand(vars); err == nil {
			t.Errorf("%v: got %s, want an error", vars, got)
		}
	}
	if got, err := (Template{}).Expand(map[string]string{"session_id": "s"}); err == nil {
		t.Errorf("zero template: got %q, want an error", got)
	}
}

// What goes in and comes out is fixed for good: a changed result would lose older recordings.
func TestSafeValueIsFixed(t *testing.T) {
	for in, want := range map[string]string{
		"":                       "none",
		"none":                   "none-x140bedbf9c3f6d56",
		"ann":                    "ann",
		"Ann.Lee-2_b":            "Ann.Lee-2_b",
		"ann@example.com":        "ann_example.com-x71d4f55f72fa128d",
		"..":                     "__-x5ec1f7e700f37c3d",
		"a.":                     "a_-x5ab640fad553cbf9",
		".a":                     "_a-x36797c3aba1ef6ae",
		"ä":                      "__-x33e6d73fee82904c",
		"a-x0123456789abcdef":    "a-x0123456789abcdef-x302c5bade340f1e2",
		strings.Repeat("a", 64):  strings.Repeat("a", 64),
		strings.Repeat("a", 65):  strings.Repeat("a", 46) + "-x635361c48bb9eab1",
		"2023-12-12 21:12:45.38": "2023-12-12_21_12_45.38-xa43d178b0b62904d",
	} {
		if got := safeValue(in); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

// No value escapes its segment, and no two values share one.
func FuzzExpand(f *testing.F) {
	tricky := []string{
		"", "none", "ann", "..", ".", "../..", "a/b", "a\\b", "a\x00", "a\n", "{session_id}", "%2e%2e", "ä", "a.", "\xff",
		"CON", "a-x0123456789abcdef", strings.Repeat("a", 64), strings.Repeat("a", 65), strings.Repeat("ä/", 900), "-", "=", "~",
	}
	for _, a := range tricky {
		for _, b := range tricky {
			f.Add(a, b)
			f.Add(a, safeValue(b))
		}
	}
	tmpl := mustTemplate(f, "{username}/{stack}-{fleet}/{session_id}")
	f.Fuzz(func(t *testing.T, a, b string) {
		prefix, err := tmpl.Expand(map[string]string{"username": a, "stack": b, "fleet": a, "session_id": "s"})
		if err != nil {
			t.Fatal(err)
		}
		key := prefix + "video-000001.mp4"
		if err := ValidKey(key); err != nil {
			t.Fatalf("%q, %q: %v", a, b, err)
		}
		if strings.Count(key, "/") != 3 || !strings.HasSuffix(prefix, "/s/") || !utf8.ValidString(key) {
			t.Fatalf("%q, %q: %s has other segments", a, b, key)
		}
		safeA, safeB := safeValue(a), safeValue(b)
		if !strings.HasPrefix(prefix, safeA+"/"+safeB+"-"+safeA+"/") || len(safeA) == 0 || len(safeA) > maxValueBytes {
			t.Fatalf("%q, %q: %s", a, b, prefix)
		}
		if a != b && safeA == safeB {
			t.Fatalf("%q and %q both become %s", a, b, safeA)
		}
	})
}

func TestValidKey(t *testing.T) {
	for _, key := range []string{
		"a", "2026-01-02/ann/s/video-000001.mp4", "appstream_applications/year=2026/month=01/day=02/s.csv", "a..b/c.", "-",
	} {
		if err := ValidKey(key); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	for _, key := range oddKeys {
		if ValidKey(key) == nil {
			t.Errorf("%q is taken for a key", key)
		}
	}
}
