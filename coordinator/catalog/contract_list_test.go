package catalog_test

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

// stock is a fleet's history: sessions of which some share users, fleets, starts, words, and some are not over.
func stock(t *testing.T, c *catalog.Catalog, random *rand.Rand, count int) []catalog.Session {
	t.Helper()
	pick := func(from ...string) string { return from[random.IntN(len(from))] }
	for i := range count {
		s := newSession(fmt.Sprintf("s%03d", i))
		s.User = pick("ann@example.com", "Bob", "müller", "Ann", "o'hara \\ \"x\"")
		s.Fleet, s.Stack, s.Instance = pick("f0", "f1", "f2"), pick("t0", "t1"), fmt.Sprintf("i-%02x", random.IntN(30))
		s.Metadata = map[string]string{"image": pick("Windows-2022-v1", "windows-2019 v2", "Büro/Ubuntu"), "note": pick("", "case 4711", "§k", "'quoted' & !x:*")}
		s.Groups = [][]string{nil, {"g0"}, {"g0", "g1 é"}, {"G0"}}[random.IntN(4)]
		if i < count/4 {
			s.Metadata["old"] = "legacy"
		}
		// Four weeks, in minutes, so that some start together.
		s.Start = at(float64(i*28*86400/count + 60*random.IntN(3)))
		if _, _, err := c.CreateSession(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if random.IntN(10) == 0 {
			continue
		}
		length := time.Duration(random.ExpFloat64() * float64(3*time.Hour))
		if err := c.EndSession(t.Context(), s.ID, catalog.End{Time: s.Start.Add(length)}); err != nil {
			t.Fatal(err)
		}
		if random.IntN(3) > 0 {
			state := []catalog.SessionState{catalog.SessionComplete, catalog.SessionInterrupted, catalog.SessionEmpty}[random.IntN(3)]
			if err := c.FinishSession(t.Context(), s.ID, state, ""); err != nil {
				t.Fatal(err)
			}
		}
	}
	all, next, err := c.ListSessions(t.Context(), catalog.Filter{Ascending: true}, count+1, "")
	if err != nil || next != "" || len(all) != count {
		t.Fatalf("%d sessions, next %q, %v", len(all), next, err)
	}
	if !slices.IsSortedFunc(all, func(a, b catalog.Session) int { return a.Start.Compare(b.Start) }) {
		t.Error("the starts are not in order")
	}
	return all
}

// matches says what a filter means, without any index.
func matches(f catalog.Filter, s catalog.Session) bool {
	text := strings.ToLower(strings.Join([]string{s.ID, s.User, s.Stack, s.Fleet, s.Instance, s.Metadata["image"], s.Metadata["note"], s.Metadata["old"]}, "\n"))
	split := func(text string) []string {
		return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \n-@./'\"\\&!:§,", r) })
	}
	for _, word := range split(strings.ToLower(f.Text)) {
		stem, isStem := strings.CutSuffix(word, "*")
		if !slices.ContainsFunc(split(strings.ReplaceAll(text, "*", " ")), func(w string) bool { return w == word || isStem && strings.HasPrefix(w, stem) }) {
			return false
		}
	}
	is := func(want, got string) bool { return want == "" || want == got }
	over := !s.End.IsZero()
	return (f.Scope == nil || f.Scope.Has(s.Owner())) && (len(f.States) == 0 || slices.Contains(f.States, s.State)) &&
		is(f.User, s.User) && is(f.Fleet, s.Fleet) && is(f.Stack, s.Stack) && is(f.Instance, s.Instance) &&
		(f.StartedAfter.IsZero() || !s.Start.Before(f.StartedAfter)) && (f.StartedBefore.IsZero() || s.Start.Before(f.StartedBefore)) &&
		(f.EndedAfter.IsZero() || over && !s.End.Before(f.EndedAfter)) && (f.EndedBefore.IsZero() || over && s.End.Before(f.EndedBefore)) &&
		(f.ActiveAt.IsZero() || !s.Start.After(f.ActiveAt) && (!over || s.End.After(f.ActiveAt)))
}

// expected is what a listing of all, which are in the order of their starts, must give.
func expected(f catalog.Filter, all []catalog.Session) (ids []string) {
	found := slices.Clone(all)
	end := func(s catalog.Session) int64 {
		if s.End.IsZero() {
			return 1<<63 - 1
		}
		return s.End.UnixNano()
	}
	slices.SortStableFunc(found, func(a, b catalog.Session) int {
		switch f.Order {
		case catalog.OrderEnd:
			return cmp.Compare(end(a), end(b))
		case catalog.OrderUser:
			return cmp.Compare(a.User, b.User)
		}
		return 0
	})
	if !f.Ascending {
		slices.Reverse(found)
	}
	for _, s := range found {
		if matches(f, s) {
			ids = append(ids, s.ID)
		}
	}
	return ids
}

func listAll(t *testing.T, c *catalog.Catalog, f catalog.Filter, size int) (ids []string) {
	t.Helper()
	for token, first := "", true; first || token != ""; first = false {
		page, next, err := c.ListSessions(t.Context(), f, size, token)
		if err != nil || len(page) > size || next != "" && len(page) < size {
			t.Fatalf("%+v: page of %d, next %q, %v", f, len(page), next, err)
		}
		for _, s := range page {
			ids = append(ids, s.ID)
		}
		token = next
	}
	return ids
}

// Whatever is asked for, and by whatever way it is found, comes in order, once, and nothing else.
func testFilters(t *testing.T, open opener) {
	c := open()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	all := stock(t, c, random, 240)
	maybe := func(f func()) {
		if random.IntN(4) == 0 {
			f()
		}
	}
	some := func() catalog.Session { return all[random.IntN(len(all))] }
	when := func() time.Time {
		s := some()
		return []time.Time{s.Start, s.Start.Add(time.Hour), s.End, s.Start.Add(time.Nanosecond)}[random.IntN(4)]
	}
	texts := []string{"ann", "EXAMPLE com", "windows", "windows v2", "win*", "müller", "mül*", "büro ubuntu", "4711", "legacy", "legacy fig*", "k", "quoted x", "nothing", "s00*", "legacy windows 2019"}
	values := func(of func(catalog.Session) string) (values []string) {
		for range random.IntN(3) {
			values = append(values, of(some()))
		}
		return values
	}
	scope := func() *catalog.Scope {
		s := &catalog.Scope{All: random.IntN(9) == 0}
		for range random.IntN(4) {
			p := catalog.Part{
				Stacks: values(func(s catalog.Session) string { return s.Stack }), Fleets: values(func(s catalog.Session) string { return s.Fleet }),
				Users: values(func(s catalog.Session) string { return s.User }),
			}
			maybe(func() { p.Groups = append(some().Groups, "g9") })
			s.Parts = append(s.Parts, p)
		}
		return s
	}
	hits := 0
	for range 250 {
		var f catalog.Filter
		maybe(func() { f.User = some().User })
		maybe(func() { f.Fleet = some().Fleet })
		maybe(func() { f.Stack = some().Stack })
		maybe(func() { f.Instance = some().Instance })
		maybe(func() { f.States = []catalog.SessionState{some().State} })
		maybe(func() { f.States = append(f.States, some().State) })
		maybe(func() { f.StartedAfter = when() })
		maybe(func() { f.StartedBefore = when() })
		maybe(func() { f.EndedAfter = when() })
		maybe(func() { f.EndedBefore = when() })
		maybe(func() { f.ActiveAt = when() })
		maybe(func() { f.Text = texts[random.IntN(len(texts))] })
		maybe(func() { f.Order = []catalog.Order{catalog.OrderEnd, catalog.OrderUser}[random.IntN(2)] })
		maybe(func() { f.Scope = scope() })
		f.Ascending = random.IntN(2) == 0
		c.SetBudget([]int{1, 10, 2000}[random.IntN(3)])
		want := expected(f, all)
		hits += len(want)
		if got := listAll(t, c, f, 1+random.IntN(40)); !slices.Equal(got, want) {
			t.Fatalf("%+v:\n%v, want\n%v", f, got, want)
		}
	}
	if hits < 200 {
		t.Errorf("%d sessions were found in all, which proves little", hits)
	}
}

func fleets(names ...string) *catalog.Scope {
	return &catalog.Scope{Parts: []catalog.Part{{Fleets: names}}}
}

func join(s *catalog.Scope, parts ...catalog.Part) *catalog.Scope {
	joined := s.Join(catalog.Scope{Parts: parts})
	return &joined
}

// Every way to find sessions is gone by one of these.
func testWays(t *testing.T, open opener) {
	c := open()
	all := stock(t, c, rand.New(rand.NewPCG(1, 2)), 120)
	day := func(n int) time.Time { return at(float64(n * 86400)) }
	for _, f := range []catalog.Filter{
		{}, {Text: "legacy"}, {Text: "legacy windows"}, {Text: "leg*"}, {Fleet: "f1", Stack: "t1"}, {States: []catalog.SessionState{catalog.SessionComplete}},
		{ActiveAt: all[60].Start.Add(time.Minute)}, {ActiveAt: all[60].Start, Fleet: "f1"}, {ActiveAt: all[30].Start, Text: "windows"},
		{EndedAfter: day(3), EndedBefore: day(20)}, {EndedAfter: day(3), EndedBefore: day(20), Text: "windows"}, {EndedBefore: day(9)}, {EndedAfter: day(9)},
		{StartedAfter: day(3), StartedBefore: day(9)}, {StartedAfter: day(30)}, {StartedAfter: day(9), StartedBefore: day(3)},
		{EndedAfter: day(3), ActiveAt: day(4)}, {EndedBefore: day(3), ActiveAt: day(4)},
		{Scope: &catalog.Scope{}}, {Scope: &catalog.Scope{Parts: []catalog.Part{{Groups: []string{"g0"}}}}, Fleet: "f1"},
		{Scope: &catalog.Scope{Parts: []catalog.Part{{Stacks: []string{"t0"}, Fleets: []string{"f0", "f2"}}, {Users: []string{"Ann"}}, {}}}, ActiveAt: all[60].Start},
		{Scope: fleets("f0", "f2", "f0")}, {Scope: fleets("f0", "", "\x00")}, {Scope: fleets("f0", "f2"), States: []catalog.SessionState{catalog.SessionComplete}},
		{Scope: fleets("f0", "f2"), Stack: "t1"}, {Scope: fleets("f0", "f2"), Text: "windows"}, {Scope: fleets("f0", "f2"), EndedAfter: day(3), EndedBefore: day(20)},
		{Scope: join(fleets("f0", "f2"), catalog.Part{Stacks: []string{"t0"}}, catalog.Part{Users: []string{"Ann", "Bob"}})},
		{Scope: join(fleets("f0", "f2"), catalog.Part{Stacks: []string{"t0"}}), EndedAfter: day(3)},
		{Scope: join(fleets("f0", "f2"), catalog.Part{Fleets: []string{"f1"}}), EndedAfter: day(3), EndedBefore: day(9), StartedBefore: day(8)},
		{Scope: &catalog.Scope{Parts: []catalog.Part{{Fleets: []string{"f0", "f2"}, Groups: []string{"g0"}}, {Fleets: []string{"f1"}, Users: []string{"Ann"}}}}, EndedBefore: day(9)},
		{Scope: &catalog.Scope{Parts: []catalog.Part{{Stacks: []string{"t0", "t1"}, Users: []string{"Ann"}}}}, EndedBefore: day(9)},
		{ActiveAt: all[60].Start, Text: "legacy win*"}, {EndedAfter: day(3), EndedBefore: day(9), Text: "exam* f1"},
	} {
		for _, order := range []catalog.Order{catalog.OrderStart, catalog.OrderEnd, catalog.OrderUser} {
			for _, budget := range []int{1, 2000} {
				for _, f.Ascending = range []bool{false, true} {
					f.Order = order
					c.SetBudget(budget)
					if got, want := listAll(t, c, f, 7), expected(f, all); !slices.Equal(got, want) {
						t.Errorf("%+v with budget %d:\n%v, want\n%v", f, budget, got, want)
					}
				}
			}
		}
	}
}

// What a session is found by changes with it.
func testFoundByChange(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	find := func(f catalog.Filter, want bool) {
		t.Helper()
		if got := listAll(t, c, f, 5); (len(got) == 1) != want {
			t.Errorf("%+v finds %v", f, got)
		}
	}
	recording := catalog.Filter{States: []catalog.SessionState{catalog.SessionRecording}}
	find(recording, false)
	find(catalog.Filter{ActiveAt: at(99)}, true)
	find(catalog.Filter{Text: "later"}, false)
	report(t, c, "a", 1)
	find(recording, true)
	if _, err := c.AppendEvents(ctx, "a", []catalog.Event{{Number: 3, Metadata: map[string]string{"k": "much LATER"}}}); err != nil {
		t.Fatal(err)
	}
	find(catalog.Filter{Text: "later"}, true)
	find(catalog.Filter{Text: "v"}, false)
	if err := c.LoseSession(ctx, "a", at(40), "gone"); err != nil {
		t.Fatal(err)
	}
	find(recording, false)
	if err := c.CloseLost(ctx, "a", at(20), nil); err != nil {
		t.Fatal(err)
	}
	find(catalog.Filter{ActiveAt: at(99)}, false)
	find(catalog.Filter{ActiveAt: at(19)}, true)
	find(catalog.Filter{EndedAfter: at(20), EndedBefore: at(21)}, true)
	c.SetBudget(0)
	find(catalog.Filter{ActiveAt: at(19)}, true)
	find(catalog.Filter{EndedAfter: at(20), EndedBefore: at(21)}, true)
}

func testBadFilters(t *testing.T, open opener) {
	c := open()
	create(t, c, "a")
	for _, text := range []string{"***", "-", "ab*", strings.Repeat("word ", 17)} {
		_, _, err := c.ListSessions(t.Context(), catalog.Filter{Text: text}, 5, "")
		var wrong *catalog.FilterError
		if !errors.As(err, &wrong) || wrong.Field != "text" {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, odd := range []string{"\x00", "\xff", strings.Repeat("x", 64<<10), "'; DROP TABLE sessions; --"} {
		for _, f := range []catalog.Filter{{User: odd}, {Instance: odd}, {Text: "x" + odd}, {Fleet: odd, Order: catalog.OrderUser}} {
			if found, _, err := c.ListSessions(t.Context(), f, 5, ""); err != nil || len(found) != 0 {
				t.Errorf("%.20q: %v, %v", odd, found, err)
			}
		}
	}
}

// Sessions may have any text in them that a database takes, and as much of it as is allowed.
func testOddTexts(t *testing.T, open opener) {
	c := open()
	s := newSession("a")
	s.User = "' \" \\ % _ ( ) * & | ! : < > \u200b \U0001F600 §k 你好 हिन्दी"
	for i := range catalog.MaxMetadata {
		s.Metadata[fmt.Sprint(i)] = strings.Repeat(fmt.Sprintf("w%d ", i), 800) + strings.Repeat("ü", 200)
	}
	if _, _, err := c.CreateSession(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for i, f := range []catalog.Filter{{User: s.User}, {Text: "你好"}, {Text: "हिन्दी"}, {Text: "W63"}, {Text: strings.Repeat("Ü", 200)}} {
		if got := listAll(t, c, f, 5); len(got) != 1 {
			t.Errorf("filter %d finds %v", i, got)
		}
	}
}

// Sessions from before listings were what they are take their places.
func testUpgrade(t *testing.T, open opener) {
	c := open()
	var old []catalog.Session
	for i := range 2500 {
		s := newSession(fmt.Sprintf("s%04d", i))
		s.State, s.Start = catalog.SessionComplete, at(float64(i/1500)) // many start together
		s.End = s.Start.Add(time.Minute)
		s.Metadata = map[string]string{"n": fmt.Sprintf("n%d", i%7)}
		old = append(old, s)
	}
	if err := c.Downgrade(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	c = open()
	for _, f := range []catalog.Filter{{Ascending: true}, {Text: "n3", Ascending: true}, {ActiveAt: at(30), Ascending: true}} {
		var want []string
		for i, s := range old {
			if f.Text == "" || i%7 == 3 {
				want = append(want, s.ID)
			}
		}
		if got := listAll(t, c, f, 500); !slices.Equal(got, want) {
			t.Errorf("%+v: %d sessions, want %d", f, len(got), len(want))
		}
	}
	create(t, c, "new")
	if got := listAll(t, c, catalog.Filter{States: []catalog.SessionState{catalog.SessionStarting}}, 5); !slices.Equal(got, []string{"new"}) {
		t.Errorf("%v", got)
	}
}

func testListRecordings(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	create(t, c, "a")
	addSegments(t, c, "a", 1, 2, 3, 4, 5)
	archive(t, c, "e", 3, at(20))
	var got []int
	token := ""
	for {
		page, next, err := c.ListRecordings(ctx, "a", 2, token)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range page {
			got = append(got, s.Segment)
		}
		if token = next; token == "" {
			break
		}
	}
	if !slices.Equal(got, []int{1, 2, 3}) {
		t.Errorf("%v", got)
	}
	_, next, err := c.ListRecordings(ctx, "a", 1, "")
	if err != nil || next == "" {
		t.Fatal(next, err)
	}
	create(t, c, "b")
	for _, token := range []string{"x", "====", "Yi4w", "Yi4xeA", strings.Repeat("x", 1000), next} {
		_, _, err := c.ListRecordings(ctx, "b", 1, token)
		wantErr(t, err, catalog.ErrPageToken)
	}
	_, _, err = c.ListRecordings(ctx, "none", 1, "")
	wantErr(t, err, catalog.ErrNotFound)
}

func testLoad(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	var some []catalog.Detail
	for i := range 3000 {
		s := newSession(fmt.Sprintf("s%04d", i))
		s.State, s.Start, s.LastSegment = catalog.SessionComplete, at(float64(i/2)), 1
		s.End = s.Start.Add(time.Hour)
		g := catalog.Segment{Session: s.ID, Seal: seal(s.ID, 1), State: catalog.SegmentArchived, SealedBy: catalog.PartyAgent, Recording: recording("k", "e"), Purged: true}
		some = append(some, catalog.Detail{
			Session: s, Segments: []catalog.Segment{g}, Gaps: []catalog.Gap{{Start: s.Start, End: s.End, Cause: "x"}},
			Epochs: []catalog.Epoch{{Number: 1, Start: s.Start, Geometry: catalog.Geometry{Width: 1, Height: 1, Monitors: []catalog.Monitor{{Name: "m"}}}, Cause: "start"}},
		})
	}
	err := c.Load(ctx, func(add func([]catalog.Detail) error) error { return errors.Join(add(some[:1000]), add(some[1000:])) })
	if err != nil {
		t.Fatal(err)
	}
	if got := listAll(t, c, catalog.Filter{Ascending: true, Text: "v"}, 500); len(got) != 3000 || !slices.IsSorted(got) {
		t.Errorf("%d sessions", len(got))
	}
	d, err := c.Detail(ctx, "s2999")
	if err != nil || len(d.Gaps) != 1 || len(d.Epochs) != 1 || len(d.Segments) != 1 || fmt.Sprint(d.Segments[0]) != fmt.Sprint(some[2999].Segments[0]) {
		t.Errorf("%+v, %v", d, err)
	}
	create(t, c, "new")
	wantErr(t, c.Load(ctx, func(func([]catalog.Detail) error) error { return nil }), catalog.ErrConflict)
}

// Whatever is looked for, it is named as wrong or looked for.
func FuzzText(f *testing.F) {
	c, err := catalog.Open(f.Context(), f.TempDir()+"/c.db")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { c.Close() })
	for _, text := range []string{"ann", "smi*", `a"b AND NOT c`, "'x':*", "\x00\xff", "§k", "ﬀ Ⅷ ² हिन्दी", "NEAR(a b)", "İstanbul ẞ"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := newSession("a" + fmt.Sprint(len(text)))
		s.RequestID, s.User = text, text
		if _, _, err := c.CreateSession(t.Context(), s); err != nil && !errors.Is(err, catalog.ErrConflict) {
			t.Fatal(err)
		}
		_, _, err := c.ListSessions(t.Context(), catalog.Filter{Text: text}, 5, "")
		var wrong *catalog.FilterError
		if err != nil && !errors.As(err, &wrong) {
			t.Errorf("%q: %v", text, err)
		}
	})
}
