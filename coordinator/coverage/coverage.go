// Package coverage finds the stretches of a session that are neither in a segment nor in a declared gap.
package coverage

import (
	"cmp"
	"slices"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/manifest"
)

// Tolerance is the longest stretch between two frames of a session that is no gap.
func Tolerance(frameRate int) time.Duration { return manifest.Tolerance(frameRate) }

// Hole is a stretch that nothing accounts for.
type Hole struct {
	Start, End time.Time
	// Before and After are the numbers of the segments between which it lies, 0 at the start or the end of the session.
	Before, After int
}

// span is a stretch that is accounted for.
type span struct {
	start, end time.Time
	segment    int
}

// Holes returns, in order, the stretches between start and end that are longer than the tolerance and neither in one of the
// segments nor in one of the gaps. Segments that are quarantined account for nothing.
func Holes(d catalog.Detail, start, end time.Time) []Hole {
	var spans []span
	for _, s := range d.Segments {
		if s.State != catalog.SegmentQuarantined {
			spans = append(spans, span{s.Start, s.End, s.Segment})
		}
	}
	for _, g := range d.Gaps {
		spans = append(spans, span{g.Start, g.End, 0})
	}
	slices.SortStableFunc(spans, func(a, b span) int { return cmp.Or(a.start.Compare(b.start), a.end.Compare(b.end)) })
	tolerance := Tolerance(d.Session.FrameRate)
	var holes []Hole
	covered, before := start, 0
	for _, s := range append(spans, span{start: end, end: end}) {
		if s.start.Sub(covered) > tolerance {
			holes = append(holes, Hole{Start: covered, End: s.start, Before: before, After: s.segment})
		}
		if s.end.After(covered) {
			covered = s.end
		}
		if s.segment > 0 {
			before = s.segment
		}
	}
	return holes
}
