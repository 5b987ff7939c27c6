package catalog

import (
	"context"
	"fmt"
	"slices"
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
	// What the planner believes of a word's beginning is a mere guess, and to look one up costs more the more words begin so.
	// A few of the newest tell whether it is worth it.
	if s.query.stems() || e.matches >= e.sessions/common {
		newest, worth := s, s.budget
		if s.query.stems() {
			worth *= 4
		}
		newest.budget = min(8*s.limit, s.budget)
		found, all, err := newest.amongNewest(ctx, low, high)
		if err != nil || all || len(found) >= s.limit {
			return found, err
		}
		if newest.budget*s.limit <= worth*len(found) {
			newest.budget = worth
			found, all, err := newest.amongNewest(ctx, low, high)
			if err != nil || all || len(found) >= s.limit {
				return found, err
			}
		}
	}
	return s.byWeeks(ctx, low, high, e)
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

// amongNewest looks through the first sessions, of one field if there is one; all says that there are no more.
func (s search) amongNewest(ctx context.Context, low, high int64) (found []int64, all bool, err error) {
	first := func(q *statement, what string) string {
		from, condition := "session_search", "true"
		if fields := s.filter.fields(); len(fields) > 0 && !s.filter.Deleted {
			from, condition = "sessions", "deleted_time = 0 AND "+fields[0].column+" = "+q.arg(fields[0].value)
		}
		return fmt.Sprintf("(SELECT %s FROM %s WHERE %s AND position >= %s AND position < %s ORDER BY position %s LIMIT %d) AS c",
			what, from, condition, q.arg(low), q.arg(high), s.way(), s.budget)
	}
	var q statement
	if len(s.filter.fields()) > 0 && !s.filter.Deleted {
		q.add("SELECT c.position FROM %s JOIN session_search t ON t.position = c.position", first(&q, "position"))
	} else {
		q.add("SELECT c.position FROM %s", first(&q, "position, terms"))
	}
	q.add(" WHERE %s ORDER BY c.position %s LIMIT %d", s.matching(&q), s.way(), s.limit)
	if found, err = s.numbers(ctx, &q); err != nil || len(found) >= s.limit {
		return found, false, err
	}
	var count statement
	count.add("SELECT COUNT(*) FROM %s", first(&count, "position"))
	n, err := s.numbers(ctx, &count)
	return found, err == nil && n[0] < int64(s.budget), err
}

// byWeeks asks the text index for one week after the other until the page is full, and for everything at once where little is to
// be had. A word's beginning is looked up anew each time: for one, everything is asked for first.
func (s search) byWeeks(ctx context.Context, low, high int64, e expectation) ([]int64, error) {
	const few = 40
	enough := max(s.budget/2, 2*s.limit)
	weeks := 2*int64(s.limit)*(e.last/week-e.first/week+1)/max(e.matches, 1) + 1
	if weeks <= few && !s.query.stems() {
		from, to := max(low, ((high-1)/week+1-weeks)*week), high
		if s.filter.Ascending {
			from, to = low, min(high, (low/week+weeks)*week)
		}
		found, err := s.weekly(ctx, from, to, enough)
		if err != nil || len(found) >= s.limit || from == low && to == high {
			return found, err
		}
	}
	if e.matches <= int64(2*enough) || s.query.stems() {
		found, err := s.within(ctx, low, high, enough)
		if err != nil || len(found) <= enough {
			return descending(found, s.limit, s.filter.Ascending), err
		}
	}
	return s.weekly(ctx, low, high, enough)
}

// within returns what matches between two positions, in no order, and no more than one above enough. "+ 0" keeps the planner from
// reading the positions in order instead of asking for the terms.
func (s search) within(ctx context.Context, from, to int64, enough int) ([]int64, error) {
	var q statement
	q.add("SELECT position FROM session_search WHERE %s", s.matching(&q))
	q.add(" AND position + 0 >= %s AND position + 0 < %s LIMIT %d", q.arg(from), q.arg(to), enough+1)
	return s.numbers(ctx, &q)
}

// weekly goes through the weeks between two positions until the page is full. A week in which more than enough match is gone through
// in order: they are close together. (Without OFFSET the planner would have each week looked up twice.)
func (s search) weekly(ctx context.Context, low, high int64, enough int) ([]int64, error) {
	if low >= high {
		return nil, nil
	}
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
