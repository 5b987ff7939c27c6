// Package written reads the files that people write: YAML or JSON with a schema.
//
// What comes in is a file's content, its schema and a struct; what goes out is the struct, or all that is wrong, each problem with
// its line. What always holds: a field that the schema does not know is a problem, and no text of a file reaches a terminal or a log
// with control characters in it.
package written

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"sigs.k8s.io/yaml"
)

// maxFile is how large a file may be, in bytes.
const maxFile = 1 << 20

// ErrFile says that a file cannot be read.
var ErrFile = errors.New("file cannot be read")

// Read returns a file's content, one byte more than may be where it is larger.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	return raw, nil
}

// Decode reads YAML or JSON into a struct with JSON tags. The error is Errors where the content is at fault.
func Decode(raw, schema []byte, into any) error {
	if len(raw) > maxFile {
		return Errors{{Text: fmt.Sprintf("is larger than %d bytes", maxFile)}}
	}
	if line := secondDocument(raw); line > 0 {
		return Errors{{Line: line, Text: "a second document begins here; only one is read"}}
	}
	plain, err := yaml.YAMLToJSONStrict(raw)
	if err != nil {
		return syntax(raw, err)
	}
	content, err := jsonschema.UnmarshalJSON(bytes.NewReader(plain))
	if err != nil {
		return syntax(raw, err)
	}
	problems, err := checkSchema(schema, content)
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return Located(raw, problems)
	}
	fields := json.NewDecoder(bytes.NewReader(plain))
	fields.DisallowUnknownFields()
	if err := fields.Decode(into); err != nil {
		return syntax(raw, err)
	}
	return nil
}

// Located is the error of problems in a content, with their lines.
func Located(raw []byte, problems []Found) error { return located(marks(string(raw)), problems) }

// secondDocument returns the line at which one begins, 0 where there is none.
func secondDocument(raw []byte) int {
	content := false
	for n, line := range strings.Split(string(raw), "\n") {
		line = strings.TrimRight(line, " \r\t")
		switch {
		case line == "---" || strings.HasPrefix(line, "--- "):
			if content {
				return n + 1
			}
		case line != "" && line[0] != '#' && line[0] != '%':
			content = true
		}
	}
	return 0
}

// syntax takes a parser's error apart into lines.
func syntax(raw []byte, err error) error {
	last := bytes.Count(raw, []byte("\n")) + 1 // the parser may count one more
	line := regexp.MustCompile(`line (\d+): (.*)`)
	var all Errors
	for text := range strings.SplitSeq(err.Error(), "\n") {
		text = strings.TrimSpace(text)
		m := line.FindStringSubmatch(text)
		if m == nil {
			continue
		}
		n, err := strconv.Atoi(m[1])
		if err != nil {
			n = 0
		}
		all = append(all, Problem{Line: min(n, last), Text: clean(m[2])})
	}
	if len(all) == 0 {
		all = Errors{{Text: clean(err.Error())}}
	}
	return all
}

// clean makes a parser's words one line without what a terminal might obey.
func clean(text string) string {
	text = strings.ToValidUTF8(strings.Join(strings.Fields(text), " "), "?")
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, text)
	if len(text) > 400 {
		text = strings.ToValidUTF8(text[:400], "") + "..."
	}
	return text
}

// located adds lines to problems and puts them in their order.
func located(at []mark, problems []Found) error {
	all := make(Errors, 0, len(problems))
	for _, f := range problems {
		all = append(all, Problem{Line: lineOf(at, f.Path), Path: clean(pathText(f.Path)), Text: clean(f.Text)})
	}
	slices.SortStableFunc(all, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return slices.Compact(all)
}

// AsErrors returns what is wrong in a file, where that is the error.
func AsErrors(err error) (Errors, bool) {
	var all Errors
	return all, errors.As(err, &all)
}
