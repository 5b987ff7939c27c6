package sessions

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/ingest"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/object"
)

// streams is a bus that notes for which sessions it has streams and rights.
type streams struct {
	made    map[string]int
	granted []string
	away    bool
}

func (s *streams) CreateSession(_ context.Context, session string, _ int64) error {
	if s.away {
		return errors.New("no route")
	}
	s.made[session]++
	return nil
}

func (s *streams) GrantAgent(_, session string) (bus.Grant, error) {
	s.granted = append(s.granted, session)
	return bus.Grant{}, nil
}

// custody answers for segments as it is told.
type custody map[int]struct {
	outcome ingest.Outcome
	err     error
}

func (c custody) Take(_ context.Context, _ string, segment int) (ingest.Outcome, error) {
	return c[segment].outcome, c[segment].err
}

type fixture struct {
	*Sessions
	catalog *catalog.Catalog
	bus     *streams
	custody custody
	space   error
	seen    []string
	ended   int
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	c, err := catalog.Open(t.Context(), filepath.Join(t.TempDir(), "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	template, err := object.ParseTemplate("{fleet}/{username}/{session_id}/")
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{catalog: c, bus: &streams{made: map[string]int{}}, custody: custody{}}
	f.Sessions = New(Config{
		Catalog: c, Bus: f.bus, Ingest: f.custody, Settings: Settings{FrameRate: 5, SegmentLength: time.Minute, SegmentBytes: 1 << 20, Template: template},
		Space: func() error { return f.space }, Seen: func(id string) { f.seen = append(f.seen, id) }, Ended: func() { f.ended++ }, Logger: hclog.NewNullLogger(),
	})
	return f
}

func (f *fixture) start(t *testing.T) catalog.Session {
	t.Helper()
	s, _, err := f.Start(t.Context(), Start{RequestID: "request", User: "../ann", Fleet: "f", Time: time.Now(), BusPublicKey: "U"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOneRequestIsOneSession(t *testing.T) {
	f := newFixture(t)
	f.space = ErrNoSpace
	if _, _, err := f.Start(t.Context(), Start{RequestID: "request", Time: time.Now()}); !errors.Is(err, ErrNoSpace) {
		t.Errorf("%v", err)
	}
	f.space = nil
	first := f.start(t)
	f.space = ErrNoSpace // does not concern a session that is there
	again := f.start(t)
	if first.ID != again.ID || f.bus.made[first.ID] != 2 || len(f.bus.granted) != 2 || len(f.seen) != 2 {
		t.Errorf("%s, %s, %+v, %v", first.ID, again.ID, f.bus, f.seen)
	}
	if got := first.ArchivePrefix; strings.Contains("/"+got, "/../") || !strings.HasSuffix(got, "/"+first.ID+"/") || !strings.HasPrefix(got, "f/") {
		t.Errorf("folder %q", got)
	}
	if err := f.End(t.Context(), first.ID, catalog.End{Time: time.Now()}); err != nil || f.ended != 1 {
		t.Fatal(f.ended, err)
	}
	if _, _, err := f.Start(t.Context(), Start{RequestID: "request"}); !errors.Is(err, catalog.ErrEnded) {
		t.Errorf("%v", err)
	}
}

func TestABusThatIsAwayIsTriedAgain(t *testing.T) {
	f := newFixture(t)
	f.bus.away = true
	start := Start{RequestID: "request", Time: time.Now()}
	if _, _, err := f.Start(t.Context(), start); !errors.Is(err, ErrBus) {
		t.Errorf("%v", err)
	}
	f.bus.away = false
	if s, _, err := f.Start(t.Context(), start); err != nil || f.bus.made[s.ID] != 1 {
		t.Error(f.bus, err)
	}
}

func TestSyncSaysWhatIsToBeDone(t *testing.T) {
	f := newFixture(t)
	s, ctx := f.start(t), t.Context()
	for n := 1; n <= 20; n++ {
		f.custody[n] = struct {
			outcome ingest.Outcome
			err     error
		}{outcome: ingest.Outcome{Receipt: &ingest.Receipt{Segment: n}}}
	}
	f.custody[2] = struct {
		outcome ingest.Outcome
		err     error
	}{outcome: ingest.Outcome{Missing: []int{3, 4}}}
	f.custody[3] = struct {
		outcome ingest.Outcome
		err     error
	}{err: ingest.ErrFork}
	orders, err := f.Sync(ctx, s.ID, Beat{Frames: 1, Awaiting: []int{20, 3, 2, 1, 1, 4}, BusPublicKey: "U"})
	if err != nil || len(orders.Receipts) != 3 || len(orders.Missing[2]) != 2 || orders.Bus == nil || orders.Stop != "" {
		t.Errorf("%+v, %v", orders, err)
	}
	var many []int
	for n := range 20 {
		many = append(many, n+1)
	}
	if orders, err = f.Sync(ctx, s.ID, Beat{Awaiting: many}); err != nil || len(orders.Receipts) != receiptsAtOnce-2 || orders.Bus != nil {
		t.Errorf("%+v, %v", orders, err)
	}
	if got, err := f.catalog.Session(ctx, s.ID); err != nil || got.State != catalog.SessionRecording {
		t.Error(got.State, err)
	}
	if got, err := f.Stop(ctx, s.ID, "enough"); err != nil || got.StopReason != "enough" {
		t.Error(got, err)
	}
	if orders, err = f.Sync(ctx, s.ID, Beat{}); err != nil || orders.Stop != "enough" {
		t.Errorf("%+v, %v", orders, err)
	}
	before := len(f.seen)
	if err := f.catalog.LoseSession(ctx, s.ID, time.Now(), "silent"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Sync(ctx, s.ID, Beat{}); !errors.Is(err, catalog.ErrEnded) || len(f.seen) != before {
		t.Errorf("a session that was given up got orders: %v", err)
	}
	if _, err := f.Sync(ctx, "unknown", Beat{}); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("%v", err)
	}
}
