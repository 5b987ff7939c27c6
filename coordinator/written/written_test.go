package written_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/recfleet/recfleet/coordinator/written"
)

const schema = `{
  "type": "object", "additionalProperties": false, "required": ["name"],
  "properties": {
    "name": {"type": "string", "minLength": 1, "maxLength": 8, "pattern": "^[a-z]+$"},
    "size": {"type": "integer", "minimum": 1, "maximum": 9},
    "kind": {"enum": ["a", "b"]},
    "list": {"type": "array", "maxItems": 2, "uniqueItems": true, "items": {
      "type": "object", "additionalProperties": false, "properties": {"x": {"type": "number"}, "on_top": {"type": "boolean"}}}}
  }
}`

type document struct {
	Name string `json:"name"`
	Size int    `json:"size"`
	Kind string `json:"kind"`
	List []struct {
		X   float64 `json:"x"`
		Top bool    `json:"on_top"`
	} `json:"list"`
}

func TestYAMLAndJSONAreReadAlike(t *testing.T) {
	for _, text := range []string{
		"name: ab\nsize: 3\nlist:\n- x: 1.5\n  on_top: true\n", `{"name": "ab", "size": 3, "list": [{"x": 1.5, "on_top": true}]}`,
		"# why\n---\nname: ab\nsize: 3\nlist: [{x: 1.5, on_top: yes}]\n", "name: &n ab\nsize: 3\nlist:\n  - {on_top: true, x: 1.5}\n",
	} {
		var d document
		if err := written.Decode([]byte(text), []byte(schema), &d); err != nil || d.Name != "ab" || d.Size != 3 || len(d.List) != 1 || d.List[0].X != 1.5 || !d.List[0].Top {
			t.Errorf("%s\nis %+v, %v", text, d, err)
		}
	}
}

func TestEachProblemHasItsLineAndPath(t *testing.T) {
	for _, c := range []struct {
		text string
		want []string
	}{
		{"size: 3\n", []string{`0 needs a field "name"`}},
		{"name: ab\nsize: 30\nkind: c\n", []string{"2 size: must be at most 9, is 30", `3 kind: must be one of a, b, is "c"`}},
		{"name: ab\nlist:\n  - x: 1\n  - z: 2\n    on_top: maybe\n", []string{"4 list[1].z: is not a known field", "5 list[1].on_top: must be yes or no, is text"}},
		{"name: ab\nlist: [{x: 1}, {x: 1}]\n", []string{"2 list: holds the same entry twice"}},
		{"name: AB\n", []string{`1 name: "AB" does not match ^[a-z]+$`}},
		{"name: ''\n", []string{"1 name: must not be empty", `1 name: "" does not match ^[a-z]+$`}},
		{"name: [a]\n", []string{"1 name: must be text, is a list"}},
		{"name: ab\n\"a\\e[31m.b\": 1\n", []string{`0 ["a\x1b[31m.b"]: is not a known field`}},
		{"name: ab\n--- # next\nname: c\n", []string{"2 a second document begins here; only one is read"}},
		{"", []string{"0 must be a set of fields, is empty"}},
	} {
		got := problems(t, written.Decode([]byte(c.text), []byte(schema), new(document)))
		for i, p := range got {
			if slices.Contains(c.want, p) {
				continue
			}
			t.Errorf("%q: problem %d is %q, want one of %q", c.text, i, p, c.want)
		}
		if len(got) < len(c.want) {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
	if got := problems(t, written.Decode([]byte("name: ab\nname: c\n"), []byte(schema), new(document))); len(got) != 1 || !strings.Contains(got[0], "name") {
		t.Errorf("a field that is there twice: %q", got)
	}
	if got := problems(t, written.Decode([]byte("name: {\n"), []byte(schema), new(document))); len(got) == 0 {
		t.Error("what is no YAML has no problem")
	}
	if got := problems(t, written.Decode([]byte("name: ab\n#"+strings.Repeat("x", 1<<20)), []byte(schema), new(document))); len(got) != 1 || !strings.Contains(got[0], "larger than") {
		t.Errorf("too much: %q", got)
	}
}

func problems(t *testing.T, err error) (lines []string) {
	t.Helper()
	all, ok := written.AsErrors(err)
	if !ok {
		t.Fatalf("%v is no list of problems", err)
	}
	for _, p := range all {
		lines = append(lines, fmt.Sprintf("%d %s", p.Line, p))
	}
	if strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' }) {
		t.Errorf("%q has several lines", err)
	}
	return lines
}

// A schema that is none is the program's fault and not the file's.
func TestABrokenSchemaIsNoProblemOfTheFile(t *testing.T) {
	for _, broken := range []string{"{", `{"type": 5}`} {
		err := written.Decode([]byte("name: a"), []byte(broken), new(document))
		if _, ok := written.AsErrors(err); err == nil || ok {
			t.Errorf("%s: %v", broken, err)
		}
	}
	// What the schema lets through and the struct does not know is found all the same.
	err := written.Decode([]byte("name: a\nmore: 1"), []byte(`{}`), new(document))
	if got := problems(t, err); len(got) != 1 || !strings.Contains(got[0], "more") {
		t.Errorf("%q", got)
	}
}

func TestFilesAreReadToTheirBound(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if _, err := written.Read(path); !errors.Is(err, written.ErrFile) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := written.Read(t.TempDir()); !errors.Is(err, written.ErrFile) {
		t.Errorf("a folder: %v", err)
	}
	for size, want := range map[int]int{10: 10, 1 << 20: 1 << 20, 3 << 20: 1<<20 + 1} {
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		if raw, err := written.Read(path); err != nil || len(raw) != want {
			t.Errorf("of %d bytes %d were read, %v", size, len(raw), err)
		}
	}
}
