package web

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/evidence"
)

// functions are what the templates use to write values.
func functions() template.FuncMap {
	return template.FuncMap{"clock": clock, "stamp": stamp, "seconds": seconds, "size": size, "number": number, "deed": deed}
}

// clock writes a time for a person, in UTC.
func clock(t time.Time) string {
	if t.IsZero() {
		return "–"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC")
}

// stamp writes a time for a machine.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

func seconds(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %02d s", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%d h %02d min", d/time.Hour, d%time.Hour/time.Minute)
}

func size(bytes int64) string {
	for _, unit := range []string{"B", "kB", "MB", "GB"} {
		if bytes < 10_000 || unit == "GB" {
			return strconv.FormatInt(bytes, 10) + " " + unit
		}
		bytes = (bytes + 500) / 1000
	}
	return ""
}

func number(n int) string { return strconv.Itoa(n) }

// deed is what a record of a session's audit is about.
func deed(r catalog.AuditRecord) string {
	what, known := map[string]string{
		sessionLook: "looked at the session", recordingPlay: "played", recordingPreview: "saw thumbnails", recordingDownload: "downloaded",
		"session.download": "downloaded the entire session", "manifest.read": "read the manifest", "session.stop": "stopped the recording",
		"session.hold": "held", "session.release": "released", "session.delete": "ordered the deletion", "job.retry": "retried the job",
	}[r.Action]
	if !known {
		what = r.Action
	}
	if _, segment, ok := strings.Cut(r.Object, "."); ok {
		what += ", segment " + segment
	}
	if r.Span != (evidence.Span{}) {
		what += ", " + r.Span.String()
	}
	return what
}
