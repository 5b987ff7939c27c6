package main

import "testing"

// A number of jobs is read as it is written.
func FuzzSlots(f *testing.F) {
	for _, seed := range []string{"auto", "1", "65535", "0", "-1", "65536", "+1", "01", "Auto"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var s, again slots
		if s.Set(text) != nil {
			return
		}
		if err := again.Set(s.String()); err != nil || again != s {
			t.Errorf("%q is %d, written %q", text, s, s.String())
		}
	})
}
