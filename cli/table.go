package cli

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/rivo/uniseg"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/internal/when"
)

type timestamp = timestamppb.Timestamp

func newTimestamp(t time.Time) *timestamp { return timestamppb.New(t) }

// clock writes times.
type clock struct {
	style timeStyle
	now   time.Time
	zone  *time.Location
}

// time writes a time in the style that was asked for; nothing where there is none.
func (c clock) time(t *timestamp) string {
	if t == nil {
		return ""
	}
	if c.style == timeRelative {
		return when.Relative(t.AsTime(), c.now)
	}
	return c.exact(t)
}

// exact writes a time to the second, for what lies close together.
func (c clock) exact(t *timestamp) string {
	if t == nil {
		return ""
	}
	if c.style == timeUTC {
		return t.AsTime().UTC().Format(time.RFC3339)
	}
	return t.AsTime().In(c.zone).Format(time.RFC3339)
}

// both writes an exact time and how long ago that is.
func (c clock) both(t *timestamp) string {
	if t == nil || c.style != timeRelative {
		return c.exact(t)
	}
	return c.exact(t) + " (" + c.time(t) + ")"
}

// tables lays out text in columns.
type tables struct {
	clock
	out   bytes.Buffer
	color bool
	wide  bool
	// widths are those of the columns so far, where rows come one after the other.
	widths []int
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

// column is one of a table of Ts.
type column[T any] struct {
	name string
	wide bool // only in wide tables
	of   func(T) cell
}

// text makes a column's function of one that returns only text.
func text[T any](f func(T) string) func(T) cell { return func(v T) cell { return cell{text: f(v)} } }

// longestName is how much of a name tables show that are not wide, in columns of the terminal.
const longestName = 40

// name makes a column's function of one that returns text of any length from anywhere.
func name[T any](t *tables, f func(T) string) func(T) cell {
	return func(v T) cell {
		if s := escape(f(v)); !t.wide {
			return cell{text: shorten(s, longestName)}
		}
		return cell{text: f(v)}
	}
}

// shorten cuts text to a width, on a terminal.
func shorten(s string, width int) string {
	if uniseg.StringWidth(s) <= width {
		return s
	}
	var b strings.Builder
	used, rest, state := 0, s, -1
	for rest != "" {
		var cluster string
		var w int
		if cluster, rest, w, state = uniseg.FirstGraphemeClusterInString(rest, state); used+w > width-1 {
			break
		}
		b.WriteString(cluster)
		used += w
	}
	return b.String() + "…"
}

// list writes a header and a row for each of vs.
func list[T any](t *tables, vs []T, columns []column[T]) {
	header, rows := grid(t, vs, columns)
	t.rows(header, rows)
}

func grid[T any](t *tables, vs []T, columns []column[T]) (header []cell, rows [][]cell) {
	for _, c := range columns {
		if !c.wide || t.wide {
			header = append(header, cell{text: c.name})
		}
	}
	for _, v := range vs {
		var row []cell
		for _, c := range columns {
			if !c.wide || t.wide {
				row = append(row, c.of(v))
			}
		}
		rows = append(rows, row)
	}
	return header, rows
}

// rows writes a header and rows below it, in columns two blanks apart.
func (t *tables) rows(header []cell, rows [][]cell) {
	t.widths = nil
	t.more(append([][]cell{header}, rows...))
}

// more writes rows below those before: columns only become wider.
func (t *tables) more(rows [][]cell) {
	for _, row := range rows {
		for i := range row {
			if row[i].text = escape(row[i].text); row[i].text == "" {
				row[i].text = "-"
			}
			if i == len(t.widths) {
				t.widths = append(t.widths, 0)
			}
			t.widths[i] = max(t.widths[i], uniseg.StringWidth(row[i].text))
		}
	}
	for _, row := range rows {
		for i, c := range row {
			text := c.text
			if t.color && c.paint != "" {
				text = "\x1b[" + c.paint + "m" + text + "\x1b[0m"
			}
			t.out.WriteString(text)
			if i < len(row)-1 {
				t.out.WriteString(strings.Repeat(" ", t.widths[i]-uniseg.StringWidth(c.text)+2))
			}
		}
		t.out.WriteByte('\n')
	}
}

// fields writes names and values, one pair a line, without those that have no value.
func (t *tables) fields(pairs [][]cell) {
	var there [][]cell
	for _, p := range pairs {
		if p[1].text != "" {
			there = append(there, p)
		}
	}
	if len(there) > 0 {
		t.rows(there[0], there[1:])
	}
}

// title writes a heading below what is there already.
func (t *tables) title(format string, args ...any) {
	fmt.Fprintf(&t.out, "\n"+format+"\n", args...)
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
