package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
)

// search finds one page: the positions of the sessions that a filter selects, in its order.
//
// In the order of starts SQLite reads its text index, which is in that order, whatever is asked for. The one of Postgres is
// not: there one field has an index in that order, and so have the few values that a scope leaves the choice of; where the planner says
// that few match they are sorted; otherwise the newest few hundred sessions tell whether to look through some thousands, in which most of
// what many match is found soon, or to ask the text index week by week, and where most of it lies far back (see leap). Sessions of a time are found by the classes of their lengths: one of a class
// that was active at some time began at most the class's length before.
type search struct {
	tx     *txn
	filter Filter
	query  query
	from   *cursor
	limit  int
	budget int // sessions to look through before an index is asked, or to sort
}

const (
	endless = int64(math.MaxInt64)
	// searchBudget costs some milliseconds.
	searchBudget = 2000
)

func (s search) positions(ctx context.Context) ([]int64, error) {
	if s.filter.Order != OrderStart {
		return s.sorted(ctx)
	}
	low, high := s.bounds()
	if low >= high {
		return nil, nil
	}
	if s.filter.timeless() {
		return s.byStart(ctx, low, high)
	}
	return s.byTime(ctx, low, high)
}

// bounds are the lowest position that can be on the page, and the first that cannot.
func (s search) bounds() (low, high int64) {
	low, high = math.MinInt64+1, endless
	if t := s.filter.StartedAfter; !t.IsZero() {
		low = nanos(t)
	}
	if t := s.filter.StartedBefore; !t.IsZero() {
		high = nanos(t)
	}
	switch {
	case s.from == nil || s.filter.Order != OrderStart:
	case s.filter.Ascending:
		low = max(low, s.from.position+1)
	default:
		high = min(high, s.from.position)
	}
	return low, high
}

// way is the direction in SQL.
func (s search) way() string {
	if s.filter.Ascending {
		return "ASC"
	}
	return "DESC"
}

// numbers runs a query for one column of numbers.
func (s search) numbers(ctx context.Context, q *statement) (found []int64, err error) {
	err = rows(ctx, s.tx, func(row scanner) error {
		var n int64
		err := row.Scan(&n)
		found = append(found, n)
		return err
	}, q.String(), q.args...)
	return found, err
}

func (s search) byStart(ctx context.Context, low, high int64) ([]int64, error) {
	if s.tx.dialect.name != "sqlite" {
		return s.byStartPostgres(ctx, low, high)
	}
	if s.filter.fleetAndMore() {
		return s.byField(ctx, low, high)
	}
	// Nearly all sessions are kept, so that the list of those is long, and to go through it takes longer than to look at the few sessions
	// that match. Where many of them turn out to be deleted it is the list that saves time.
	if rest := s.query.but(termKept); len(rest) > 0 && len(rest) < len(s.query) {
		found, err := s.indexed(ctx, rest, low, high, 2*s.limit)
		if err != nil {
			return nil, err
		}
		page, err := s.among(ctx, found, Filter{Ascending: s.filter.Ascending})
		if err != nil || len(page) == s.limit || len(found) < 2*s.limit {
			return page, err
		}
		low, high = s.after(found, low, high)
		more, err := s.indexed(ctx, s.query, low, high, s.limit-len(page))
		return append(page, more...), err
	}
	return s.indexed(ctx, s.query, low, high, s.limit)
}

// indexed returns the first matches of SQLite's text index within bounds.
func (s search) indexed(ctx context.Context, what query, low, high int64, limit int) ([]int64, error) {
	var q statement
	s.match(&q, what, low, high, nil)
	q.add(" ORDER BY rowid %s LIMIT %d", s.way(), limit)
	return s.numbers(ctx, &q)
}

// after returns the bounds of what comes after positions in the order of the page.
func (s search) after(positions []int64, low, high int64) (int64, int64) {
	if len(positions) == 0 {
		return low, high
	}
	if last := positions[len(positions)-1]; s.filter.Ascending {
		low = last + 1
	} else {
		high = last
	}
	return low, high
}

