package catalog

import (
	"context"
	"slices"
)

// span is the positions from one on, before another.
type span struct{ low, high int64 }

func (p span) empty() bool   { return p.low >= p.high }
func (p span) length() int64 { return p.high - p.low }

// stretch is a span that was looked through, with how many sessions are in it.
type stretch struct {
	span
	sessions int
}

// all reports whether there were no more sessions than were looked for.
func (t stretch) all(most int) bool { return t.sessions < most }

// head returns the first weeks of a span in the order of the page, whole ones from the second on, and the rest.
func (s search) head(of span, weeks int64) (head, rest span) {
	if s.filter.Ascending {
		at := of.high
		if last := (of.high - 1) / week; weeks <= last-of.low/week {
			at = (of.low/week + weeks) * week
		}
		return span{of.low, at}, span{at, of.high}
	}
	at := of.low
	if last := (of.high - 1) / week; weeks <= last-of.low/week {
		at = (last + 1 - weeks) * week
	}
	return span{at, of.high}, span{of.low, at}
}

// beyond returns what comes after a stretch in the order of the page.
func (s search) beyond(of span, seen stretch) span {
	if s.filter.Ascending {
		return span{max(of.low, seen.high), of.high}
	}
	return span{of.low, min(of.high, seen.low)}
}

// byWeeks asks the text index for few weeks, one after the other, then for all where little is to be had, and for further weeks where
// much is.
func (s search) byWeeks(ctx context.Context, in span, e expectation) (found []int64, err error) {
	const few = 40
	if weeks := 2*int64(s.limit)*(e.last/week-e.first/week+1)/max(e.matches, 1) + 1; weeks <= few {
		var head span
		head, in = s.head(in, weeks)
		if found, err = s.weekly(ctx, head); err != nil || len(found) >= s.limit {
			return found, err
		}
	}
	s.limit -= len(found)
	further := s.leap
	if len(found) > 0 { // what the first weeks have is not to be looked for far off
		further = s.weekly
	}
	if e.matches <= int64(2*s.enough()) {
		further = func(ctx context.Context, in span) ([]int64, error) { return s.few(ctx, in, few, 2) }
	}
	rest, err := further(ctx, in)
	return append(found, rest...), err
}

// enough is how many matches are sorted rather than looked for in order.
func (s search) enough() int { return max(s.budget/2, 2*s.limit) }

// mostWeeks is how many weeks are asked for at once by their names.
const mostWeeks = 64

// few asks the text index for all at once, and by stretches where that is more than can be sorted soon.
func (s search) few(ctx context.Context, in span, weeks, times int64) ([]int64, error) {
	most := 4 * s.limit
	found, err := s.within(ctx, in, false, most)
	if err == nil && len(found) > most {
		return s.byStretches(ctx, in, weeks, times)
	}
	return descending(found, s.limit, s.filter.Ascending), err
}

// byStretches asks the text index for some weeks, then for several times as many, until the page is full.
func (s search) byStretches(ctx context.Context, in span, weeks, times int64) (page []int64, err error) {
	for ; !in.empty() && len(page) < s.limit; weeks *= times {
		left := s
		left.limit -= len(page)
		var head span
		if head, in = s.head(in, weeks); weeks > mostWeeks {
			head, in = span{min(head.low, in.low), max(head.high, in.high)}, span{}
		}
		found, err := left.of(ctx, head, weeks <= mostWeeks)
		if page = append(page, found...); err != nil {
			return nil, err
		}
	}
	return page, nil
}

// of returns the first matches of a span, where they are not too many in one piece; named says to ask for its weeks.
func (s search) of(ctx context.Context, in span, named bool) ([]int64, error) {
	found, err := s.within(ctx, in, named, s.enough())
	if err == nil && len(found) > s.enough() {
		return s.weekly(ctx, in)
	}
	return descending(found, s.limit, s.filter.Ascending), err
}

// within returns what matches in a span, in no order, and no more than one above most. "+ 0" keeps the planner from reading the positions
// in order instead of asking for the terms.
func (s search) within(ctx context.Context, in span, named bool, most int) ([]int64, error) {
	if in.empty() {
		return nil, nil
	}
	var q statement
	q.add("SELECT position FROM session_search WHERE %s", s.matching(&q))
	if named {
		var weeks []term
		for w := in.low / week; w <= (in.high-1)/week; w++ {
			weeks = append(weeks, term{text: termWeek(w)})
		}
		q.add(" AND %s", s.has(&q, weeks))
	}
	q.add(" AND position + 0 >= %s AND position + 0 < %s LIMIT %d", q.arg(in.low), q.arg(in.high), most+1)
	return s.numbers(ctx, &q)
}

// inWeeks returns at most some of what a query selects in the weeks in which positions lie, in no order.
func (s search) inWeeks(ctx context.Context, what query, positions []int64, most int) ([]int64, error) {
	var weeks []term
	for _, p := range positions {
		if t := (term{text: termWeek(p / week)}); !slices.ContainsFunc(weeks, func(w term) bool { return w.text == t.text }) {
			weeks = append(weeks, t)
		}
	}
	s.query = append(what[:len(what):len(what)], weeks)
	var q statement
	q.add("SELECT position FROM session_search WHERE %s LIMIT %d", s.matching(&q), most)
	return s.numbers(ctx, &q)
}

