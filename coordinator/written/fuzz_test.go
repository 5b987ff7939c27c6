package written_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/recfleet/recfleet/coordinator/written"
)

// Whatever people write, it is read, or what is wrong can be shown line by line.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"name: a\nlist: [{x: 1}]\n", "name: 1\n", "list:\n- x: a\n- y: 2\n", "name: a\n---\nname: b\n", "a: &a [*a]", "name: \"\\e[31m\"\nother\tx: 1",
		"{\"name\": \"a\",\n\"list\": [\n{\"x\": 1e400}]}", "- - - x: {", "name: |\n  x: y\nlist: 0", "\xff\xfe", "name: a\nname: b", "0:\n0",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var d document
		err := written.Decode(raw, []byte(schema), &d)
		if err == nil {
			if len(d.List) > 2 {
				t.Errorf("%q is %+v", raw, d)
			}
			return
		}
		var problems written.Errors
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("%q: %v", raw, err)
		}
		lines := strings.Count(string(raw), "\n") + 1
		for _, p := range problems {
			if s := p.String(); s == "" || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) || p.Line < 0 || p.Line > lines {
				t.Errorf("%q: %+v", raw, p)
			}
		}
	})
}