// fleetAndMore reports whether a fleet and a stack, a user or a state are asked for, and no more: there are indexes.
func (f Filter) fleetAndMore() bool {
	return f.Fleet != "" && f.Text == "" && !f.Deleted && !f.scoped() &&
		((f.Stack != "" || f.User != "") && len(f.fields()) == 2 && len(f.States) == 0 || len(f.fields()) == 1 && len(f.States) == 1)
}

// byField reads an index that has what the filter selects, in order.
func (s search) byField(ctx context.Context, low, high int64) ([]int64, error) {
	var q statement
	conditions := append(s.filter.columns(&q), "position >= "+q.arg(low), "position < "+q.arg(high))
	q.add("SELECT position FROM sessions WHERE %s ORDER BY position %s LIMIT %d", strings.Join(conditions, " AND "), s.way(), s.limit)
	return s.numbers(ctx, &q)
}

// match adds a SELECT of SQLite's text index within bounds, which needs the session itself only for conditions.
func (s search) match(q *statement, what query, low, high int64, conditions func(*statement) []string) {
	if conditions == nil {
		q.add(`SELECT rowid AS position FROM session_search WHERE session_search MATCH %s AND rowid >= %s AND rowid < %s`,
			q.arg(s.tx.dialect.match(what)), q.arg(low), q.arg(high))
		return
	}
	q.add(`SELECT m.rowid AS position FROM session_search m CROSS JOIN sessions s ON s.position = m.rowid
		WHERE m.session_search MATCH %s AND m.rowid >= %s AND m.rowid < %s`, q.arg(s.tx.dialect.match(what)), q.arg(low), q.arg(high))
	for _, c := range conditions(q) {
		q.add(" AND %s", c)
	}
}

// sorted finds sessions in an order other than that of their starts: where few match by sorting them, otherwise by going
// through all in that order until a page is full.
func (s search) sorted(ctx context.Context) ([]int64, error) {
	key, after, err := s.key(ctx)
	if err != nil {
		return nil, err
	}
	if s.filter.inOrderOfEnds() {
		return s.through(ctx, key, after)
	}
	if all := s.filter.choicesIn(Filter.inOrderOfEnds); all != nil {
		return s.endsOfChoices(ctx, all, after)
	}
	if s.filter.Order == OrderEnd && s.filter.timeless() && s.filter.StartedAfter.IsZero() && s.filter.StartedBefore.IsZero() {
		page, ok, err := s.byEnds(ctx)
		if err != nil || ok {
			return page, err
		}
		return s.through(ctx, key, after)
	}
	few := s
	few.filter.Order, few.from, few.limit = OrderStart, nil, s.budget+1
	found, err := few.positions(ctx)
	if err != nil {
		return nil, err
	}
	if len(found) <= s.budget {
		return s.sortThese(ctx, key, after, found)
	}
	return s.through(ctx, key, after)
}

// inOrderOfEnds reports whether an index has all that is asked for in the order of ends.
func (f Filter) inOrderOfEnds() bool {
	timed := !f.ActiveAt.IsZero() || !f.StartedAfter.IsZero() || !f.StartedBefore.IsZero()
	if f.Order != OrderEnd || timed || f.Deleted || f.Text != "" || f.scoped() {
		return false
	}
	fields := f.fields()
	return len(fields) == 0 && len(f.States) == 0 || len(fields) == 1 && (f.Fleet != "" || f.Stack != "")
}

