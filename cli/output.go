package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"
)

// format is how an answer is printed.
type format = string

const (
	asTable format = "table"
	asWide  format = "wide"
	asJSON  format = "json"
	asYAML  format = "yaml"
)

// timeStyle is how tables write times.
type timeStyle = string

const (
	timeRelative timeStyle = "relative"
	timeAbsolute timeStyle = "absolute"
	timeUTC      timeStyle = "utc"
)

// outputFlags adds the flags of a command that prints an answer.
func (a *app) outputFlags(c *cobra.Command) {
	formats, styles := []string{asTable, asWide, asJSON, asYAML}, []string{timeRelative, timeAbsolute, timeUTC}
	a.out, a.times = asTable, timeRelative
	c.Flags().VarP(oneOf{&a.out, formats}, "output", "o", "table, wide (with more columns), json or yaml")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	wordVar(c, &a.times, "time", styles, "times in tables: relative, absolute (of the local zone) or utc")
}

func (a *app) clock() clock { return clock{style: a.times, now: a.now(), zone: a.zone()} }

func (a *app) newTables() *tables {
	return &tables{clock: a.clock(), color: a.StdoutTerminal && a.Getenv("NO_COLOR") == "", wide: a.out == asWide}
}

// print writes an answer in the format that was asked for; table is called for tables.
func (a *app) print(answer any, table func(*tables)) error {
	if a.out == asTable || a.out == asWide {
		t := a.newTables()
		table(t)
		_, err := a.Stdout.Write(t.out.Bytes())
		return err
	}
	raw, err := marshal(answer, "  ")
	if err != nil {
		return err
	}
	if a.out == asYAML {
		if raw, err = yamlOf(raw); err != nil {
			return fmt.Errorf("write yaml: %w", err)
		}
	}
	_, err = a.Stdout.Write(raw)
	return err
}

// marshal writes an answer as JSON: a message by the protobuf mapping with empty fields, and always the same bytes for the
// same answer, which protojson alone does not promise. What a terminal could take for a command is escaped. Without indent
// it is one line.
func marshal(answer any, indent string) ([]byte, error) {
	var raw []byte
	var err error
	if m, ok := answer.(proto.Message); ok {
		raw, err = protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
	} else {
		raw, err = json.Marshal(answer)
	}
	var out bytes.Buffer
	if err == nil && indent == "" {
		err = json.Compact(&out, raw)
	} else if err == nil {
		err = json.Indent(&out, raw, "", indent)
	}
	if err != nil {
		return nil, fmt.Errorf("write json: %w", err)
	}
	var escaped strings.Builder
	for _, r := range out.String() {
		switch {
		case r == '\n' || strconv.IsPrint(r):
			escaped.WriteRune(r)
		default: // only inside of strings, where every character may be written so
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&escaped, `\u%04x`, unit)
			}
		}
	}
	return []byte(escaped.String() + "\n"), nil
}

// yamlOf turns JSON that marshal wrote into YAML in which nothing is but what a terminal shows. The library knows of neither
// half of a surrogate pair and takes the signs that turn writing round for letters. So each character that was escaped goes
// through it as a mark, which it can only write as an escape between double quotes, with the character's number behind it.
// Backslashes go that way, too: those that come out are the library's own.
func yamlOf(raw []byte) ([]byte, error) {
	marked := regexp.MustCompile(`\\u[dD][89abAB]..\\u....|\\u....|\\\\`).ReplaceAllStringFunc(string(raw), func(escaped string) string {
		var text string
		if err := json.Unmarshal([]byte(`"`+escaped+`"`), &text); err != nil || utf8.RuneCountInString(text) != 1 {
			return escaped
		}
		r, _ := utf8.DecodeRuneInString(text)
		return fmt.Sprintf(`\u0001%08x`, r)
	})
	out, err := yaml.JSONToYAML([]byte(marked))
	if err != nil {
		return nil, err
	}
	return regexp.MustCompile(`\\x01[0-9a-f]{8}`).ReplaceAllFunc(out, func(mark []byte) []byte {
		switch number := mark[len(`\x01`):]; {
		case string(number) == "0000005c":
			return []byte(`\\`)
		case bytes.HasPrefix(number, []byte("0000")):
			return append([]byte(`\u`), number[4:]...)
		default:
			return append([]byte(`\U`), number...)
		}
	}), nil
}

// escape makes text visible: control characters, invisible ones and those that turn the direction of writing become
// escapes, as in a Go string.
func escape(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strconv.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRuneToASCII(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}

// longestLine bounds an error in bytes.
const longestLine = 4000

// plural counts things.
func plural(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// oneLine makes an error fit for a terminal.
func oneLine(err error) string {
	s := escape(strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), "\n", "; ")), " "))
	if len(s) <= longestLine {
		return s
	}
	return strings.ToValidUTF8(s[:longestLine], "") + "..."
}

// write is for lines about what is being done; there is nothing to do where it fails.
func write(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
