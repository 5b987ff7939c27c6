package catalog_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

// Words that were common in one part of a time, and others that are rare in all of it, are found in order, with those that lie far from the
// others, at the ends of weeks.
func testMonths(t *testing.T, open opener) {
	c := open()
	const count, week = 600, int64(7 * 24 * time.Hour)
	var all []catalog.Session
	for i := range count {
		s := newSession(fmt.Sprintf("s%03d", i))
		s.State, s.Fleet = catalog.SessionComplete, fmt.Sprintf("f%d", i%3)
		s.Start = at(float64(i) * 86400 / 3)
		if i >= 200 && i < 300 {
			s.Start = at(200*86400/3 + float64(i-200)*3600)
		}
		s.End = s.Start.Add(time.Hour)
		s.Metadata = map[string]string{"image": "windows"}
		switch {
		case i >= 150 && i < 290, (i > 400 && i < 450 || i == 40) && s.Start.UnixNano()%week > week*5/6:
			s.Metadata["old"], s.Groups = "early", []string{"g"}
		case i%50 == 0:
			s.Metadata["old"] = "earnest"
		case i < 30:
			s.Metadata["old"] = "legacy"
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b catalog.Session) int { return a.Start.Compare(b.Start) })
	err := c.Load(t.Context(), func(add func([]catalog.Detail) error) error {
		some := make([]catalog.Detail, count)
		for i, s := range all {
			some[i].Session = s
		}
		return add(some)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []catalog.Filter{
		{Text: "early"}, {Text: "early windows"}, {Text: "early", Fleet: "f1"}, {Text: "early", Scope: fleets("f0", "f2")}, {Text: "early", StartedBefore: all[250].Start},
		{Text: "earl*"}, {Text: "earn*"}, {Text: "ear*"}, {Text: "ear*", Fleet: "f2"}, {Text: "earnest"}, {Text: "legacy"}, {Text: "legacy early"}, {Text: "nothing"}, {Text: "leg* win*"},
		{Text: "early", EndedAfter: all[9].Start}, {Text: "ear* f1", EndedAfter: all[9].Start}, {EndedAfter: all[9].Start, Scope: &catalog.Scope{Parts: []catalog.Part{{Groups: []string{"g"}}}}},
		{Text: "early", ActiveAt: all[220].Start}, {Text: "early", Order: catalog.OrderEnd}, {Scope: fleets("f0", "f2")}, {Scope: fleets("f0", "f2"), Order: catalog.OrderEnd},
	} {
		want := map[bool][]string{}
		for _, f.Ascending = range []bool{false, true} {
			want[f.Ascending] = expected(f, all)
		}
		for _, budget := range []int{1, 10, 2000} {
			for _, size := range []int{4, 60} {
				for _, f.Ascending = range []bool{false, true} {
					c.SetBudget(budget)
					if got := listAll(t, c, f, size); !slices.Equal(got, want[f.Ascending]) {
						t.Errorf("%+v with budget %d by %d:\n%v, want\n%v", f, budget, size, got, want[f.Ascending])
					}
				}
			}
		}
	}
}
