package main

import (
	"github.com/recfleet/recfleet/coordinator/catalog"
)

func (a asker) department() string { return department(a.r.Uint64N(departments)) }
func (a asker) team() string       { return team(a.r.Uint64N(teams)) }

// several are different values that are picked until there are n.
func several(n int, pick func() string) (values []string) {
	seen := map[string]bool{}
	for len(values) < n {
		if v := pick(); !seen[v] {
			seen[v] = true
			values = append(values, v)
		}
	}
	return values
}

// scoped are what callers ask for who may not see all.
func scoped() []question {
	type f = catalog.Filter
	type part = catalog.Part
	in := func(parts ...part) *catalog.Scope { return &catalog.Scope{Parts: parts} }
	fleets := func(a asker) *catalog.Scope { return in(part{Fleets: several(5, a.fleet)}) }
	teams := func(a asker) *catalog.Scope { return in(part{Groups: several(3, a.team)}) }
	mixed := func(a asker) *catalog.Scope {
		return in(part{Stacks: several(2, a.stack)}, part{Groups: []string{a.department()}}, part{Users: several(3, a.user)})
	}
	one := func(a asker) *catalog.Scope { return in(part{Groups: []string{a.team()}, Fleets: []string{a.fleet()}}) }
	interrupted := []catalog.SessionState{catalog.SessionInterrupted}
	return []question{
		{name: "scope of a stack", ask: func(a asker) f { return f{Scope: in(part{Stacks: []string{a.stack()}})} }},
		{name: "scope of five fleets", ask: func(a asker) f { return f{Scope: fleets(a)} }},
		{name: "scope of five fleets, a page behind 10,000 sessions", ask: func(a asker) f { return f{Scope: fleets(a)} }, deep: true},
		{name: "scope of five fleets, one of them", ask: func(a asker) f {
			s := fleets(a)
			return f{Scope: s, Fleet: s.Parts[0].Fleets[3]}
		}},
		{name: "scope of five fleets, interrupted", ask: func(a asker) f { return f{Scope: fleets(a), States: interrupted} }},
		{name: "scope of five fleets, a user", ask: func(a asker) f { return f{Scope: fleets(a), User: a.user()} }},
		{name: "scope of five fleets, a common word", ask: func(a asker) f { return f{Scope: fleets(a), Text: "large"} }},
		{name: "scope of five fleets, ended on a day", ask: func(a asker) f {
			from, to := a.within(day)
			return f{Scope: fleets(a), EndedAfter: from, EndedBefore: to}
		}},
		{name: "scope of five fleets, active at", ask: func(a asker) f { return f{Scope: fleets(a), ActiveAt: a.when()} }},
		{name: "scope of five fleets, by end", ask: func(a asker) f { return f{Scope: fleets(a), Order: catalog.OrderEnd} }},
		{name: "scope of a group (a department)", ask: func(a asker) f { return f{Scope: in(part{Groups: []string{a.department()}})} }},
		{name: "scope of a group (a department), ended on a day", ask: func(a asker) f {
			from, to := a.within(day)
			return f{Scope: in(part{Groups: []string{a.department()}}), EndedAfter: from, EndedBefore: to}
		}},
		{name: "scope of a group (everybody)", ask: func(a asker) f { return f{Scope: in(part{Groups: []string{"staff"}})} }},
		{name: "scope of three small groups", ask: func(a asker) f { return f{Scope: teams(a)} }},
		{name: "scope of three small groups, by end", ask: func(a asker) f { return f{Scope: teams(a), Order: catalog.OrderEnd} }},
		{name: "scope of two stacks, a group, three users", ask: func(a asker) f { return f{Scope: mixed(a)} }},
		{name: "scope of two stacks, a group, three users, interrupted", ask: func(a asker) f { return f{Scope: mixed(a), States: interrupted} }},
		{name: "scope of two stacks, a group, three users, a rare word", ask: func(a asker) f {
			return f{Scope: mixed(a), Text: a.number()}
		}},
		{name: "narrow scope (a small group on a fleet)", ask: func(a asker) f { return f{Scope: one(a)} }},
		{name: "narrow scope, started in a week", ask: func(a asker) f {
			from, to := a.within(7 * day)
			return f{Scope: one(a), StartedAfter: from, StartedBefore: to}
		}},
		{name: "narrow scope, by end", ask: func(a asker) f { return f{Scope: one(a), Order: catalog.OrderEnd} }},
		{name: "narrow scope (three users)", ask: func(a asker) f { return f{Scope: in(part{Users: several(3, a.user)})} }},
	}
}
