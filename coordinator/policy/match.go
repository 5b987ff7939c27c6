package policy

import (
	"cmp"
	"slices"
	"strings"
)

// match is what a rule asks for; what is empty matches everything.
type match struct {
	stack, fleet, user, group, instance patterns
	metadata                            []metadatum
}

type metadatum struct {
	key    string
	values patterns
}

// everything reports whether every session matches.
func (m match) everything() bool {
	return len(m.stack)+len(m.fleet)+len(m.user)+len(m.group)+len(m.instance)+len(m.metadata) == 0
}

// mismatch returns the first condition that a session does not meet, empty where it meets all.
func (m match) mismatch(s Subject) string {
	switch {
	case len(m.stack) > 0 && !m.stack.match(s.Stack):
		return "stack"
	case len(m.fleet) > 0 && !m.fleet.match(s.Fleet):
		return "fleet"
	case len(m.user) > 0 && !m.user.matchFold(s.User):
		return "user"
	case len(m.group) > 0 && !slices.ContainsFunc(s.Groups, m.group.matchFold):
		return "group"
	case len(m.instance) > 0 && !m.instance.match(s.Instance):
		return "instance"
	}
	for _, one := range m.metadata {
		if value, ok := s.Metadata[one.key]; !ok || !one.values.match(value) {
			return "metadata." + one.key
		}
	}
	return ""
}

// claimed returns the groups that come with a session: its own, and those of its metadata, which commas or semicolons part.
func claimed(s Subject) []string {
	found := slices.Clone(s.Groups)
	for _, key := range []string{"group", "groups"} {
		for name := range strings.FieldsFuncSeq(s.Metadata[key], func(r rune) bool { return r == ',' || r == ';' }) {
			if name = strings.TrimSpace(name); name != "" {
				found = append(found, name)
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// patterns match where one of them does.
type patterns []string

func (p patterns) match(value string) bool {
	return slices.ContainsFunc(p, func(pattern string) bool { return glob(pattern, value) })
}

// matchFold does not tell upper from lower case: people's names and their groups' come in either, by how they logged in.
func (p patterns) matchFold(value string) bool {
	value = strings.ToLower(value)
	return slices.ContainsFunc(p, func(pattern string) bool { return glob(strings.ToLower(pattern), value) })
}

// glob reports whether the whole value fits a pattern: * stands for any text, ? for one character, \ takes the next one as
// it is. It takes at most the product of both lengths.
func glob(pattern, value string) bool {
	p, v := []rune(pattern), []rune(value)
	i, j := 0, 0
	star, mark := -1, 0 // where to go on when the star takes one more
	for j < len(v) {
		literal, step := i, 1
		if i < len(p) && p[i] == '\\' && i+1 < len(p) {
			literal, step = i+1, 2
		}
		switch {
		case i < len(p) && step == 1 && p[i] == '*':
			star, mark = i, j
			i++
		case i < len(p) && (step == 1 && p[i] == '?' || p[literal] == v[j]):
			i, j = i+step, j+1
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	for i < len(p) && p[i] == '*' {
		i++
	}
	return i == len(p)
}

// metadata returns conditions in a fixed order.
func metadata(by map[string]patterns) []metadatum {
	var all []metadatum
	for key, values := range by {
		all = append(all, metadatum{key, values})
	}
	slices.SortFunc(all, func(a, b metadatum) int { return cmp.Compare(a.key, b.key) })
	return all
}
