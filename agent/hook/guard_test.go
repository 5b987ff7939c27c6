package hook

import "testing"

func TestSilence(t *testing.T) {
	ticks := func(s *silence, n int) (wrong string) {
		for range n {
			wrong = s.tick()
		}
		return wrong
	}
	for name, c := range map[string]struct {
		do   func(s *silence) string
		want string
	}{
		"begins late":     {func(s *silence) string { return ticks(s, startTicks) }, ""},
		"never begins":    {func(s *silence) string { return ticks(s, startTicks+1) }, "does not begin"},
		"is quiet once":   {func(s *silence) string { s.sign(true); return ticks(s, hangTicks) }, ""},
		"hangs":           {func(s *silence) string { s.sign(true); return ticks(s, hangTicks+1) }, "gives no sign of life"},
		"hangs at once":   {func(s *silence) string { s.sign(false); return ticks(s, hangTicks+1) }, "gives no sign of life"},
		"is well again":   {func(s *silence) string { s.sign(true); ticks(s, hangTicks); s.sign(true); return ticks(s, hangTicks) }, ""},
		"works on a disk": {func(s *silence) string { return unwell(s, lockedTicks) }, ""},
		"is deadlocked":   {func(s *silence) string { return unwell(s, lockedTicks+1) }, "cannot tell its status"},
	} {
		if got := c.do(&silence{}); got != c.want {
			t.Errorf("one that %s: %q, want %q", name, got, c.want)
		}
	}
}

// unwell gives signs of life without a status for so many ticks.
func unwell(s *silence, n int) (wrong string) {
	s.sign(true)
	for range n {
		wrong = s.tick()
		s.sign(false)
	}
	return wrong
}
