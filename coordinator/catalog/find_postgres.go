package catalog

import (
	"context"
	"fmt"
	"strings"
)

// noScan keeps Postgres from reading a whole table because it guesses that most of it matches.
func (s search) noScan(ctx context.Context) error {
	_, err := exec(ctx, s.tx, "SET LOCAL enable_seqscan = off")
	return err
}

func (s search) byStartPostgres(ctx context.Context, low, high int64) ([]int64, error) {
	if s.simple() {
		return s.byField(ctx, low, high)
	}
	few, err := s.estimate(ctx)
	if err != nil {
		return nil, err
	}
	if few <= int64(s.budget) {
		return s.sortFew(ctx, low, high)
	}
	found, all, err := s.amongNewest(ctx, low, high)
	if err != nil || all || len(found) >= s.limit {
		return found, err
	}
	return s.weekly(ctx, low, high)
}

// simple reports whether an index has what the filter selects, in order.
func (s search) simple() bool {
	several := len(s.filter.fields())
	if n := len(s.filter.States); n > 0 {
		several += n
	}
	return !s.filter.Deleted && s.filter.Text == "" && several <= 1 || s.fleetAndMore()
}

// telling is the condition on sessions that most narrows down what an index has in order; true where there is none.
func (s search) telling(q *statement) string {
	if s.filter.Deleted {
		return "true"
	}
	fields := s.filter.fields()
	switch {
	case len(fields) > 0:
		return "deleted_time = 0 AND " + fields[0].column + " = " + q.arg(fields[0].value)
	case len(s.filter.States) == 1:
		return "deleted_time = 0 AND state = " + q.arg(string(s.filter.States[0]))
	}
	return "deleted_time = 0"
}

// estimate is how many sessions match, as the planner believes.
func (s search) estimate(ctx context.Context) (found int64, err error) {
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
		if _, err := fmt.Sscanf(rest, "%d", &found); err != nil {
			return fmt.Errorf("read plan %q: %w", line, err)
		}
		return nil
	}, q.String(), q.args...)
	return found, err
}

// matching is the condition on what sessions are found by.
func (s search) matching(q *statement) string {
	return "terms @@ CAST(CAST(" + q.arg(s.tx.dialect.match(s.query)) + " AS TEXT) AS TSQUERY)"
}

// sortFew sorts all that match.
func (s search) sortFew(ctx context.Context, low, high int64) ([]int64, error) {
	if err := s.noScan(ctx); err != nil {
		return nil, err
	}
	var q statement
	q.add("WITH few AS MATERIALIZED (SELECT position FROM session_search WHERE %s)", s.matching(&q))
	q.add(" SELECT position FROM few WHERE position >= %s AND position < %s ORDER BY position %s LIMIT %d", q.arg(low), q.arg(high), s.way(), s.limit)
	return s.numbers(ctx, &q)
}

// amongNewest looks through the first sessions of those that have the most telling field; all says that there are no more.
func (s search) amongNewest(ctx context.Context, low, high int64) (found []int64, all bool, err error) {
	first := func(q *statement) string {
		return fmt.Sprintf("FROM sessions WHERE %s AND position >= %s AND position < %s ORDER BY position %s LIMIT %d",
			s.telling(q), q.arg(low), q.arg(high), s.way(), s.budget)
	}
	var q statement
	q.add("SELECT c.position FROM (SELECT position %s) AS c JOIN session_search t ON t.position = c.position", first(&q))
	q.add(" WHERE t.%s ORDER BY c.position %s LIMIT %d", s.matching(&q), s.way(), s.limit)
	if found, err = s.numbers(ctx, &q); err != nil || len(found) >= s.limit {
		return found, false, err
	}
	var count statement
	count.add("SELECT COUNT(*) FROM (SELECT 1 %s) AS c", first(&count))
	n, err := s.numbers(ctx, &count)
	return found, err == nil && n[0] < int64(s.budget), err
}

// weekly asks the text index for one week after the other that has sessions. Nothing is read for weeks that are not needed.
func (s search) weekly(ctx context.Context, low, high int64) ([]int64, error) {
	if err := s.noScan(ctx); err != nil {
		return nil, err
	}
	var q statement
	from, to, match := q.arg(low), q.arg(high), q.arg(s.tx.dialect.match(s.query))
	next, beyond := "MAX", fmt.Sprintf("position < weeks.week * %d AND position >= %s", week, from)
	if s.filter.Ascending {
		next, beyond = "MIN", fmt.Sprintf("position >= (weeks.week + 1) * %d AND position < %s", week, to)
	}
	// "+ 0" keeps the planner from reading the positions in order instead of asking for the terms.
	q.add(`
		WITH RECURSIVE weeks (week) AS (
		  SELECT %[1]s(position) / %[2]d FROM session_search WHERE position >= %[3]s AND position < %[4]s
		  UNION ALL
		  SELECT (SELECT %[1]s(position) FROM session_search WHERE %[5]s) / %[2]d FROM weeks WHERE weeks.week IS NOT NULL
		)
		SELECT found.position FROM weeks CROSS JOIN LATERAL (
		  SELECT t.position FROM session_search t
		  WHERE t.terms @@ (CAST(CAST(%[6]s AS TEXT) AS TSQUERY) && CAST('''%[9]s' || weeks.week || '''' AS TSQUERY))
		    AND t.position + 0 >= %[3]s AND t.position + 0 < %[4]s
		  ORDER BY t.position + 0 %[7]s LIMIT %[8]d
		) AS found LIMIT %[8]d`, next, week, from, to, beyond, match, s.way(), s.limit, weekPrefix)
	return s.numbers(ctx, &q)
}
