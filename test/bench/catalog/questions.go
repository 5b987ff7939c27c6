package main

import (
	"context"
	"fmt"
	"log"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

// question is what people ask for, with other values each time.
type question struct {
	name string
	ask  func(a asker) catalog.Filter
	deep bool // ask for a page far behind the first
}

// asker picks values as they are in the history.
type asker struct {
	*history
	r *rand.Rand
}

func (a asker) when() time.Time { return a.from.Add(rand.N(a.to.Sub(a.from))) }
func (a asker) user() string    { return user(a.r.Uint64N(users)) }
func (a asker) fleet() string   { return fleet(a.r.IntN(fleets)) }
func (a asker) stack() string   { return stack(a.r.IntN(stacks)) }

func (a asker) number() string { return fmt.Sprintf("%06d", a.r.IntN(a.count/3+1)) }

func (a asker) within(d time.Duration) (from, to time.Time) {
	from = a.when()
	return from, from.Add(d)
}

const day = 24 * time.Hour

func questions() []question {
	type f = catalog.Filter
	state := func(s ...catalog.SessionState) []catalog.SessionState { return s }
	all := []question{
		{name: "all, newest first", ask: func(asker) f { return f{} }},
		{name: "all, a page behind 20,000 sessions", ask: func(asker) f { return f{} }, deep: true},
		{name: "state recording", ask: func(asker) f { return f{States: state(catalog.SessionRecording)} }},
		{name: "state interrupted (2 %)", ask: func(asker) f { return f{States: state(catalog.SessionInterrupted)} }},
		{name: "states interrupted or empty, oldest first", ask: func(asker) f {
			return f{States: state(catalog.SessionInterrupted, catalog.SessionEmpty), Ascending: true}
		}},
		{name: "user", ask: func(a asker) f { return f{User: a.user()} }},
		{name: "stack", ask: func(a asker) f { return f{Stack: a.stack()} }},
		{name: "fleet", ask: func(a asker) f { return f{Fleet: a.fleet()} }},
		{name: "fleet, a page behind 10,000 sessions", ask: func(a asker) f { return f{Fleet: a.fleet()} }, deep: true},
		{name: "instance that is not there", ask: func(a asker) f { return f{Instance: fmt.Sprintf("i-%017x", a.r.Uint64())} }},
		{name: "user and fleet", ask: func(a asker) f { return f{User: user(a.zipf.Uint64()), Fleet: a.fleet()} }},
		{name: "fleet and interrupted", ask: func(a asker) f { return f{Fleet: a.fleet(), States: state(catalog.SessionInterrupted)} }},
		{name: "fleet and its stack", ask: func(a asker) f {
			n := a.r.IntN(fleets)
			return f{Fleet: fleet(n), Stack: stack(stackOf(n))}
		}},
		{name: "fleet and another stack (none)", ask: func(a asker) f {
			n := a.r.IntN(fleets)
			return f{Fleet: fleet(n), Stack: stack(stackOf(n + 1))}
		}},
		{name: "started on a day", ask: func(a asker) f {
			from, to := a.within(day)
			return f{StartedAfter: from, StartedBefore: to}
		}},
		{name: "started in a week, interrupted, fleet", ask: func(a asker) f {
			from, to := a.within(7 * day)
			return f{StartedAfter: from, StartedBefore: to, Fleet: a.fleet(), States: state(catalog.SessionInterrupted)}
		}},
		{name: "ended within a minute", ask: func(a asker) f {
			from, to := a.within(time.Minute)
			return f{EndedAfter: from, EndedBefore: to}
		}},
		{name: "ended on a day, stack", ask: func(a asker) f {
			from, to := a.within(day)
			return f{EndedAfter: from, EndedBefore: to, Stack: a.stack()}
		}},
		{name: "ended in a quarter", ask: func(a asker) f {
			from, to := a.within(90 * day)
			return f{EndedAfter: from, EndedBefore: to}
		}},
		{name: "active at", ask: func(a asker) f { return f{ActiveAt: a.when()} }},
		{name: "active at, fleet", ask: func(a asker) f { return f{ActiveAt: a.when(), Fleet: a.fleet()} }},
		{name: "active at, user (mostly none)", ask: func(a asker) f { return f{ActiveAt: a.when(), User: a.user()} }},
		{name: "active at, a word", ask: func(a asker) f { return f{ActiveAt: a.when(), Text: fmt.Sprintf("dept%02d", a.r.IntN(40))} }},
		{name: "active now, oldest first", ask: func(a asker) f { return f{ActiveAt: a.to, Ascending: true} }},
		{name: "text: a rare word", ask: func(a asker) f { return f{Text: a.number()} }},
		{name: "text: a user's name", ask: func(a asker) f { return f{Text: fmt.Sprintf("user%05d", a.r.IntN(users))} }},
		{name: "text: a word that is not there", ask: func(a asker) f { return f{Text: fmt.Sprintf("none%x", a.r.Uint32())} }},
		{name: "text: a common word", ask: func(a asker) f { return f{Text: pick(a.r, "windows", "appstream", "large", "saml")} }},
		{name: "text: a common word, a page behind 20,000 sessions", ask: func(a asker) f { return f{Text: pick(a.r, "windows", "appstream", "large", "saml")} }, deep: true},
		{name: "text: two common words, oldest first", ask: func(a asker) f { return f{Text: "ap large", Ascending: true} }},
		{name: "text: a common and a rare word", ask: func(a asker) f { return f{Text: "windows " + a.number()} }},
		{name: "text: a word of one month long ago", ask: func(a asker) f { return f{Text: fmt.Sprintf("build%d", a.r.IntN(months-1))} }},
		{name: "text: two words of different months (none)", ask: func(a asker) f {
			n := a.r.IntN(months - 1)
			return f{Text: fmt.Sprintf("build%d %d", n, 900+(n+5)%months*300/months)}
		}},
		{name: "text: a word and a fleet", ask: func(a asker) f { return f{Text: fmt.Sprintf("dept%02d", a.r.IntN(40)), Fleet: a.fleet()} }},
		{name: "text: a word and interrupted", ask: func(a asker) f {
			return f{Text: fmt.Sprintf("dept%02d", a.r.IntN(40)), States: state(catalog.SessionInterrupted)}
		}},
		{name: "text: the beginning of some users", ask: func(a asker) f { return f{Text: fmt.Sprintf("user%04d*", a.r.IntN(users/10))} }},
		{name: "text: the beginning of many users", ask: func(a asker) f { return f{Text: fmt.Sprintf("user%02d*", a.r.IntN(users/1000))} }},
		{name: "text: the beginning of all users", ask: func(a asker) f { return f{Text: "use*"} }},
		{name: "text: the beginning of an instance", ask: func(a asker) f { return f{Text: fmt.Sprintf("%05x*", a.r.Uint32N(1<<20))} }},
		{name: "by end", ask: func(asker) f { return f{Order: catalog.OrderEnd} }},
		{name: "by end, fleet", ask: func(a asker) f { return f{Order: catalog.OrderEnd, Fleet: a.fleet()} }},
		{name: "by end, interrupted, fleet", ask: func(a asker) f {
			return f{Order: catalog.OrderEnd, Fleet: a.fleet(), States: state(catalog.SessionInterrupted)}
		}},
		{name: "by user", ask: func(asker) f { return f{Order: catalog.OrderUser, Ascending: true} }},
		{name: "by user, started on a day", ask: func(a asker) f {
			from, to := a.within(day)
			return f{Order: catalog.OrderUser, Ascending: true, StartedAfter: from, StartedBefore: to}
		}},
	}
	return append(all, scoped()...)
}

const pageSize = 50

// warm is what part of the samples is asked before any is measured: people page through what is in memory.
const warm = 10

// ask asks every question and returns how long each page took.
func ask(ctx context.Context, cfg config, c *catalog.Catalog, h *history) (map[string][]time.Duration, error) {
	times := map[string][]time.Duration{}
	for _, q := range questions() {
		if !strings.Contains(q.name, cfg.only) {
			continue
		}
		begun := time.Now()
		a := asker{h, rand.New(rand.NewPCG(2, 3))}
		var took []time.Duration
		found := 0
		before := max(cfg.samples/warm, 2)
		for len(took) < before+cfg.samples {
			f, token := q.ask(a), ""
			if q.deep {
				var err error
				if token, err = deep(ctx, c, f); err != nil {
					return nil, err
				}
			}
			// A page far behind is found with effort: several that follow it are asked for.
			for range max(1, boolean(q.deep)*50) {
				start := time.Now()
				page, next, err := c.ListSessions(ctx, f, pageSize, token)
				if err != nil {
					return nil, fmt.Errorf("%s: %w", q.name, err)
				}
				took = append(took, time.Since(start))
				found += len(page)
				if token = next; next == "" {
					break
				}
			}
		}
		took = took[before:]
		times[q.name] = took
		log.Printf("%-52s %4.1f found, p10 %v, p50 %v, p95 %v, %v in all", q.name, float64(found)/float64(before+len(took)), percentile(took, 10).Round(10*time.Microsecond),
			percentile(took, 50).Round(10*time.Microsecond), percentile(took, 95).Round(10*time.Microsecond), time.Since(begun).Round(time.Millisecond))
	}
	return times, nil
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

// deep returns the token of a page far behind the first.
func deep(ctx context.Context, c *catalog.Catalog, f catalog.Filter) (token string, err error) {
	pages := 40
	if f.Fleet != "" || f.Scope != nil {
		pages = 20
	}
	for range pages {
		_, next, err := c.ListSessions(ctx, f, 500, token)
		if err != nil || next == "" {
			return token, err
		}
		token = next
	}
	return token, nil
}
