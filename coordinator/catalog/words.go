package catalog

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxWord  = 64   // bytes of a word that count
	maxTerms = 1000 // different words of a session that are found
	minStem  = 3    // letters before a *
	maxAsked = 16   // words in a query
)

// mark begins the terms that are no words of a text; no word holds it.
const mark = "§"

// field is the term that sessions have whose field of that kind has that value.
func field(kind, value string) string {
	h := sha256.Sum256([]byte(value))
	return mark + kind + hex.EncodeToString(h[:8])
}

// The kinds of fields, and the terms for what is not a field.
const (
	kindUser     = "u"
	kindStack    = "t"
	kindFleet    = "f"
	kindInstance = "i"
	kindGroup    = "g"

	termAny    = mark + "a" // every session
	termKept   = mark + "k" // not deleted
	termNobody = mark + "n" // no session
	weekPrefix = mark + "w"
)

func termState(s SessionState) string { return mark + "x" + string(s) }
func termLength(class int) string     { return fmt.Sprintf("%sl%d", mark, class-classOpen) }
func termWeek(week int64) string      { return fmt.Sprintf("%s%d", weekPrefix, week) }

// words splits a text into what it can be found by: runs of letters and digits, in lower case.
func words(text string) []string {
	found := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !inWord(r) })
	for i, w := range found {
		found[i] = shorten(w)
	}
	return found
}

func inWord(r rune) bool {
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r))
}

func shorten(word string) string {
	if len(word) <= maxWord {
		return word
	}
	return strings.ToValidUTF8(word[:maxWord], "")
}

// termsOf returns what a session is found by, each once.
func termsOf(s Session) []string {
	terms := []string{
		termAny, field(kindUser, s.User), field(kindStack, s.Stack), field(kindFleet, s.Fleet), field(kindInstance, s.Instance), termState(s.State),
		termLength(lengthClass(s.Start, s.End)), termWeek(s.position / week),
	}
	if s.Deletion.Done.IsZero() {
		terms = append(terms, termKept)
	}
	for _, g := range s.Groups {
		terms = append(terms, field(kindGroup, g))
	}
	texts := []string{s.ID, s.User, s.Instance, s.Stack, s.Fleet}
	for _, key := range slices.Sorted(maps.Keys(s.Metadata)) {
		texts = append(texts, s.Metadata[key])
	}
	known := make(map[string]bool, len(terms))
	for _, text := range texts {
		for _, word := range words(text) {
			if !known[word] && len(terms) < maxTerms {
				known[word] = true
				terms = append(terms, word)
			}
		}
	}
	return terms
}

// term is one word of a query; stem says that words that begin with it are meant as well. Where all is set it is a query of its
// own.
type term struct {
	text string
	stem bool
	all  query
}

// query selects the sessions that have one term of each clause.
type query [][]term

func (q query) and(terms ...string) query {
	clause := make([]term, len(terms))
	for i, t := range terms {
		clause[i] = term{text: t}
	}
	return append(q[:len(q):len(q)], clause)
}

// but returns the query without the clauses that are one term.
func (q query) but(text string) query {
	return slices.DeleteFunc(slices.Clone(q), func(clause []term) bool { return len(clause) == 1 && clause[0].text == text })
}

// selects reports whether a session that is found by terms is selected.
func (q query) selects(terms []string) bool {
	for _, clause := range q {
		if !slices.ContainsFunc(clause, func(t term) bool {
			if t.all != nil {
				return t.all.selects(terms)
			}
			return slices.ContainsFunc(terms, func(has string) bool { return has == t.text || t.stem && strings.HasPrefix(has, t.text) })
		}) {
			return false
		}
	}
	return true
}

// stems reports whether any of it is the beginning of words.
func (q query) stems() bool {
	return slices.ContainsFunc(q, func(clause []term) bool {
		return slices.ContainsFunc(clause, func(t term) bool { return t.stem })
	})
}

// asked reads what a person looks for: words, of which a session has all, one with * at its end as its beginning.
func asked(text string) (query, error) {
	var q query
	rest := strings.ToLower(text)
	for rest != "" {
		start := strings.IndexFunc(rest, inWord)
		if start < 0 {
			break
		}
		rest = rest[start:]
		end := strings.IndexFunc(rest, func(r rune) bool { return !inWord(r) })
		if end < 0 {
			end = len(rest)
		}
		t := term{text: shorten(rest[:end])}
		if rest = rest[end:]; strings.HasPrefix(rest, "*") {
			t.stem = true
			if utf8.RuneCountInString(t.text) < minStem {
				return nil, &FilterError{"text", fmt.Sprintf("needs %d letters or digits before a *", minStem)}
			}
		}
		q = append(q, []term{t})
	}
	switch {
	case text != "" && len(q) == 0:
		return nil, &FilterError{"text", "has no letter and no digit"}
	case len(q) > maxAsked:
		return nil, &FilterError{"text", fmt.Sprintf("has %d words, at most %d", len(q), maxAsked)}
	}
	return q, nil
}

// join renders a query: each term by one, the terms of a clause with or in between, the clauses with and.
func (q query) join(and, or string, one func(t term) string) string {
	clauses := make([]string, len(q))
	for i, clause := range q {
		terms := make([]string, len(clause))
		for k, t := range clause {
			if t.all != nil {
				terms[k] = "(" + t.all.join(and, or, one) + ")"
			} else {
				terms[k] = one(t)
			}
		}
		clauses[i] = "(" + strings.Join(terms, or) + ")"
	}
	return strings.Join(clauses, and)
}
