package ingest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/chunk"
)

const session = "s1"

var base = time.Unix(1_700_000_000, 0).UTC()

// segment makes n chunks of 10 bytes, 2 s and 10 frames each, beginning 100 s after the segment before.
func segment(number, n int, chain chunk.Hash) (catalog.Seal, []chunk.Chunk) {
	start := base.Add(time.Duration(number-1) * 100 * time.Second)
	seal := catalog.Seal{
		Segment: number, Epoch: 1, Start: start, End: start.Add(time.Duration(n) * 2 * time.Second), Width: 8, Height: 8, Frames: int64(10 * n),
		Chunks: n, Bytes: int64(10 * n), ChainStart: chain,
	}
	var chunks []chunk.Chunk
	for seq := range n {
		sum := chunk.Sum([]byte(fmt.Sprint(number, seq)))
		chain = chain.Next(sum)
		chunks = append(chunks, chunk.Chunk{
			Session: session, Segment: number, Seq: seq, Epoch: 1, Offset: int64(10 * seq), Bytes: 10, Sum: sum, Chain: chain, Frames: int64(10 * (seq + 1)),
			Start: start, LastFrame: start.Add(time.Duration(seq+1)*2*time.Second - 200*time.Millisecond), Width: 8, Height: 8,
		})
	}
	seal.ChainEnd = chain
	return seal, chunks
}

func TestVerify(t *testing.T) {
	seal, whole := segment(1, 4, chunk.Genesis(session))
	_, other := segment(2, 4, chunk.Genesis(session))
	replaced := func(n int, f func(c *chunk.Chunk)) []chunk.Chunk {
		chunks := slices.Clone(whole)
		f(&chunks[n])
		return chunks
	}
	extra := whole[3]
	extra.Seq = 4
	for name, test := range map[string]struct {
		headers []chunk.Chunk
		missing []int
		fork    bool
	}{
		"whole":           {whole, nil, false},
		"nothing":         {nil, []int{0, 1, 2, 3}, false},
		"first missing":   {whole[1:], []int{0}, false},
		"last missing":    {whole[:3], []int{3}, false},
		"holes":           {[]chunk.Chunk{whole[1], whole[3]}, []int{0, 2}, false},
		"beyond the seal": {append(slices.Clone(whole), extra), nil, false},
		"hole and beyond": {[]chunk.Chunk{whole[0], whole[1], whole[2], extra}, []int{3}, false},
		"other sum":       {replaced(2, func(c *chunk.Chunk) { c.Sum = other[2].Sum }), nil, true},
		"other chain":     {replaced(2, func(c *chunk.Chunk) { c.Chain = other[2].Chain }), nil, true},
		"other end":       {replaced(3, func(c *chunk.Chunk) { c.Sum = other[3].Sum; c.Chain = whole[2].Chain.Next(c.Sum) }), nil, true},
		"other offset":    {replaced(1, func(c *chunk.Chunk) { c.Offset++ }), nil, true},
		"other size":      {replaced(3, func(c *chunk.Chunk) { c.Bytes++ }), nil, true},
		"another segment": {other, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			missing, err := verify(seal, test.headers)
			if !slices.Equal(missing, test.missing) || errors.Is(err, ErrFork) != test.fork {
				t.Errorf("%v, %v", missing, err)
			}
		})
	}
}

// shelf is a bus that holds what a test puts on it.
type shelf map[int][]chunk.Chunk

func (s shelf) Headers(_ context.Context, _ string, n int) ([]chunk.Chunk, error) { return s[n], nil }
func (s shelf) Segments(context.Context, string) (map[int]int, error) {
	counts := map[int]int{}
	for n, chunks := range s {
		if len(chunks) > 0 {
			counts[n] = len(chunks)
		}
	}
	return counts, nil
}

