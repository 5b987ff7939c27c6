package verify

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/recfleet/recfleet/internal/manifest"
)

// span is a stretch that is accounted for.
type span struct {
	start, end time.Time
	what       string
}

// checkCoverage names every stretch of the session longer than may lie between two frames that is neither in an archived
// segment nor in a gap.
func checkCoverage(m manifest.Manifest, p *problems) {
	var spans []span
	for _, g := range m.Segments {
		if g.State == manifest.Archived && g.Object != nil {
			spans = append(spans, span{g.Start, g.End, fmt.Sprintf("segment %d", g.Number)})
		}
	}
	for _, g := range m.Gaps {
		spans = append(spans, span{g.Start, g.End, "a gap"})
	}
	slices.SortStableFunc(spans, func(a, b span) int { return cmp.Or(a.start.Compare(b.start), a.end.Compare(b.end)) })
	tolerance := manifest.Tolerance(m.Session.FrameRate)
	covered, before := m.Session.Start, "the start"
	for _, s := range append(spans, span{m.Session.End, m.Session.End, "the end"}) {
		if hole := s.start.Sub(covered); hole > tolerance {
			p.add(Coverage, 0, "%v from %s, between %s and %s, are in no segment and in no gap", hole, stamp(covered), before, s.what)
		}
		if s.end.After(covered) {
			covered, before = s.end, s.what
		}
	}
}
