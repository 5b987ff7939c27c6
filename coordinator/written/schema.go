package written

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Problem is one thing that is wrong in a file.
type Problem struct {
	Line int    // from 1; 0 where it is not known
	Path string // as rules[2].encode.crf; empty for the whole file
	Text string // one line
}

func (p Problem) String() string {
	if p.Path == "" {
		return p.Text
	}
	return p.Path + ": " + p.Text
}

// Errors is all that is wrong in a file, in the order of its lines.
type Errors []Problem

func (e Errors) Error() string {
	if len(e) == 0 {
		return "no problem"
	}
	text := e[0].String()
	if e[0].Line > 0 {
		text = fmt.Sprintf("line %d: %s", e[0].Line, text)
	}
	if len(e) > 1 {
		text += fmt.Sprintf(" (and %d more)", len(e)-1)
	}
	return text
}

const schemaURL = "file.schema.json"

// Found is a problem with its path in steps, as "rules", "2", "encode", "crf".
type Found struct {
	Path []string
	Text string
}

// checkSchema returns what the schema has against a document.
func checkSchema(rules []byte, document any) ([]Found, error) {
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(rules))
	if err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource(schemaURL, schema); err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	compiled, err := compiler.Compile(schemaURL)
	if err != nil {
		return nil, fmt.Errorf("compile schema: %w", err)
	}
	var invalid *jsonschema.ValidationError
	if err := compiled.Validate(document); errors.As(err, &invalid) {
		return leaves(invalid), nil
	} else if err != nil {
		return nil, fmt.Errorf("check file against its schema: %w", err)
	}
	return nil, nil
}

// leaves returns the problems that have no causes of their own.
func leaves(e *jsonschema.ValidationError) []Found {
	if len(e.Causes) > 0 {
		var all []Found
		for _, cause := range e.Causes {
			all = append(all, leaves(cause)...)
		}
		return all
	}
	switch k := e.ErrorKind.(type) {
	case *kind.AdditionalProperties:
		var all []Found
		for _, name := range slices.Sorted(slices.Values(k.Properties)) {
			all = append(all, Found{append(slices.Clone(e.InstanceLocation), name), "is not a known field"})
		}
		return all
	case *kind.Required:
		var all []Found
		for _, name := range k.Missing {
			all = append(all, Found{e.InstanceLocation, fmt.Sprintf("needs a field %q", name)})
		}
		return all
	}
	return []Found{{e.InstanceLocation, words(e.ErrorKind)}}
}

// words says what the schema has against a value.
func words(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return fmt.Sprintf("must be %s, is %s", strings.Join(typeNames(k.Want...), " or "), typeNames(k.Got)[0])
	case *kind.Enum:
		var want []string
		for _, v := range k.Want {
			want = append(want, fmt.Sprint(v))
		}
		return fmt.Sprintf("must be one of %s, is %.80q", strings.Join(want, ", "), fmt.Sprint(k.Got))
	case *kind.Const:
		return fmt.Sprintf("must be %v", k.Want)
	case *kind.Minimum:
		return fmt.Sprintf("must be at least %s, is %s", k.Want.RatString(), k.Got.RatString())
	case *kind.Maximum:
		return fmt.Sprintf("must be at most %s, is %s", k.Want.RatString(), k.Got.RatString())
	case *kind.MinLength:
		return "must not be empty"
	case *kind.MaxLength:
		return fmt.Sprintf("must have at most %d characters, has %d", k.Want, k.Got)
	case *kind.MinItems, *kind.MinProperties:
		return "must not be empty"
	case *kind.MaxItems:
		return fmt.Sprintf("must have at most %d entries, has %d", k.Want, k.Got)
	case *kind.MaxProperties:
		return fmt.Sprintf("must have at most %d entries, has %d", k.Want, k.Got)
	case *kind.UniqueItems:
		return "holds the same entry twice"
	case *kind.Pattern:
		if strings.Contains(k.Want, "(ms|s|m|h|d|w)") {
			return fmt.Sprintf("%.80q is no duration: write it as 90s, 1h30m or 90d", k.Got)
		}
		return fmt.Sprintf("%.80q does not match %s", k.Got, k.Want)
	}
	return k.LocalizedString(message.NewPrinter(language.English))
}

func typeNames(names ...string) []string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		switch n {
		case "string":
			n = "text"
		case "boolean":
			n = "yes or no"
		case "integer":
			n = "a whole number"
		case "number":
			n = "a number"
		case "array":
			n = "a list"
		case "object":
			n = "a set of fields"
		case "null":
			n = "empty"
		}
		out = append(out, n)
	}
	return out
}

// pathText writes steps as rules[2].encode.crf.
func pathText(steps []string) string {
	var b strings.Builder
	for i, step := range steps {
		_, err := strconv.Atoi(step)
		switch {
		case err == nil && i > 0:
			fmt.Fprintf(&b, "[%s]", step)
		case strings.ContainsFunc(step, func(r rune) bool { return r < ' ' || r == '.' || r == '[' || r == 0x7f }) || len(step) > 128:
			fmt.Fprintf(&b, "[%.128q]", step)
		case i > 0:
			b.WriteString("." + step)
		default:
			b.WriteString(step)
		}
	}
	return b.String()
}
