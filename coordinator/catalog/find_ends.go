package catalog

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"
)

// ending is when a session ended, in endOrder, and where it is.
type ending struct{ end, position int64 }

func (e ending) compare(other ending) int {
	return cmp.Or(cmp.Compare(e.end, other.end), cmp.Compare(e.position, other.position))
}

// byEnds finds sessions in the order of their ends that no index has in that order: sessions end soon after they began, so that most of
// a page is among those that began last, or first. ok is false where too many began long before and ended long after.
func (s search) byEnds(ctx context.Context) (page []int64, ok bool, err error) {
	const most = 64 // times a page
	for n := 4 * s.limit; n <= most*s.limit; n *= 4 {
		found, complete, err := s.endings(ctx, n)
		if err != nil {
			return nil, false, err
		}
		if complete {
			for _, e := range found[:min(s.limit, len(found))] {
				page = append(page, e.position)
			}
			return page, true, nil
		}
	}
	return nil, false, nil
}

// endings looks at n sessions in the order of starts that match, from where the page begins, and returns those that come on it, in its
// order, with what follows. complete says that the page is among them.
func (s search) endings(ctx context.Context, n int) (found []ending, complete bool, err error) {
	starts := s
	starts.filter.Order, starts.from, starts.limit = OrderStart, nil, n
	low, high := starts.bounds()
	if s.from != nil {
		if s.filter.Ascending {
			low = s.from.end
		} else if s.from.end != endless {
			high = s.from.end + int64(time.Millisecond) // a place may be a little after the start
		}
	}
	positions, err := starts.byStart(ctx, low, high)
	if err != nil {
		return nil, false, err
	}
	all := len(positions) < n
	if found, err = s.endsOf(ctx, positions); err != nil {
		return nil, false, err
	}
	if !all && len(found) < s.limit {
		return nil, false, nil
	}
	switch {
	case s.filter.Ascending:
		if !all && positions[n-1] <= found[s.limit-1].end {
			return nil, false, nil // one that began later may have ended before
		}
		if s.from == nil {
			return found, true, nil
		}
		return s.joined(ctx, found, low, low)
	case all:
		return found, true, nil
	}
	return s.joined(ctx, found, positions[n-1], found[s.limit-1].end)
}

// joined adds those that match of the sessions that began before a position and ended at a time or later.
func (s search) joined(ctx context.Context, found []ending, before, end int64) (all []ending, complete bool, err error) {
	across := s
	across.filter = Filter{ActiveAt: instantOf(min(end-1, endless-int64(time.Hour))), Deleted: s.filter.Deleted}
	positions, complete, err := across.active(ctx, -endless, before, s.budget)
	if err != nil || !complete {
		return nil, false, err
	}
	for len(positions) > 0 {
		some := positions[:min(len(positions), 500)]
		positions = positions[len(some):]
		if some, err = s.check(ctx, some, s.filter); err != nil {
			return nil, false, err
		}
		more, err := s.endsOf(ctx, some)
		if err != nil {
			return nil, false, err
		}
		found = append(found, more...)
	}
	s.sort(found)
	return slices.Compact(found), true, nil
}

// endsOf returns those of some sessions that come on the page or after, in its order.
func (s search) endsOf(ctx context.Context, positions []int64) (found []ending, err error) {
	if len(positions) == 0 {
		return nil, nil
	}
	var q statement
	if s.tx.dialect.name == "sqlite" {
		list, err := json.Marshal(positions)
		if err != nil {
			return nil, err
		}
		q.add("SELECT %s, s.position FROM json_each(%s) AS these CROSS JOIN sessions s ON s.position = these.value", endOrder, q.arg(string(list)))
	} else {
		q.add("SELECT %s, s.position FROM unnest(CAST(%s AS BIGINT[])) AS these (position) JOIN sessions s ON s.position = these.position", endOrder, q.arg(positions))
	}
	err = rows(ctx, s.tx, func(row scanner) error {
		var e ending
		err := row.Scan(&e.end, &e.position)
		if s.follows(e) {
			found = append(found, e)
		}
		return err
	}, q.String(), q.args...)
	s.sort(found)
	return found, err
}

// follows reports whether a session comes after where the page begins.
func (s search) follows(e ending) bool {
	if s.from == nil {
		return true
	}
	way := e.compare(ending{s.from.end, s.from.position})
	return s.filter.Ascending && way > 0 || !s.filter.Ascending && way < 0
}

func (s search) sort(found []ending) {
	slices.SortFunc(found, func(a, b ending) int {
		if s.filter.Ascending {
			return a.compare(b)
		}
		return b.compare(a)
	})
}
