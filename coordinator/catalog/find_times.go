package catalog

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// byTime finds sessions by when they were active or ended: an index alone tells which, and where they are few all that is left to be
// asked is asked of them.
func (s search) byTime(ctx context.Context, low, high int64) ([]int64, error) {
	find, rest := s.active, s.filter
	if !rest.EndedAfter.IsZero() || !rest.EndedBefore.IsZero() {
		find, rest.EndedAfter, rest.EndedBefore = s.ending, time.Time{}, time.Time{}
		if _, of := s.filter.endIndex(); of != nil {
			rest = rest.settled(*of)
		}
	} else {
		rest.ActiveAt, rest.Deleted = time.Time{}, true
	}
	most := s.budget
	if rest.free() && s.filter.EndedAfter.IsZero() && s.filter.EndedBefore.IsZero() { // they come in order
		most = min(most, s.limit)
	}
	found, all, err := find(ctx, low, high, most)
	if err != nil {
		return nil, err
	}
	page, err := s.among(ctx, found, rest)
	if err != nil || all || len(page) == s.limit {
		return page, err
	}
	low, high = s.after(found, low, high)
	more := s
	more.limit -= len(page)
	others, err := more.byClasses(ctx, low, high)
	return append(page, others...), err
}

// active returns the first sessions, in the order of the page, that were active at the time and are not deleted unless that is asked
// for; all says that there are no more. One of a class that was active at a time began at most the class's length before.
func (s search) active(ctx context.Context, low, high int64, most int) (found []int64, all bool, err error) {
	found, err = s.classes(ctx, low, high, most, func(q *statement, class int, low, high int64) {
		q.add("SELECT position FROM sessions")
		if s.tx.dialect.name == "sqlite" {
			q.add(" INDEXED BY sessions_by_length_and_times")
		}
		q.add(" WHERE length_class = %s AND position >= %s AND position < %s", q.arg(class), q.arg(low), q.arg(high))
		if !s.filter.Deleted {
			q.add(" AND deleted_time = 0")
		}
		for _, c := range s.filter.times(q) {
			q.add(" AND %s", c)
		}
	})
	return found, len(found) < most, err
}

// ending returns the sessions that ended in the time, in the order of the page; none, and all is false, where they are more than
// most.
func (s search) ending(ctx context.Context, low, high int64, most int) (found []int64, all bool, err error) {
	var q statement
	index, of := s.filter.endIndex()
	q.add("SELECT position FROM sessions")
	if s.tx.dialect.name == "sqlite" {
		q.add(" INDEXED BY %s", index)
	}
	q.add(" WHERE %s AND %s < %s", s.ended(&q), endOrder, q.arg(endless)) // those that are not over have not ended
	if of != nil {
		q.add(" AND deleted_time = 0 AND %s", of.condition(&q))
	}
	q.add(" LIMIT %d", most+1)
	if found, err = s.numbers(ctx, &q); err != nil || len(found) > most {
		return nil, false, err
	}
	found = slices.DeleteFunc(found, func(p int64) bool { return p < low || p >= high })
	return descending(found, len(found), s.filter.Ascending), true, nil
}

// among returns those of some positions, which are in the order of the page, whose sessions are what a filter asks for, until the page is
// full.
func (s search) among(ctx context.Context, positions []int64, f Filter) (page []int64, err error) {
	if f.free() {
		return positions[:min(s.limit, len(positions))], nil
	}
	for size := s.limit; len(positions) > 0 && len(page) < s.limit; size *= 2 {
		some := positions[:min(size, len(positions))]
		positions = positions[len(some):]
		if some, err = s.check(ctx, some, f); err != nil {
			return nil, err
		}
		page = append(page, some...)
		if size == s.limit && 8*len(page) < s.limit && len(positions) > s.budget/5 {
			if positions, err = s.sift(ctx, positions, f); err != nil {
				return nil, err
			}
		}
	}
	return page[:min(s.limit, len(page))], nil
}

// mostSifted is of how many sessions at most SQLite's text index tells whether they are among others.
const mostSifted = 4000

// sift returns those of some positions of which the text index says that a filter may select them: all of them where it has too much to
// say of the time in which they lie. Where few do, that is quicker than to look at each.
func (s search) sift(ctx context.Context, positions []int64, f Filter) ([]int64, error) {
	what, err := f.query()
	if what = what.but(termKept).but(termAny); err != nil || len(what) == 0 {
		return positions, err
	}
	most := mostSifted
	var matching []int64
	if s.tx.dialect.name == "sqlite" {
		matching, err = s.indexed(ctx, what, slices.Min(positions), slices.Max(positions)+1, most)
	} else {
		if what.stems() {
			return positions, nil
		}
		most = s.enough()
		matching, err = s.inWeeks(ctx, what, positions, most)
	}
	if err != nil || len(matching) >= most {
		return positions, err
	}
	return shared(positions, matching), nil
}

