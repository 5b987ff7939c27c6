package cli

import (
	"fmt"
	"strconv"

	"github.com/recfleet/recfleet/cli/verify"
	"github.com/recfleet/recfleet/internal/manifest"
)

func verdictTable(t *tables, v *verdict) {
	result, key := cell{"verified", green}, v.KeyFingerprint
	if !v.Verified {
		result = cell{"NOT verified: " + plural(len(v.Problems), "problem"), red}
	}
	if key != "" && !v.KeyPinned {
		key += " (not pinned)"
	}
	var size int64
	for _, o := range v.Objects {
		size += o.Bytes
	}
	seconds := func(s float64) string { return strconv.FormatFloat(s, 'f', 3, 64) + "s" }
	t.fields([][]cell{
		plain("session", v.SessionID), plain("state", v.State), {{text: "result"}, result}, plain("signing key", key),
		plain("objects", fmt.Sprintf("%d, %s", len(v.Objects), bytesText(size))),
		plain("recorded", seconds(v.RecordedSeconds)), plain("gaps", fmt.Sprintf("%s in %d", seconds(v.GapSeconds), len(v.Gaps))),
	})
	if len(v.Problems) > 0 {
		t.title("problems")
		list(t, v.Problems, []column[verify.Problem]{
			{"KIND", false, func(p verify.Problem) cell { return cell{string(p.Kind), red} }},
			{"SEGMENT", false, text(func(p verify.Problem) string { return segmentText(p.Segment) })},
			{"DETAIL", false, text(func(p verify.Problem) string { return p.Detail })},
		})
	}
	if len(v.Gaps) > 0 {
		t.title("gaps")
		list(t, v.Gaps, []column[manifest.Gap]{
			{"STARTED", false, text(func(g manifest.Gap) string { return t.exact(newTimestamp(g.Start)) })},
			{"LENGTH", false, text(func(g manifest.Gap) string { return durationText(g.End.Sub(g.Start)) })},
			{"CAUSE", false, text(func(g manifest.Gap) string { return g.Cause })},
			{"DETAIL", false, name(t, func(g manifest.Gap) string { return g.Detail })},
		})
	}
	if t.wide && len(v.Objects) > 0 {
		t.title("objects")
		list(t, v.Objects, []column[objectVerdict]{
			{"SEGMENT", false, text(func(o objectVerdict) string { return segmentText(o.Segment) })},
			{"INTACT", false, text(func(o objectVerdict) string { return map[bool]string{true: "yes", false: "NO"}[o.Intact] })},
			{"BYTES", false, text(func(o objectVerdict) string { return bytesText(o.Bytes) })},
			{"SHA-256", false, text(func(o objectVerdict) string { return o.SHA256 })},
			{"OBJECT", false, text(func(o objectVerdict) string { return o.Key })},
		})
	}
}

// segmentText is empty for what is of the session as a whole.
func segmentText(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
