package catalog

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
)

// Scope is a part of all sessions; its zero value is none of them.
type Scope struct {
	All   bool
	Parts []Part // what is in one of them is in the scope
}

// Part is the sessions that have, for each field that is named, one of its values, exactly. One that names no field is none.
type Part struct {
	Stacks, Fleets, Users []string
	Groups                []string // one of those that the session's user was in when it began
}

// Owner is what scopes look at.
type Owner struct {
	User, Stack, Fleet string
	Groups             []string
	Capturing          bool // the agent may bring more
}

// Empty reports whether no session is in the scope.
func (s Scope) Empty() bool { return !s.All && len(s.Parts) == 0 }

// Join returns what is in either of two scopes.
func (s Scope) Join(other Scope) Scope {
	if s.All || other.All {
		return Scope{All: true}
	}
	return Scope{Parts: append(slices.Clone(s.Parts), other.Parts...)}
}

// Has reports whether a session is in the scope.
func (s Scope) Has(o Owner) bool {
	return s.All || slices.ContainsFunc(s.Parts, func(p Part) bool { return p.has(o) })
}

// values are all values with what they are of.
func (s Scope) values() (all [][4][]string) {
	for _, p := range s.Parts {
		all = append(all, [4][]string{p.Stacks, p.Fleets, p.Users, p.Groups})
	}
	return all
}

func (p Part) empty() bool { return len(p.Stacks)+len(p.Fleets)+len(p.Users)+len(p.Groups) == 0 }

func (p Part) has(o Owner) bool {
	one := func(want []string, is ...string) bool {
		return len(want) == 0 || slices.ContainsFunc(is, func(s string) bool { return slices.Contains(want, s) })
	}
	return !p.empty() && one(p.Stacks, o.Stack) && one(p.Fleets, o.Fleet) && one(p.Users, o.User) && one(p.Groups, o.Groups...)
}

// Owner is whose session it is.
func (s Session) Owner() Owner {
	return Owner{User: s.User, Stack: s.Stack, Fleet: s.Fleet, Groups: s.Groups, Capturing: s.State.Capturing()}
}

// Owner returns whose session it is, or ErrNotFound.
func (c *Catalog) Owner(ctx context.Context, id string) (o Owner, err error) {
	var state SessionState
	var groups string
	err = c.read.QueryRowContext(ctx, `SELECT user_name, stack, fleet, user_groups, state FROM sessions WHERE id = $1`, id).
		Scan(&o.User, &o.Stack, &o.Fleet, &groups, &state)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	o.Groups, o.Capturing = readGroups(groups), state.Capturing()
	return o, wrap("read owner of session", id, err)
}

// Groups are kept in one column, each on a line of its own, with a line's end before the first: so a condition finds one.
func writeGroups(groups []string) string {
	kept := slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(groups))), func(g string) bool { return g == "" || strings.Contains(g, "\n") })
	if len(kept) == 0 {
		return ""
	}
	return "\n" + strings.Join(kept, "\n") + "\n"
}

func readGroups(column string) []string {
	return strings.FieldsFunc(column, func(r rune) bool { return r == '\n' })
}

// condition is the scope as a condition on the columns of sessions; empty where all are in it.
func (s *Scope) condition(q *statement) string {
	if s == nil || s.All {
		return ""
	}
	alternatives := []string{"1 = 0"}
	for _, p := range s.Parts {
		if p.empty() {
			continue
		}
		var all []string
		for _, one := range []struct {
			column string
			values []string
		}{{"stack", p.Stacks}, {"fleet", p.Fleets}, {"user_name", p.Users}} {
			if len(one.values) == 0 {
				continue
			}
			marks := make([]string, len(one.values))
			for i, v := range one.values {
				marks[i] = q.arg(v)
			}
			all = append(all, one.column+" IN ("+strings.Join(marks, ", ")+")")
		}
		if len(p.Groups) > 0 {
			groups := make([]string, len(p.Groups))
			for i, g := range p.Groups {
				groups[i] = "replace(user_groups, " + q.arg("\n"+g+"\n") + ", '') <> user_groups" // exact in upper and lower case, which LIKE is not
			}
			all = append(all, "("+strings.Join(groups, " OR ")+")")
		}
		alternatives = append(alternatives, strings.Join(all, " AND "))
	}
	return "((" + strings.Join(alternatives, ") OR (") + "))"
}

// clause is the scope as what sessions are found by; nil where all are in it.
func (s *Scope) clause() []term {
	if s == nil || s.All {
		return nil
	}
	found := []term{{text: termNobody}}
	for _, p := range s.Parts {
		if p.empty() {
			continue
		}
		var all query
		for _, one := range []struct {
			kind   string
			values []string
		}{{kindStack, p.Stacks}, {kindFleet, p.Fleets}, {kindUser, p.Users}, {kindGroup, p.Groups}} {
			if len(one.values) == 0 {
				continue
			}
			terms := make([]string, len(one.values))
			for i, v := range one.values {
				terms[i] = field(one.kind, v)
			}
			all = all.and(terms...)
		}
		found = append(found, term{all: all})
	}
	return found
}

// narrowed returns the filter with as little left to its scope as can be: what the filter asks for anyway is taken out of it, and what
// the scope leaves no choice of is asked for. possible is false where there can be no session. Fields have indexes, scopes do not.
func (f Filter) narrowed() (narrow Filter, possible bool) {
	if !f.scoped() {
		f.Scope = nil
		return f, true
	}
	var left []Part
	for _, p := range f.Scope.Parts {
		if p.empty() || !p.storable() || !p.settle(f) {
			continue
		}
		if p.empty() { // the filter asks for nothing else
			f.Scope = nil
			return f, true
		}
		left = append(left, p)
	}
	if len(left) == 1 {
		p := left[0]
		for _, one := range []struct {
			field  *string
			values *[]string
		}{{&f.User, &p.Users}, {&f.Stack, &p.Stacks}, {&f.Fleet, &p.Fleets}} {
			if len(*one.values) == 1 && (*one.values)[0] != "" {
				*one.field, *one.values = (*one.values)[0], nil
			}
		}
		left[0] = p
		if p.empty() {
			f.Scope = nil
			return f, true
		}
	}
	f.Scope = &Scope{Parts: left}
	return f, len(left) > 0
}

// storable takes out of a part the values that no session can have, and reports whether any can be in it.
func (p *Part) storable() bool {
	for _, values := range []*[]string{&p.Stacks, &p.Fleets, &p.Users, &p.Groups} {
		left := slices.DeleteFunc(slices.Clone(*values), func(v string) bool { return Filter{User: v}.unstorable() })
		if len(left) == 0 && len(*values) > 0 {
			return false
		}
		*values = left
	}
	return true
}

// settle takes out of a part what a filter asks for, and reports whether anything that the filter selects can be in it.
func (p *Part) settle(f Filter) bool {
	for _, one := range []struct {
		asked  string
		values *[]string
	}{{f.User, &p.Users}, {f.Stack, &p.Stacks}, {f.Fleet, &p.Fleets}} {
		if one.asked == "" || len(*one.values) == 0 {
			continue
		}
		if !slices.Contains(*one.values, one.asked) {
			return false
		}
		*one.values = nil
	}
	return true
}
