package catalog

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// mostChoices is how many values are looked for one by one, and not in the text index.
const mostChoices = 32

// choices are filters without a scope that together select what the filter does, each with one of the values that the scope leaves the
// choice of: of a scope of two fleets one for each fleet. They are nil where there is no scope, where it cannot be said so, as with
// groups, and where they would be more than mostChoices. Where the parts of a scope overlap, so do they.
func (f Filter) choices() []Filter {
	if !f.scoped() {
		return nil
	}
	var all []Filter
	for _, p := range f.Scope.Parts {
		some := f.choicesOf(p)
		if len(some) == 0 || len(all)+len(some) > mostChoices {
			return nil
		}
		for _, one := range some {
			if !slices.ContainsFunc(all, one.alike) {
				all = append(all, one)
			}
		}
	}
	return all
}

// choicesOf are the choices that one part leaves.
func (f Filter) choicesOf(p Part) []Filter {
	if p.empty() || len(p.Groups) > 0 {
		return nil
	}
	f.Scope = nil
	all := []Filter{f}
	for _, one := range []struct {
		values []string
		field  func(*Filter) *string
	}{
		{p.Users, func(f *Filter) *string { return &f.User }}, {p.Fleets, func(f *Filter) *string { return &f.Fleet }},
		{p.Stacks, func(f *Filter) *string { return &f.Stack }},
	} {
		if len(one.values) == 0 {
			continue
		}
		if len(all)*len(one.values) > mostChoices || slices.Contains(one.values, "") {
			return nil
		}
		var chosen []Filter
		for _, value := range one.values {
			for _, choice := range all {
				*one.field(&choice) = value
				chosen = append(chosen, choice)
			}
		}
		all = chosen
	}
	return all
}

// alike reports whether two choices of one filter are the same.
func (f Filter) alike(other Filter) bool { return slices.Equal(f.fields(), other.fields()) }

// choicesIn returns the choices of the filter where an index has what each of them selects in order, otherwise nil.
func (f Filter) choicesIn(order func(Filter) bool) []Filter {
	all := f.choices()
	if slices.ContainsFunc(all, func(f Filter) bool { return !order(f) }) {
		return nil
	}
	return all
}

// byChoices finds the sessions of several choices in the order of starts.
func (s search) byChoices(ctx context.Context, all []Filter, low, high int64) ([]int64, error) {
	return s.merged(ctx, all, "position", func(q *statement) string {
		return "position >= " + q.arg(low) + " AND position < " + q.arg(high)
	})
}

// endsOfChoices finds the sessions of several choices in the order of ends.
func (s search) endsOfChoices(ctx context.Context, all []Filter, after any) ([]int64, error) {
	return s.merged(ctx, all, endOrder+" AS ended, position", func(q *statement) string {
		conditions := append(s.filter.times(q), s.later(q, endOrder, after))
		if ended := s.ended(q); ended != "" {
			conditions = append(conditions, ended) // as the index has it
		}
		return strings.Join(conditions, " AND ")
	})
}

