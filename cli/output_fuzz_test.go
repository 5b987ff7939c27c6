package cli

import (
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"sigs.k8s.io/yaml"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// Whatever a name is, YAML shows it, a terminal obeys nothing of it, and it is read back as it was.
func FuzzYAML(f *testing.F) {
	for _, seed := range []string{"ann", "a\u202eb", "\U000e0041", `\x0100000041`, `a\`, "\x01", "no", "- a: b", "é\u0085\u2028", "a b\tc\\ \\\n d", "\ufffe\uffff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		s := &recfleetv1.Session{User: name}
		raw, err := marshal(s, "  ")
		if err != nil {
			return // no UTF-8
		}
		out, err := yamlOf(raw)
		if err != nil {
			t.Fatalf("%q: %v", name, err)
		}
		if shown := escape(string(out)); len(shown) != len(out)+countLines(out) {
			t.Errorf("%q is shown as %q", name, out)
		}
		back, err := yaml.YAMLToJSON(out)
		var got recfleetv1.Session
		if err == nil {
			err = protojson.Unmarshal(back, &got)
		}
		if err != nil || got.GetUser() != name {
			t.Errorf("%q is read back as %q, %v, from %q", name, got.GetUser(), err, out)
		}
	})
}

// countLines is by how much escape makes text longer whose only control characters are ends of lines.
func countLines(b []byte) (n int) {
	for _, c := range b {
		if c == '\n' {
			n++
		}
	}
	return n
}