func open(t *testing.T, seals ...catalog.Seal) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Open(t.Context(), filepath.Join(t.TempDir(), "c.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, _, err := c.CreateSession(t.Context(), catalog.Session{ID: session, RequestID: "r", FrameRate: 5, Start: base, Created: base}); err != nil {
		t.Fatal(err)
	}
	var events []catalog.Event
	for i := range seals {
		events = append(events, catalog.Event{Number: int64(i + 1), Time: base, Seal: &seals[i]})
	}
	if _, err := c.AppendEvents(t.Context(), session, events); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTakeChecksTheSegmentBefore(t *testing.T) {
	first, one := segment(1, 2, chunk.Genesis(session))
	stranger, two := segment(2, 2, chunk.Genesis("another"))
	added := 0
	i := New(open(t, first, stranger), shelf{1: one, 2: two}, func() { added++ }, hclog.NewNullLogger())
	if _, err := i.Take(t.Context(), session, 2); !errors.Is(err, ErrFork) {
		t.Errorf("a segment of another chain: %v", err)
	}
	for range 2 {
		got, err := i.Take(t.Context(), session, 1)
		if err != nil || got.Receipt == nil || *got.Receipt != (Receipt{1, 2, first.ChainEnd}) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if added != 1 {
		t.Errorf("%d jobs announced", added)
	}
	if got, err := i.Take(t.Context(), session, 3); err != nil || got.Receipt != nil || got.Missing != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestSalvage(t *testing.T) {
	genesis := chunk.Genesis(session)
	s1, c1 := segment(1, 4, genesis)
	s2, c2 := segment(2, 4, s1.ChainEnd)
	s3, c3 := segment(3, 4, s2.ChainEnd)
	type sealed struct {
		number, chunks int
		frames         int64
		broken         bool
	}
	torn := slices.Clone(c2)
	torn[2].Chain = c1[2].Chain
	moved := slices.Clone(c2)
	moved[0].Offset = 7
	frameless := slices.Clone(c1[:1])
	frameless[0].Frames = 0
	insane := slices.Clone(c1)
	insane[3].Width = 1 << 20
	backwards := slices.Clone(c1)
	backwards[3].LastFrame = base.Add(-time.Second)
	for name, test := range map[string]struct {
		seals []catalog.Seal
		bus   shelf
		want  []sealed
	}{
		"nothing":                 {nil, shelf{}, nil},
		"open segment":            {nil, shelf{1: c1[:3]}, []sealed{{1, 3, 30, false}}},
		"hole":                    {nil, shelf{1: {c1[0], c1[2]}}, []sealed{{1, 1, 10, false}}},
		"no beginning":            {nil, shelf{1: c1[1:]}, nil},
		"no frame":                {nil, shelf{1: frameless}, nil},
		"insane size":             {nil, shelf{1: insane}, nil},
		"time runs backwards":     {nil, shelf{1: backwards}, nil},
		"sealed, complete":        {[]catalog.Seal{s1}, shelf{1: c1, 2: c2[:2]}, []sealed{{1, 4, 40, false}, {2, 2, 20, false}}},
		"sealed, incomplete":      {[]catalog.Seal{s1, s2}, shelf{1: c1[:2], 2: c2}, []sealed{{1, 2, 20, false}, {2, 4, 40, false}}},
		"sealed, absent":          {[]catalog.Seal{s1, s2, s3}, shelf{1: c1, 3: c3}, []sealed{{1, 4, 40, false}, {3, 4, 40, false}}},
		"never sealed, three":     {nil, shelf{1: c1, 2: c2, 3: c3[:1]}, []sealed{{1, 4, 40, false}, {2, 4, 40, false}, {3, 1, 10, false}}},
		"tail missing":            {nil, shelf{1: c1[:3], 2: c2, 3: c3[:2]}, []sealed{{1, 3, 30, false}, {2, 4, 40, true}, {3, 2, 20, false}}},
		"two tails missing":       {nil, shelf{1: c1[:3], 2: c2[:2], 3: c3[:2]}, []sealed{{1, 3, 30, false}, {2, 2, 20, true}, {3, 2, 20, true}}},
		"hole, then the next":     {nil, shelf{1: {c1[0], c1[2], c1[3]}, 2: c2}, []sealed{{1, 1, 10, false}, {2, 4, 40, true}}},
		"absent, then the next":   {nil, shelf{2: c2}, []sealed{{2, 4, 40, true}}},
		"headless, then the next": {nil, shelf{1: c1[1:], 2: c2}, []sealed{{2, 4, 40, true}}},
		"next without a head":     {nil, shelf{1: c1[:3], 2: c2[1:]}, []sealed{{1, 3, 30, false}}},
		"next with a wrong head":  {nil, shelf{1: c1[:3], 2: moved}, []sealed{{1, 3, 30, false}}},
		"next torn itself":        {nil, shelf{1: c1[:3], 2: torn}, []sealed{{1, 3, 30, false}, {2, 2, 20, true}}},
		"next after a seal":       {[]catalog.Seal{s1}, shelf{1: c1[:3], 2: c3}, []sealed{{1, 3, 30, false}}},
		"forked":                  {[]catalog.Seal{s1}, shelf{1: {c1[0], c2[1], c1[2], c1[3]}}, []sealed{{1, 1, 10, false}}},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, test.seals...)
			if err := c.LoseSession(t.Context(), session, base, "lost"); err != nil {
				t.Fatal(err)
			}
			i := New(c, test.bus, func() {}, hclog.NewNullLogger())
			for range 2 { // the second time as after a crash
				s, err := c.Session(t.Context(), session)
				if err == nil {
					err = i.Salvage(t.Context(), s)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			var got []sealed
			segments, err := c.Segments(t.Context(), session)
			for _, g := range segments {
				got = append(got, sealed{g.Segment, g.Chunks, g.Frames, g.ChainBroken()})
				if whole := g.Chunks == 4; g.SealedBy != catalog.PartyCoordinator || g.Bytes != int64(10*g.Chunks) ||
					!whole && !g.End.Equal(test.bus[g.Segment][g.Chunks-1].LastFrame.Add(200*time.Millisecond)) {
					t.Errorf("%+v", g)
				}
			}
			if err != nil || !slices.Equal(got, test.want) {
				t.Errorf("sealed %v, %v, want %v", got, err, test.want)
			}
		})
	}
}

func TestSegmentsJoinUp(t *testing.T) {
	at := func(ms int) time.Time { return base.Add(time.Duration(ms) * time.Millisecond) }
	link := chunk.Genesis(session)
	seals := []catalog.Seal{
		{Segment: 1, Start: at(0), End: at(1000), ChainStart: link},
		{Segment: 2, Start: at(1300), End: at(2000), ChainStart: link},
		{Segment: 3, Start: at(2500), End: at(3000), ChainStart: link},
		{Segment: 5, Start: at(3001), End: at(4000), ChainStart: link},
		{Segment: 6, Start: at(4001)},
	}
	joinUp(seals, 5)
	for n, want := range []int{1300, 2000, 3000, 4000} {
		if !seals[n].End.Equal(at(want)) {
			t.Errorf("segment %d ends at %v", seals[n].Segment, seals[n].End)
		}
	}
}