// leap is weekly for what many match, but none or few of those that come first: a look at a few sessions of each week tells where
// it is, and the weeks in between, which hardly any matches, are asked for at once.
func (s search) leap(ctx context.Context, in span) (page []int64, err error) {
	at, ok, err := s.sighted(ctx, in)
	if err != nil {
		return nil, err
	}
	const near = 4
	rest, between := in, in
	if s.filter.Ascending {
		rest.low = max(in.low, at)
		between.high = rest.low
	} else {
		rest.high = min(in.high, at)
		between.low = rest.high
	}
	if !ok || between.length() < near*week {
		return s.weekly(ctx, in)
	}
	for !between.empty() && len(page) < s.limit {
		left := s
		left.limit -= len(page)
		var head span
		head, between = s.head(between, mostWeeks)
		found, err := left.of(ctx, head, true)
		if page = append(page, found...); err != nil {
			return nil, err
		}
	}
	if len(page) == s.limit {
		return page, nil
	}
	left := s
	left.limit -= len(page)
	left.budget *= 4
	found, seen, err := left.amongNewest(ctx, rest)
	page = append(page, found...)
	if err != nil || len(page) == s.limit || seen.all(left.budget) {
		return page, err
	}
	left.limit, left.budget = s.limit-len(page), s.budget
	found, err = left.weekly(ctx, s.beyond(rest, seen))
	return append(page, found...), err
}

// sighted looks at some sessions of each week, or of longer stretches where there are very many, and returns from where on, in
// the order of the page, most of what matches is; there may be some before.
func (s search) sighted(ctx context.Context, in span) (at int64, ok bool, err error) {
	const most, some = 128, 12
	step := ((in.length()/week)/most + 1) * week
	from, to, by := (in.high-1)/week*week, in.low/week*week-step+1, -step
	if s.filter.Ascending {
		from, to, by = in.low/week*week, in.high, step
	}
	var q statement
	q.add(`SELECT v.at FROM generate_series(CAST(%s AS BIGINT), CAST(%s AS BIGINT), CAST(%s AS BIGINT)) AS v (at) CROSS JOIN LATERAL (
		  SELECT 1 FROM (SELECT terms FROM session_search WHERE position >= v.at AND position >= %s AND position < %s ORDER BY position LIMIT %d) AS c
		  WHERE %s LIMIT 1) AS one LIMIT 1`, q.arg(from), q.arg(to), q.arg(by), q.arg(in.low), q.arg(in.high), some, s.matching(&q))
	found, err := s.numbers(ctx, &q)
	if err != nil || len(found) == 0 {
		return 0, false, err
	}
	return found[0] - by, true, nil
}

// weekly goes through the weeks between two positions until the page is full. A week in which more than enough match is gone through
// in order: they are close together. (Without OFFSET the planner would have each week looked up twice.)
func (s search) weekly(ctx context.Context, in span) ([]int64, error) {
	if in.empty() {
		return nil, nil
	}
	low, high, enough := in.low, in.high, s.enough()
	before, step, more, last := (high-1)/week+1, -1, ">", low/week
	if s.filter.Ascending {
		before, step, more, last = low/week-1, 1, "<", (high-1)/week
	}
	var q statement
	q.add(`
		WITH RECURSIVE weeks (week, total, found) AS (
		  SELECT CAST(%[1]s AS BIGINT), 0, CAST(NULL AS BIGINT[])
		  UNION ALL
		  SELECT weeks.week + %[2]d, weeks.total + cardinality(one.found), one.found FROM weeks CROSS JOIN LATERAL (SELECT ARRAY(
		    SELECT position FROM session_search
		    WHERE %[3]s AND terms @@ CAST('''%[4]s' || (weeks.week + %[2]d) || '''' AS TSQUERY)
		      AND position + 0 >= %[5]s AND position + 0 < %[6]s LIMIT %[7]d
		  ) AS found OFFSET 0) AS one WHERE weeks.total < %[8]d AND weeks.week %[9]s %[10]s
		)
		SELECT these.position FROM weeks CROSS JOIN LATERAL unnest(weeks.found) AS these (position)`,
		q.arg(before), step, s.matching(&q), weekPrefix, q.arg(low), q.arg(high), enough+1, s.limit, more, q.arg(last))
	found, err := s.numbers(ctx, &q)
	if err != nil || len(found) <= enough {
		return descending(found, s.limit, s.filter.Ascending), err
	}
	dense := found[len(found)-1] / week
	sparse := slices.DeleteFunc(slices.Clone(found), func(p int64) bool { return p/week == dense })
	if len(found)-len(sparse) <= enough {
		return descending(found, s.limit, s.filter.Ascending), nil
	}
	sparse = descending(sparse, s.limit, s.filter.Ascending)
	rest, err := s.inOrder(ctx, max(low, dense*week), min(high, (dense+1)*week), s.limit-len(sparse))
	return append(sparse, rest...), err
}

// inOrder goes through the sessions between two positions until limit of them match.
func (s search) inOrder(ctx context.Context, from, to int64, limit int) ([]int64, error) {
	var q statement
	q.add("SELECT c.position FROM (SELECT position, terms FROM session_search WHERE position >= %s AND position < %s ORDER BY position %s OFFSET 0) AS c",
		q.arg(from), q.arg(to), s.way())
	q.add(" WHERE %s LIMIT %d", s.matching(&q), limit)
	return s.numbers(ctx, &q)
}