// sortThese sorts sessions that are known to match.
func (s search) sortThese(ctx context.Context, key string, after any, positions []int64) ([]int64, error) {
	if len(positions) == 0 {
		return nil, nil
	}
	var q statement
	if f := s.filter; f.Text == "" && len(f.fields()) == 0 && len(f.States) == 0 && !f.scoped() && f.timeless() { // all of a time
		low, high := positions[0], positions[0]
		for _, p := range positions {
			low, high = min(low, p), max(high, p)
		}
		conditions := append(f.columns(&q), "s.position >= "+q.arg(low), "s.position <= "+q.arg(high), s.later(&q, key, after))
		q.add("SELECT s.position FROM sessions s WHERE %s ORDER BY %s %s, s.position + 0 %s LIMIT %d", strings.Join(conditions, " AND "), key, s.way(), s.way(), s.limit)
		return s.numbers(ctx, &q)
	}
	if s.tx.dialect.name == "sqlite" {
		list, err := json.Marshal(positions)
		if err != nil {
			return nil, err
		}
		q.add("SELECT s.position FROM json_each(%s) AS these CROSS JOIN sessions s ON s.position = these.value", q.arg(string(list)))
	} else {
		q.add("SELECT s.position FROM unnest(CAST(%s AS BIGINT[])) AS these (position) JOIN sessions s ON s.position = these.position", q.arg(positions))
	}
	q.add(" WHERE %s ORDER BY %s %s, s.position %s LIMIT %d", s.later(&q, key, after), key, s.way(), s.way(), s.limit)
	return s.numbers(ctx, &q)
}

// key is the column of the order, and after what it begins; nil where it begins at the beginning.
func (s search) key(ctx context.Context) (column string, after any, err error) {
	if s.filter.Order == OrderEnd {
		if s.from != nil {
			after = s.from.end
		}
		return endOrder, after, nil
	}
	if s.from == nil {
		return "user_name", nil, nil
	}
	var user string
	err = s.tx.QueryRowContext(ctx, `SELECT user_name FROM sessions WHERE position = $1`, s.from.position).Scan(&user)
	if err != nil {
		return "", nil, fmt.Errorf("%w: %w", ErrPageToken, err)
	}
	return "user_name", user, nil
}

// later is the condition that a session comes after where the page begins; always true on the first.
func (s search) later(q *statement, key string, after any) string {
	if after == nil {
		return "1 = 1"
	}
	sign := "<"
	if s.filter.Ascending {
		sign = ">"
	}
	return fmt.Sprintf("(%s, s.position) %s (%s, %s)", key, sign, q.arg(after), q.arg(s.from.position))
}

// conditions are all but the text.
func (s search) conditions(q *statement) string {
	all := []string{"1 = 1"}
	if !s.filter.StartedAfter.IsZero() || !s.filter.StartedBefore.IsZero() {
		low, high := s.bounds()
		// "+ 0" keeps planners from going by the starts.
		all = append(all, "s.position + 0 >= "+q.arg(low), "s.position + 0 < "+q.arg(high))
	}
	all = append(all, s.filter.times(q)...)
	return strings.Join(append(all, s.filter.columns(q)...), " AND ")
}

// through goes through the sessions in the order of the key. The words of each are looked up on Postgres; on SQLite all that
// have them are found first.
func (s search) through(ctx context.Context, key string, after any) ([]int64, error) {
	var q statement
	q.add("SELECT s.position FROM sessions s")
	if s.tx.dialect.name == "sqlite" {
		index := "sessions_by_user"
		if s.filter.Order == OrderEnd {
			index, _ = Filter{Fleet: s.filter.Fleet, Stack: s.filter.Stack, Deleted: s.filter.Deleted}.endIndex()
		}
		q.add(" INDEXED BY %s", index) // it would rather sort a whole fleet
	}
	conditions := s.conditions(&q) + " AND " + s.later(&q, key, after)
	if s.filter.Order == OrderEnd {
		if ended := s.ended(&q); ended != "" {
			conditions += " AND " + ended
		}
	}
	switch {
	case s.filter.Text == "":
	case s.tx.dialect.name == "sqlite":
		conditions += " AND s.position IN (SELECT rowid FROM session_search WHERE session_search MATCH " + q.arg(s.tx.dialect.match(s.query)) + ")"
	default:
		q.add(" JOIN session_search t ON t.position = s.position AND %s", s.matching(&q))
	}
	q.add(" WHERE %s ORDER BY %s %s, s.position %s LIMIT %d", conditions, key, s.way(), s.way(), s.limit)
	return s.numbers(ctx, &q)
}
