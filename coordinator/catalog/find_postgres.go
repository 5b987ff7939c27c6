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
	found, all, err := s.amongNewest(ctx, low, high)
	if err != nil || all || len(found) >= s.limit {
		return found, err
	}
	return s.weekly(ctx, low, high)
}

// amongNewest looks through the first sessions of those that have the most telling field; all says that there are no more.
func (s search) amongNewest(ctx context.Context, low, high int64) (found []int64, all bool, err error) {
	first := func(q *statement) string {
		conditions := []string{"position >= " + q.arg(low), "position < " + q.arg(high)}
		switch fields := s.filter.fields(); {
		case len(fields) > 0:
			conditions = append(conditions, fields[0].column+" = "+q.arg(fields[0].value))
		case len(s.filter.States) == 1:
			conditions = append(conditions, "state = "+q.arg(string(s.filter.States[0])))
		}
		return fmt.Sprintf("FROM sessions WHERE %s ORDER BY position %s LIMIT %d", strings.Join(conditions, " AND "), s.way(), s.budget)
	}
	var q statement
	if s.filter.Text == "" {
		q.add("SELECT c.position FROM (SELECT * %s) AS c WHERE ", first(&q))
		q.add("%s ORDER BY c.position %s LIMIT %d", strings.Join(append(s.filter.columns(&q), "1 = 1"), " AND "), s.way(), s.limit)
	} else {
		q.add("SELECT c.position FROM (SELECT position %s) AS c JOIN session_search t ON t.position = c.position", first(&q))
		q.add(" WHERE t.terms @@ CAST(CAST(%s AS TEXT) AS TSQUERY) ORDER BY c.position %s LIMIT %d",
			q.arg(s.tx.dialect.match(s.query)), s.way(), s.limit)
	}
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
