package ffmpeg

import (
	"strings"
	"testing"
)

// A program may call itself anything, also what looks like the fields behind its name.
func FuzzParseStat(f *testing.F) {
	rest := " S 1 7 7 0 -1 4194560 100 0 0 0 30 20 0 0 20 0 1 0 100 1000000 250 18446744073709551615"
	f.Add("cat", rest)
	f.Add(") R 9 9 9 (", rest)
	f.Add("", "")
	f.Fuzz(func(t *testing.T, name, after string) {
		p, err := parseStat(5, "5 ("+name+")"+after)
		if strings.Contains(after, ")") || err != nil {
			return
		}
		if plain, err := parseStat(5, "5 (x)"+after); err != nil || plain != p {
			t.Errorf("a process named %q is %+v, and %+v under another name, %v", name, p, plain, err)
		}
	})
}
