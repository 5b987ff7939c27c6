// Package when reads the times that people type and writes those that they read.
//
// Text comes in, with the present time and a zone; an instant goes out, or one line that says what was expected. What always
// holds: an instant lies in the years 1990 to 2199; what names no zone is in the one given.
package when

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Examples are forms that Parse takes, for a message or a help text.
const Examples = "2026-09-03T12:12:00Z, 2026-09-03 12:12, 2026-09-03, 12:12, 2h, 3d, yesterday"

// ErrUnknown means that a text is no time.
var ErrUnknown = errors.New("is no time; times look like " + Examples)

// The years that can be meant.
const firstYear, lastYear = 1990, 2199

// maxText bounds what is looked at.
const maxText = 64

// Parse returns the instant that text means: an absolute time, a time of today, a stretch before now, or a word. Upper and
// lower case are alike. The error is ErrUnknown, or says which years may be meant.
func Parse(text string, now time.Time, zone *time.Location) (time.Time, error) {
	if len(text) > maxText {
		return time.Time{}, ErrUnknown
	}
	clean := strings.Join(strings.Fields(strings.ToLower(text)), " ")
	for _, read := range []func(string, time.Time, *time.Location) (time.Time, bool){word, ago, absolute} {
		if t, ok := read(clean, now, zone); ok {
			if year := t.UTC().Year(); year < firstYear || year > lastYear {
				return time.Time{}, fmt.Errorf("is not in the years %d to %d", firstYear, lastYear)
			}
			return t, nil
		}
	}
	return time.Time{}, ErrUnknown
}

// word reads now, today and yesterday; the latter two mean their midnight unless a time of day follows.
func word(s string, now time.Time, zone *time.Location) (time.Time, bool) {
	if s == "now" {
		return now, true
	}
	day, clock, _ := strings.Cut(s, " ")
	at, offset := now.In(zone), 0
	switch {
	case day == "today":
	case day == "yesterday":
		offset = -1
	case strings.Contains(day, ":") && clock == "":
		clock = day
	default:
		return time.Time{}, false
	}
	hour, minute, second, ok := clockOf(clock)
	return time.Date(at.Year(), at.Month(), at.Day()+offset, hour, minute, second, 0, zone), ok
}

func clockOf(s string) (hour, minute, second int, ok bool) {
	if s == "" {
		return 0, 0, 0, true
	}
	for _, layout := range []string{"15:04", "15:04:05"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.Hour(), t.Minute(), t.Second(), true
		}
	}
	return 0, 0, 0, false
}

// pieces are the parts of a stretch, as in 1h30m.
func pieces(s string) [][]string {
	return regexp.MustCompile(`(\d{1,9})([smhdw])`).FindAllStringSubmatch(s, -1)
}

// ago reads stretches before now, as 90s, 2h, 3d or 1h30m. A day has 24 hours here.
func ago(s string, now time.Time, _ *time.Location) (time.Time, bool) {
	s = strings.ReplaceAll(strings.TrimSuffix(s, " ago"), " ", "")
	var sum time.Duration
	var length int
	for _, p := range pieces(s) {
		n, err := strconv.Atoi(p[1])
		unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}[p[2]]
		if err != nil || n > int((1<<62)/unit) {
			return time.Time{}, false
		}
		if sum += time.Duration(n) * unit; sum < 0 {
			return time.Time{}, false
		}
		length += len(p[0])
	}
	if length == 0 || length != len(s) {
		return time.Time{}, false
	}
	return now.Add(-sum), true
}

// absolute reads dates, with a time of day or without and with a zone or without.
func absolute(s string, _ time.Time, zone *time.Location) (time.Time, bool) {
	s = strings.ToUpper(s)
	if len(s) > 10 && s[10] == 'T' {
		s = s[:10] + " " + s[11:]
	}
	s = strings.TrimSuffix(s, " UTC") + map[bool]string{true: "Z"}[strings.HasSuffix(s, " UTC")]
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02 15:04:05"} { // the latter takes fractions too
		for _, suffix := range []string{"Z07:00", " Z07:00", " Z0700", "Z0700"} {
			if t, err := time.Parse(layout+suffix, s); err == nil {
				return t, true
			}
		}
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return t, true
		}
	}
	t, err := time.ParseInLocation("2006-01-02", s, zone)
	return t, err == nil
}

// Relative says how long ago t is, or how soon it comes, in one or two units: "3m ago", "in 2h".
func Relative(t, now time.Time) string {
	d := now.Sub(t)
	if d < 0 {
		if d = -d; d < time.Second {
			return "now"
		}
		return "in " + coarse(d)
	}
	if d < time.Second {
		return "now"
	}
	return coarse(d) + " ago"
}

// coarse rounds down: what is shown has passed.
func coarse(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 10*time.Hour && d%time.Hour >= time.Minute:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d < 2*day:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d < 1000*day:
		return fmt.Sprintf("%dd", d/day)
	}
	return fmt.Sprintf("%dy", d/(365*day))
}
