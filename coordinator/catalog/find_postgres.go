package catalog

import (
	"context"
	"fmt"
	"strings"
)

func (s search) byStartPostgres(ctx context.Context, low, high int64) ([]int64, error) {
	if s.filter.inOrder() {
		return s.byField(ctx, low, high)
	}
	if all := s.filter.choicesIn(Filter.inOrder); all != nil {
		return s.byChoices(ctx, all, low, high)
	}
	e, err := s.expect(ctx)
	if err != nil {
		return nil, err
	}
	low, high = max(low, e.first), min(high, e.last+1)
	if low >= high {
		return nil, nil
	}
	all := span{low, high}
	if !s.query.stems() && e.matches < e.sessions/common {
		return s.byWeeks(ctx, all, e)
	}
	// What the planner believes of a word's beginning is a mere guess. A few of the newest tell how many match, and whether to look
	// through more of them finds the page sooner than the index, which for a beginning looks at all that any word has which begins so.
	few := s
	few.budget = max(min(8*s.limit, s.budget), 1)
	found, seen, err := few.amongNewest(ctx, all)
	if err != nil || seen.all(few.budget) || len(found) >= s.limit {
		return found, err
	}
	enough, most := s.limit*few.budget/max(len(found), 1), s.budget
	if s.query.stems() {
		most = min(4*s.budget, int(e.sessions)*len(found)/few.budget)
	}
	if enough <= most {
		more := s
		more.budget = max(most, s.budget)
		if found, seen, err = more.amongNewest(ctx, all); err != nil || seen.all(more.budget) || len(found) >= s.limit {
			return found, err
		}
	}
	left := s
	left.limit -= len(found)
	weeks := int64(min(2*float64(s.limit)/float64(max(len(found), 1))*float64(seen.length())/float64(week), mostWeeks)) + 1
	all = s.beyond(all, seen)
	var rest []int64
	switch {
	case !s.query.stems() && len(found) == 0 && e.matches > int64(2*s.enough()):
		rest, err = left.leap(ctx, all)
	case !s.query.stems():
		rest, err = left.byWeeks(ctx, all, e)
	case len(found) == 0:
		rest, err = left.few(ctx, all, weeks, 4)
	default:
		rest, err = left.byStretches(ctx, all, weeks, 4)
	}
	return append(found, rest...), err
}

// inOrder reports whether an index has what the filter selects, in the order of starts.
func (f Filter) inOrder() bool {
	return !f.Deleted && f.Text == "" && len(f.fields())+len(f.States) <= 1 && !f.scoped() || f.fleetAndMore()
}

// expectation is what the planner believes of all sessions, and where the first and the last of them is.
type expectation struct{ matches, sessions, first, last int64 }

// common is what part of the sessions at most is more than is sought where any of them may match.
const common = 40

func (s search) expect(ctx context.Context) (e expectation, err error) {
	if err := s.tx.QueryRowContext(ctx, `
		SELECT CAST((SELECT reltuples FROM pg_class WHERE oid = CAST('session_search' AS REGCLASS)) AS BIGINT),
		  COALESCE((SELECT MIN(position) FROM session_search), 0), COALESCE((SELECT MAX(position) FROM session_search), -1)`,
	).Scan(&e.sessions, &e.first, &e.last); err != nil {
		return e, err
	}
	var q statement
	q.add("EXPLAIN SELECT position FROM session_search WHERE %s", s.matching(&q))
	first := true
	err = rows(ctx, s.tx, func(row scanner) error {
		var line string
		if err := row.Scan(&line); err != nil || !first {
			return err
		}
		first = false
		_, rest, _ := strings.Cut(line, " rows=")
		if _, err := fmt.Sscanf(rest, "%d", &e.matches); err != nil {
			return fmt.Errorf("read plan %q: %w", line, err)
		}
		return nil
	}, q.String(), q.args...)
	return e, err
}

// matching is the condition on what sessions are found by. Each clause is a condition of its own: the index then leaps from
// list to list, where for one condition with all of them it would look at whatever one list has. Nearly all are kept: that is not
// asked of the index.
func (s search) matching(q *statement) string {
	conditions := make([]string, len(s.query))
	for i, clause := range s.query {
		conditions[i] = s.has(q, clause)
		if clause[0].text == termKept {
			conditions[i] = "(" + conditions[i] + ") IS TRUE"
		}
	}
	return strings.Join(conditions, " AND ")
}

// has is the condition that sessions have a term of a clause.
func (s search) has(q *statement, clause []term) string {
	return "terms @@ CAST(CAST(" + q.arg(s.tx.dialect.match(query{clause})) + " AS TEXT) AS TSQUERY)"
}

// having returns those of some positions whose sessions a query selects, in the order of the page. They are looked at one by one: "IS TRUE"
// keeps the planner from asking the text index for all that the query selects.
func (s search) having(ctx context.Context, what query, some []int64) ([]int64, error) {
	var q statement
	q.add("SELECT t.position FROM unnest(CAST(%s AS BIGINT[])) AS these (position) JOIN session_search t ON t.position = these.position WHERE true", q.arg(some))
	for _, clause := range what {
		q.add(" AND (%s) IS TRUE", s.has(&q, clause))
	}
	found, err := s.numbers(ctx, &q)
	return descending(found, len(found), s.filter.Ascending), err
}

// amongNewest looks through the first sessions, of one field if there is one, and says where it has looked.
func (s search) amongNewest(ctx context.Context, in span) (found []int64, seen stretch, err error) {
	first := func(q *statement, what string) string {
		from, condition := "session_search", "true"
		if fields := s.filter.fields(); len(fields) > 0 && !s.filter.Deleted {
			from, condition = "sessions", "deleted_time = 0 AND "+fields[0].column+" = "+q.arg(fields[0].value)
		}
		return fmt.Sprintf("(SELECT %s FROM %s WHERE %s AND position >= %s AND position < %s ORDER BY position %s LIMIT %d) AS c",
			what, from, condition, q.arg(in.low), q.arg(in.high), s.way(), s.budget)
	}
	var q statement
	if len(s.filter.fields()) > 0 && !s.filter.Deleted {
		q.add("SELECT c.position FROM %s JOIN session_search t ON t.position = c.position", first(&q, "position"))
	} else {
		q.add("SELECT c.position FROM %s", first(&q, "position, terms"))
	}
	q.add(" WHERE %s ORDER BY c.position %s LIMIT %d", s.matching(&q), s.way(), s.limit)
	if found, err = s.numbers(ctx, &q); err != nil || len(found) >= s.limit {
		return found, stretch{}, err
	}
	var count statement
	count.add("SELECT COUNT(*), COALESCE(MIN(position), 0), COALESCE(MAX(position), -1) FROM %s", first(&count, "position"))
	err = s.tx.QueryRowContext(ctx, count.String(), count.args...).Scan(&seen.sessions, &seen.low, &seen.high)
	seen.high++
	return found, seen, err
}
