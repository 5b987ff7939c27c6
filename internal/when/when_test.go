package when_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/recfleet/recfleet/internal/when"
)

// berlin has summer time: +02:00 in September, and no 02:30 on 2026-03-29.
func berlin(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip("no time zones here")
	}
	return zone
}

func TestParse(t *testing.T) {
	zone := berlin(t)
	now := time.Date(2026, 9, 4, 0, 30, 15, 0, zone) // still the 3rd in UTC
	for text, want := range map[string]string{
		"2026-09-03T12:12:00Z":           "2026-09-03T12:12:00Z",
		"2026-09-03t12:12:00z":           "2026-09-03T12:12:00Z",
		"2026-09-03T12:12:00.25+05:30":   "2026-09-03T06:42:00.25Z",
		"2026-09-03 12:12 -0700":         "2026-09-03T19:12:00Z",
		"2026-09-03 12:12":               "2026-09-03T10:12:00Z",
		"2026-09-03T12:12":               "2026-09-03T10:12:00Z",
		"  2026-09-03   12:12:30.5 ":     "2026-09-03T10:12:30.5Z",
		"2026-09-03 12:12 UTC":           "2026-09-03T12:12:00Z",
		"2026-09-03 12:12:01Z":           "2026-09-03T12:12:01Z",
		"2026-01-03":                     "2026-01-02T23:00:00Z", // winter
		"12:12":                          "2026-09-04T10:12:00Z",
		"today":                          "2026-09-03T22:00:00Z",
		"Today 09:00":                    "2026-09-04T07:00:00Z",
		"yesterday":                      "2026-09-02T22:00:00Z",
		"yesterday 23:59:59":             "2026-09-03T21:59:59Z",
		"now":                            "2026-09-03T22:30:15Z",
		"2h":                             "2026-09-03T20:30:15Z",
		"2h ago":                         "2026-09-03T20:30:15Z",
		"3d":                             "2026-08-31T22:30:15Z",
		"1w":                             "2026-08-27T22:30:15Z",
		"1h30m":                          "2026-09-03T21:00:15Z",
		"1h 30m ago":                     "2026-09-03T21:00:15Z",
		"0s":                             "2026-09-03T22:30:15Z",
		"2026-03-29 02:30":               "2026-03-29T00:30:00Z", // does not exist on that day's clocks
		"2026-09-03T12:12:00.123456789Z": "2026-09-03T12:12:00.123456789Z",
	} {
		got, err := when.Parse(text, now, zone)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if text == "2026-03-29 02:30" { // either side of the jump will do
			if d := got.Sub(time.Date(2026, 3, 29, 1, 0, 0, 0, time.UTC)); d < -time.Hour || d > time.Hour {
				t.Errorf("%q: %v", text, got.UTC())
			}
			continue
		}
		if s := got.UTC().Format(time.RFC3339Nano); s != want {
			t.Errorf("%q: %s, want %s", text, s, want)
		}
	}
}

func TestYesterdayIsACalendarDay(t *testing.T) {
	zone := berlin(t)
	now := time.Date(2026, 3, 30, 0, 30, 0, 0, zone) // the day before had 23 hours
	got, err := when.Parse("yesterday", now, zone)
	if want := time.Date(2026, 3, 29, 0, 0, 0, 0, zone); err != nil || !got.Equal(want) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestParseRefuses(t *testing.T) {
	now := time.Date(2026, 9, 3, 12, 0, 0, 0, time.UTC)
	for _, text := range []string{
		"", " ", "x", "2", "h", "-2h", "2h x", "2y", "1h30", "2026-13-01", "2026-02-30", "2026-09-03 25:00", "2026/09/03", "03.09.2026", "tomorrow",
		"yesterday noon", "24:00", "999999999w999999999w", "2026-09-03 12:12 +25:00x", "\x00", "２h", strings.Repeat("1h", 40_000),
	} {
		if got, err := when.Parse(text, now, time.UTC); !errors.Is(err, when.ErrUnknown) {
			t.Errorf("%.40q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"1989-12-31", "2200-01-01T00:00:00Z", "0001-01-01", "2000w"} {
		if got, err := when.Parse(text, now, time.UTC); err == nil || !strings.Contains(err.Error(), "years 1990 to 2199") {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestRelative(t *testing.T) {
	now := time.Date(2026, 9, 3, 12, 0, 0, 0, time.UTC)
	for ago, want := range map[time.Duration]string{
		0: "now", 999 * time.Millisecond: "now", -time.Millisecond: "now", 59 * time.Second: "59s ago", 60 * time.Second: "1m ago",
		3*time.Minute + 59*time.Second: "3m ago", time.Hour: "1h ago", 90 * time.Minute: "1h30m ago", 10*time.Hour + 30*time.Minute: "10h ago",
		47 * time.Hour: "47h ago", 48 * time.Hour: "2d ago", 400 * 24 * time.Hour: "400d ago", 1100 * 24 * time.Hour: "3y ago",
		-2 * time.Hour: "in 2h", -90 * time.Second: "in 1m",
	} {
		if got := when.Relative(now.Add(-ago), now); got != want {
			t.Errorf("%v: %q, want %q", ago, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	now := time.Date(2026, 9, 3, 12, 0, 0, 0, time.UTC)
	for _, s := range []string{"2h", "1w2d3h", "yesterday 12:12", "2026-09-03T12:12:00.5+02:00", "12:12"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := when.Parse(s, now, time.UTC)
		if err != nil {
			return
		}
		again, err := when.Parse(got.Format(time.RFC3339Nano), now, time.UTC)
		if err != nil || !again.Equal(got) {
			t.Errorf("%q is %v, which reads as %v, %v", s, got, again, err)
		}
	})
}