// check returns those of some positions whose sessions are what a filter asks for, in the order of the page.
func (s search) check(ctx context.Context, some []int64, f Filter) ([]int64, error) {
	var q statement
	if s.tx.dialect.name == "sqlite" {
		list, err := json.Marshal(some)
		if err != nil {
			return nil, err
		}
		q.add("SELECT s.position FROM json_each(%s) AS these CROSS JOIN sessions s ON s.position = these.value", q.arg(string(list)))
	} else {
		q.add("SELECT s.position FROM unnest(CAST(%s AS BIGINT[])) AS these (position) JOIN sessions s ON s.position = these.position", q.arg(some))
	}
	if conditions := append(f.times(&q), f.columns(&q)...); len(conditions) > 0 {
		q.add(" WHERE %s", strings.Join(conditions, " AND "))
		var err error
		if some, err = s.numbers(ctx, &q); err != nil {
			return nil, err
		}
		some = descending(some, len(some), f.Ascending)
	}
	if f.Text == "" {
		return some, nil
	}
	words, err := asked(f.Text)
	if err != nil || len(some) == 0 {
		return nil, err
	}
	if s.tx.dialect.name != "sqlite" {
		return s.having(ctx, words, some)
	}
	matching, err := s.indexed(ctx, words, slices.Min(some), slices.Max(some)+1, mostSifted)
	if err != nil || len(matching) < mostSifted {
		return shared(some, matching), err
	}
	sessions, err := sessionsAt(ctx, s.tx, some)
	var found []int64
	for _, one := range sessions {
		if words.selects(termsOf(one)) {
			found = append(found, one.position)
		}
	}
	return found, err
}

// shared returns those of some positions that are among others.
func shared(some, others []int64) []int64 {
	known := make(map[int64]bool, len(others))
	for _, p := range others {
		known[p] = true
	}
	return slices.DeleteFunc(slices.Clone(some), func(p int64) bool { return !known[p] })
}

// byClasses finds sessions of a time by the classes of their lengths.
func (s search) byClasses(ctx context.Context, low, high int64) ([]int64, error) {
	return s.classes(ctx, low, high, s.limit, s.ofClass)
}

// classes returns the first positions, in the order of the page, that one finds within bounds for each class of lengths.
func (s search) classes(ctx context.Context, low, high int64, limit int, one func(q *statement, class int, low, high int64)) ([]int64, error) {
	// A session that matches was not over at some time and had begun at another.
	var notBefore, begun time.Time
	if notBefore = s.filter.EndedAfter; s.filter.ActiveAt.After(notBefore) {
		notBefore = s.filter.ActiveAt
	}
	begun = s.filter.EndedBefore
	if at := s.filter.ActiveAt; !at.IsZero() && (begun.IsZero() || at.Before(begun)) {
		begun = at.Add(1)
	}
	if !begun.IsZero() {
		// A place may be a little after the start; the conditions are exact.
		high = min(high, nanos(begun)+int64(time.Millisecond))
	}
	longest := classOpen
	if err := s.tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(length_class), -1) FROM sessions`).Scan(&longest); err != nil {
		return nil, err
	}
	var q statement
	q.add("SELECT position FROM (")
	for class := classOpen; class <= longest; class++ {
		from := low
		if class == classOpen && (!s.filter.EndedAfter.IsZero() || !s.filter.EndedBefore.IsZero()) {
			continue
		}
		if class != classOpen && !notBefore.IsZero() {
			from = max(from, nanos(notBefore)-int64(classLength(class)))
		}
		if q.args != nil {
			q.add(" UNION ALL ")
		}
		q.add("SELECT position FROM (")
		one(&q, class, from, high)
		q.add(" ORDER BY position %s LIMIT %d) AS class%d", s.way(), limit, class+1)
	}
	if q.args == nil {
		return nil, nil
	}
	q.add(") AS found ORDER BY position %s LIMIT %d", s.way(), limit)
	return s.numbers(ctx, &q)
}

// ofClass adds a SELECT of the sessions of a class.
func (s search) ofClass(q *statement, class int, low, high int64) {
	if s.tx.dialect.name == "sqlite" && (s.filter.Text != "" || s.filter.scoped()) {
		s.match(q, s.query.but(termKept).and(termLength(class)), low, high, func(q *statement) []string {
			conditions := s.filter.times(q)
			if !s.filter.Deleted {
				conditions = append(conditions, "deleted_time = 0")
			}
			return conditions
		})
		return
	}
	q.add("SELECT s.position AS position FROM sessions s")
	conditions := s.filter.times(q)
	if s.filter.Text != "" {
		q.add(" JOIN session_search t ON t.position = s.position AND t.terms @@ CAST(CAST(%s AS TEXT) AS TSQUERY)", q.arg(s.tx.dialect.match(s.query)))
	}
	conditions = append(conditions, s.filter.columns(q)...)
	q.add(" WHERE length_class = %s AND s.position >= %s AND s.position < %s", q.arg(class), q.arg(low), q.arg(high))
	for _, c := range conditions {
		q.add(" AND %s", c)
	}
}

// ended is the condition on ends, as the index has them.
func (s search) ended(q *statement) string {
	var conditions []string
	if t := s.filter.EndedAfter; !t.IsZero() {
		conditions = append(conditions, endOrder+" >= "+q.arg(nanos(t)))
	}
	if t := s.filter.EndedBefore; !t.IsZero() {
		conditions = append(conditions, endOrder+" < "+q.arg(nanos(t)))
	}
	return strings.Join(conditions, " AND ")
}