// merged takes the first sessions of each choice, in the order of the columns, and the first of those.
func (s search) merged(ctx context.Context, all []Filter, columns string, conditions func(q *statement) string) ([]int64, error) {
	order, group := "position "+s.way(), "position"
	if key, _, ok := strings.Cut(columns, " AS ended"); ok {
		order, group = key+" "+s.way()+", "+order, "ended, position"
	}
	first := func(q *statement, choice Filter, fields []string) string {
		from, rest := "sessions s", Filter{States: choice.States}
		if s.tx.dialect.name == "sqlite" {
			index, _ := choice.endIndex()
			from += " INDEXED BY " + index
		}
		where := append(append(fields, rest.columns(q)...), conditions(q))
		return fmt.Sprintf("(SELECT %s FROM %s WHERE %s ORDER BY %s LIMIT %d)", columns, from, strings.Join(where, " AND "), order, s.limit)
	}
	var q statement
	var parts []string
	if s.tx.dialect.name == "sqlite" {
		for _, choice := range all {
			parts = append(parts, "SELECT * FROM "+first(&q, choice, choice.fieldConditions(&q)))
		}
	} else {
		for _, some := range sameFields(all) {
			// The planner takes its time for each choice where each is a query of its own.
			var lists, names, fields []string
			for i, f := range some[0].fields() {
				var values []string
				for _, choice := range some {
					values = append(values, choice.fields()[i].value)
				}
				name := fmt.Sprint("value", i)
				lists, names = append(lists, "CAST("+q.arg(values)+" AS TEXT[])"), append(names, name)
				fields = append(fields, "s."+f.column+" = v."+name)
			}
			parts = append(parts, fmt.Sprintf("SELECT c.* FROM unnest(%s) AS v (%s) CROSS JOIN LATERAL %s AS c",
				strings.Join(lists, ", "), strings.Join(names, ", "), first(&q, some[0], fields)))
		}
	}
	if len(parts) == 0 {
		return nil, nil
	}
	var outer []string
	for _, column := range strings.Split(group, ", ") {
		outer = append(outer, column+" "+s.way())
	}
	q.add("SELECT position FROM (%s) AS found GROUP BY %s ORDER BY %s LIMIT %d", strings.Join(parts, " UNION ALL "), group, strings.Join(outer, ", "), s.limit)
	return s.numbers(ctx, &q)
}

// sameFields sorts choices by which fields they have.
func sameFields(all []Filter) (sorted [][]Filter) {
	for _, choice := range all {
		i := slices.IndexFunc(sorted, func(some []Filter) bool {
			return slices.EqualFunc(some[0].fields(), choice.fields(), func(a, b fieldFilter) bool { return a.kind == b.kind })
		})
		if i < 0 {
			i = len(sorted)
			sorted = append(sorted, nil)
		}
		sorted[i] = append(sorted[i], choice)
	}
	return sorted
}

// oneOf is a field and values of it.
type oneOf struct {
	column string
	values []string
}

func (o oneOf) condition(q *statement) string {
	marks := make([]string, len(o.values))
	for i, v := range o.values {
		marks[i] = q.arg(v)
	}
	return o.column + " IN (" + strings.Join(marks, ", ") + ")"
}

// endIndex is the index in the order of ends that has the fewest of what is sought, and of which values of which field it is read; nil
// where it is read whole. All that is sought has one of the values.
func (f Filter) endIndex() (index string, of *oneOf) {
	if f.Deleted {
		return "sessions_by_end", nil
	}
	if values := f.oneOf(f.Fleet, func(p Part) []string { return p.Fleets }); values != nil {
		return "sessions_kept_by_fleet_and_end", &oneOf{"fleet", values}
	}
	if values := f.oneOf(f.Stack, func(p Part) []string { return p.Stacks }); values != nil {
		return "sessions_kept_by_stack_and_end", &oneOf{"stack", values}
	}
	return "sessions_by_end", nil
}

// oneOf returns the values that what the filter selects can have of a field, of which it may ask for one; nil where it can have others.
func (f Filter) oneOf(asked string, of func(Part) []string) (values []string) {
	if asked != "" {
		return []string{asked}
	}
	if !f.scoped() {
		return nil
	}
	for _, p := range f.Scope.Parts {
		if p.empty() {
			continue
		}
		some := of(p)
		if len(some) == 0 || len(values)+len(some) > mostChoices {
			return nil
		}
		values = append(values, some...)
	}
	return values
}

// settled is what is left to ask of sessions that are kept and have what endIndex says.
func (f Filter) settled(of oneOf) Filter {
	f.Deleted = true
	switch {
	case of.column == "fleet" && f.Fleet != "":
		f.Fleet = ""
	case of.column == "stack" && f.Stack != "":
		f.Stack = ""
	case len(f.Scope.Parts) == 1:
		p := f.Scope.Parts[0]
		if of.column == "fleet" {
			p.Fleets = nil
		} else {
			p.Stacks = nil
		}
		f.Scope = &Scope{Parts: []Part{p}}
		if p.empty() {
			f.Scope = nil
		}
	}
	return f
}
