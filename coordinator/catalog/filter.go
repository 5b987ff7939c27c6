package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// FilterError says which field of a filter cannot be, and why, in words for whoever gave it.
type FilterError struct{ Field, Problem string }

func (e *FilterError) Error() string { return e.Field + ": " + e.Problem }

// Filter selects sessions and says in which order they come; its zero value selects all that are not deleted, the newest
// start first.
type Filter struct {
	States                       []SessionState // one of them
	User, Stack, Fleet, Instance string         // exactly

	StartedAfter, StartedBefore time.Time // at or after; before
	EndedAfter, EndedBefore     time.Time // at or after; before. A session that is not over is neither
	ActiveAt                    time.Time // started by then and not ended by then

	// Text is words in any order, each of which is in the id, user, stack, fleet, instance or a value of the metadata, in
	// whatever case. A word that ends with * stands for all that begin with it.
	Text string

	Deleted bool // also those whose recordings were deleted

	Scope *Scope // none but what is in it; nil for all

	Order     Order
	Ascending bool
}

// Order is by what sessions are sorted.
type Order string

// The orders. Sessions that are alike in it come by their start.
const (
	OrderStart Order = ""
	OrderEnd   Order = "end" // sessions that are not over come as the latest
	OrderUser  Order = "user"
)

// fingerprint is the same for filters that select the same in the same order.
func (f Filter) fingerprint() string {
	states := slices.Compact(slices.Sorted(slices.Values(f.States)))
	h := sha256.New()
	fmt.Fprintf(h, "%q %q %q %q %q %q %v %q %v", states, f.User, f.Stack, f.Fleet, f.Instance, f.Text, f.Deleted, f.Order, f.Ascending)
	if f.Scope != nil {
		fmt.Fprintf(h, " %t %q", f.Scope.All, f.Scope.values())
	}
	for _, t := range []time.Time{f.StartedAfter, f.StartedBefore, f.EndedAfter, f.EndedBefore, f.ActiveAt} {
		fmt.Fprintf(h, " %d", nanos(t))
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// unstorable reports whether a field asks for what no session can have: it is no text that a database takes.
func (f Filter) unstorable() bool {
	return slices.ContainsFunc([]string{f.User, f.Stack, f.Fleet, f.Instance}, func(s string) bool {
		return !utf8.ValidString(s) || strings.ContainsRune(s, 0)
	})
}

// fields are the columns that the filter compares, the one first of which the fewest sessions have the same value.
func (f Filter) fields() (found []fieldFilter) {
	for _, one := range []fieldFilter{
		{kindUser, "user_name", f.User}, {kindInstance, "instance", f.Instance}, {kindFleet, "fleet", f.Fleet}, {kindStack, "stack", f.Stack},
	} {
		if one.value != "" {
			found = append(found, one)
		}
	}
	return found
}

type fieldFilter struct{ kind, column, value string }

// query returns what the filter asks for, but times.
func (f Filter) query() (query, error) {
	q, err := asked(f.Text)
	if err != nil {
		return nil, err
	}
	for _, one := range f.fields() {
		q = q.and(field(one.kind, one.value))
	}
	if len(f.States) > 0 {
		var states []string
		for _, s := range slices.Compact(slices.Sorted(slices.Values(f.States))) {
			states = append(states, termState(s))
		}
		q = q.and(states...)
	}
	if c := f.Scope.clause(); c != nil {
		q = append(q[:len(q):len(q)], c)
	}
	switch {
	case !f.Deleted:
		q = q.and(termKept)
	case len(q) == 0:
		q = q.and(termAny)
	}
	return q, nil
}

// statement is SQL as it grows, with its arguments.
type statement struct {
	strings.Builder
	args []any
}

func (s *statement) arg(v any) string {
	s.args = append(s.args, v)
	return fmt.Sprintf("$%d", len(s.args))
}

func (s *statement) add(format string, args ...any) { fmt.Fprintf(s, format, args...) }

// endOrder is when a session ended, the end of all times where it has not; there is an index of it.
const endOrder = `(CASE WHEN end_time = 0 THEN 9223372036854775807 ELSE end_time END)`

// scoped reports whether not all sessions are in the scope.
func (f Filter) scoped() bool { return f.Scope != nil && !f.Scope.All }

// timeless reports whether the filter asks nothing about ends.
func (f Filter) timeless() bool {
	return f.ActiveAt.IsZero() && f.EndedAfter.IsZero() && f.EndedBefore.IsZero()
}

// times are the conditions on ends, which are not part of a query.
func (f Filter) times(s *statement) (conditions []string) {
	if !f.EndedAfter.IsZero() {
		conditions = append(conditions, "end_time >= "+s.arg(nanos(f.EndedAfter)))
	}
	if !f.EndedBefore.IsZero() {
		conditions = append(conditions, "end_time <> 0 AND end_time < "+s.arg(nanos(f.EndedBefore)))
	}
	if !f.ActiveAt.IsZero() {
		at := s.arg(nanos(f.ActiveAt))
		conditions = append(conditions, "start_time <= "+at, "(end_time = 0 OR end_time > "+at+")")
	}
	return conditions
}

// columns are the conditions on columns that a query has as terms.
func (f Filter) columns(s *statement) []string {
	conditions := f.fieldConditions(s)
	if len(f.States) > 0 {
		var states []string
		for _, state := range f.States {
			states = append(states, s.arg(string(state)))
		}
		conditions = append(conditions, "state IN ("+strings.Join(states, ", ")+")")
	}
	if !f.Deleted {
		conditions = append(conditions, "deleted_time = 0")
	}
	if c := f.Scope.condition(s); c != "" {
		conditions = append(conditions, c)
	}
	return conditions
}

func (f Filter) fieldConditions(s *statement) (conditions []string) {
	for _, one := range f.fields() {
		conditions = append(conditions, one.column+" = "+s.arg(one.value))
	}
	return conditions
}

// free reports whether the filter selects every session, in whatever order.
func (f Filter) free() bool {
	var none statement
	return f.Text == "" && len(f.times(&none)) == 0 && len(f.columns(&none)) == 0 && f.StartedAfter.IsZero() && f.StartedBefore.IsZero()
}
