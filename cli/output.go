package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/rivo/uniseg"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"sigs.k8s.io/yaml"
)

// format is how an answer is printed.
type format string

const (
	asTable format = "table"
	asJSON  format = "json"
	asYAML  format = "yaml"
)

// String, Set and Type make a format a flag.
func (f *format) String() string { return string(*f) }

// Set accepts the known formats.
func (f *format) Set(s string) error {
	switch v := format(s); v {
	case asTable, asJSON, asYAML:
		*f = v
		return nil
	}
	return fmt.Errorf("it is one of table, json and yaml")
}

// Type is what the help shows.
func (f *format) Type() string { return "FORMAT" }

func (f *format) flag(c *cobra.Command) {
	*f = asTable
	c.Flags().VarP(f, "output", "o", "table, json or yaml")
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"table", "json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
}

// print writes an answer in the format that was asked for; table is called for tables.
func (a *app) print(f format, m proto.Message, table func(*tables)) error {
	var out []byte
	switch f {
	case asTable:
		t := &tables{color: a.StdoutTerminal && a.Getenv("NO_COLOR") == ""}
		table(t)
		out = t.out.Bytes()
	default:
		raw, err := marshal(m)
		if err != nil {
			return err
		}
		if out = raw; f == asYAML {
			if out, err = yaml.JSONToYAML(raw); err != nil {
				return fmt.Errorf("write yaml: %w", err)
			}
		}
	}
	_, err := a.Stdout.Write(out)
	return err
}

// marshal writes a message as indented JSON by the protobuf mapping, with empty fields, and always the same bytes for the
// same message, which protojson alone does not promise. What a terminal could take for a command is escaped.
func marshal(m proto.Message) ([]byte, error) {
	raw, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("write json: %w", err)
	}
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
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

// tables lays out text in columns.
type tables struct {
	out   bytes.Buffer
	color bool
}

// cell is a field of a table: text from anywhere, and a color.
type cell struct {
	text  string
	paint string // an SGR code, or nothing
}

const (
	green  = "32"
	yellow = "33"
	red    = "31"
)

func plain(texts ...string) []cell {
	cells := make([]cell, len(texts))
	for i, s := range texts {
		cells[i] = cell{text: s}
	}
	return cells
}

// rows writes a header and rows below it, in columns two blanks apart.
func (t *tables) rows(header []cell, rows [][]cell) {
	all := append([][]cell{header}, rows...)
	widths := make([]int, len(header))
	for _, row := range all {
		for i := range row {
			if row[i].text = escape(row[i].text); row[i].text == "" {
				row[i].text = "-"
			}
			widths[i] = max(widths[i], uniseg.StringWidth(row[i].text))
		}
	}
	for _, row := range all {
		for i, c := range row {
			text := c.text
			if t.color && c.paint != "" {
				text = "\x1b[" + c.paint + "m" + text + "\x1b[0m"
			}
			t.out.WriteString(text)
			if i < len(row)-1 {
				t.out.WriteString(strings.Repeat(" ", widths[i]-uniseg.StringWidth(c.text)+2))
			}
		}
		t.out.WriteByte('\n')
	}
}

// fields writes names and values, one pair a line.
func (t *tables) fields(pairs [][]cell) {
	if len(pairs) > 0 {
		t.rows(pairs[0], pairs[1:])
	}
}

// title writes a heading below what is there already.
func (t *tables) title(format string, args ...any) {
	fmt.Fprintf(&t.out, "\n"+format+"\n", args...)
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

// oneLine makes an error fit for a terminal.
func oneLine(err error) string { return escape(strings.Join(strings.Fields(err.Error()), " ")) }

func timeText(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().UTC().Format("2006-01-02T15:04:05Z")
}

func durationText(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}

func bytesText(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n), 0
	for value >= 999.95 && unit < 4 {
		value /= 1000
		unit++
	}
	return fmt.Sprintf("%.1f %cB", value, " kMGT"[unit])
}

// write is for lines about what is being done; there is nothing to do where it fails.
func write(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
