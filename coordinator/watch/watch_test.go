package watch

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

type nothing struct{}

func (nothing) Salvage(context.Context, catalog.Session) error { return nil }

// watched is a watch over one session that records, on an open catalog.
func watched(t *testing.T) (*Watch, *catalog.Catalog) {
	t.Helper()
	c, err := catalog.Open(t.Context(), filepath.Join(t.TempDir(), "c.db"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	if _, _, err := c.CreateSession(t.Context(), catalog.Session{ID: "a", RequestID: "r", FrameRate: 5, Start: now, Created: now}); err != nil {
		t.Fatal(err)
	}
	return New(Config{
		Catalog: c, Salvager: nothing{}, Patience: 30 * time.Second, GiveUp: 15 * time.Minute, Closed: func() {}, Logger: hclog.NewNullLogger(),
	}), c
}

func TestPhasesOfSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := watched(t)
		defer c.Close()
		began := time.Now()
		at := func(after time.Duration, seen, wantSilent, wantLost bool) {
			t.Helper()
			time.Sleep(time.Until(began.Add(after)))
			if seen {
				w.Seen("a")
			}
			if err := w.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
			s, err := c.Session(t.Context(), "a")
			if err != nil || !s.Silent.IsZero() != wantSilent || (s.EndedBy == catalog.PartyCoordinator) != wantLost {
				t.Errorf("after %v: %+v, %v", after, s, err)
			}
		}
		walk := func(from, to time.Duration, wantSilent bool) {
			t.Helper()
			for d := from; d < to; d += 4 * time.Second {
				at(d, false, wantSilent, false)
			}
		}
		at(0, true, false, false)
		walk(time.Second, 29*time.Second, false)
		walk(30*time.Second, 899*time.Second, true)
		at(899*time.Second, true, false, false) // back in the last moment
		walk(900*time.Second, 928*time.Second, false)
		walk(929*time.Second, 1798*time.Second, true)
		// The process stands still for an hour: no agent could be heard, and there is time left.
		at(1798*time.Second+time.Hour, false, true, false)
		at(1799*time.Second+time.Hour, false, true, false)
		at(1803*time.Second+time.Hour, false, true, true)
	})
}

// After the coordinator's own restart a silent agent is still silent until it is heard of, and has a fresh while.
func TestSilenceOutlastsTheCoordinator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := watched(t)
		defer c.Close()
		silent := func() bool {
			t.Helper()
			if err := w.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
			s, err := c.Session(t.Context(), "a")
			if err != nil || s.EndedBy == catalog.PartyCoordinator {
				t.Fatalf("%+v, %v", s, err)
			}
			return !s.Silent.IsZero()
		}
		w.Seen("a")
		for silent(); time.Since(w.signs["a"].at) < w.cfg.GiveUp-time.Minute; silent() {
			time.Sleep(every)
		}
		if !silent() {
			t.Fatal("the session does not say that its agent is silent")
		}
		w = New(w.cfg)
		for range 120 {
			if !silent() {
				t.Fatal("the restart was taken for a sign of life")
			}
			time.Sleep(every)
		}
		w.Seen("a")
		if silent() {
			t.Error("the session still says that its agent is silent")
		}
	})
}
