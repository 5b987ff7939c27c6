package coverage_test

import (
	"slices"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/coverage"
)

func TestHoles(t *testing.T) {
	base := time.Unix(1_700_000_000, 0)
	at := func(s float64) time.Time { return base.Add(time.Duration(s * float64(time.Second))) }
	segment := func(n int, from, to float64, state catalog.SegmentState) catalog.Segment {
		return catalog.Segment{Seal: catalog.Seal{Segment: n, Start: at(from), End: at(to)}, State: state}
	}
	archived := catalog.SegmentArchived
	for name, test := range map[string]struct {
		segments []catalog.Segment
		gaps     []catalog.Gap
		want     []coverage.Hole
	}{
		"nothing":    {nil, nil, []coverage.Hole{{at(0), at(60), 0, 0}}},
		"one":        {[]catalog.Segment{segment(1, 0, 60, archived)}, nil, nil},
		"within 0.6": {[]catalog.Segment{segment(1, 0.6, 30, archived), segment(2, 30.6, 59.4, archived)}, nil, nil},
		"between": {[]catalog.Segment{segment(1, 0, 30, archived), segment(2, 30.7, 60, archived)}, nil,
			[]coverage.Hole{{at(30), at(30.7), 1, 2}}},
		"explained": {[]catalog.Segment{segment(1, 0, 30, archived), segment(2, 40, 60, archived)},
			[]catalog.Gap{{Start: at(30), End: at(40)}}, nil},
		"half explained": {[]catalog.Segment{segment(1, 0, 30, archived), segment(2, 40, 60, archived)},
			[]catalog.Gap{{Start: at(32), End: at(40)}}, []coverage.Hole{{at(30), at(32), 1, 0}}},
		"quarantined": {[]catalog.Segment{segment(1, 0, 30, archived), segment(2, 30, 60, catalog.SegmentQuarantined)}, nil,
			[]coverage.Hole{{at(30), at(60), 1, 0}}},
		"head and tail": {[]catalog.Segment{segment(1, 2, 50, archived)}, nil,
			[]coverage.Hole{{at(0), at(2), 0, 1}, {at(50), at(60), 1, 0}}},
		"overlap": {[]catalog.Segment{segment(1, 0, 50, archived), segment(2, 40, 45, archived), segment(3, 50, 60, archived)}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			d := catalog.Detail{Session: catalog.Session{FrameRate: 5}, Segments: test.segments, Gaps: test.gaps}
			if got := coverage.Holes(d, at(0), at(60)); !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
