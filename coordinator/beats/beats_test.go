package beats_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/recfleet/recfleet/coordinator/beats"
	"github.com/recfleet/recfleet/coordinator/catalog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// watcher counts what it is told.
type watcher struct {
	mu     sync.Mutex
	seen   map[string]int
	frames map[string]int64
	idle   map[string]time.Duration
}

func newWatcher() *watcher {
	return &watcher{seen: map[string]int{}, frames: map[string]int64{}, idle: map[string]time.Duration{}}
}

func (w *watcher) Seen(session string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[session]++
}

func (w *watcher) Frames(session string, count int64, idle time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frames[session], w.idle[session] = count, idle
}

func (w *watcher) times(session string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[session]
}

// fickle is a catalog that fails when it is told to.
type fickle struct {
	beats.Catalog
	err error
}

func (f *fickle) NoteBeats(ctx context.Context, coordinator string, all []catalog.Beat) error {
	if f.err != nil {
		return f.err
	}
	return f.Catalog.NoteBeats(ctx, coordinator, all)
}

func openCatalog(t *testing.T, sessions ...string) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Open(t.Context(), filepath.Join(t.TempDir(), "c.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	for _, id := range sessions {
		if _, _, err := c.CreateSession(t.Context(), catalog.Session{ID: id, RequestID: id, Start: time.Now(), Created: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

const every = 10 * time.Millisecond

func newBeats(c beats.Catalog, self string, w *watcher) *beats.Beats {
	return beats.New(beats.Config{Catalog: c, Watch: w, Self: self, Every: every, Logger: hclog.NewNullLogger()})
}

// follow follows until the test is over.
func follow(t *testing.T, b *beats.Beats) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Follow(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if !b.Leads().IsZero() {
			t.Error("it leads after its end")
		}
	})
	await(t, "it to lead", func() bool { return !b.Leads().IsZero() })
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !done(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited for %s", what)
		}
	}
}

func save(t *testing.T, b *beats.Beats) {
	t.Helper()
	if err := b.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestOneWatchesForAll(t *testing.T) {
	c := openCatalog(t, "mine", "theirs", "before")
	w, idleWatch := newWatcher(), newWatcher()
	first, second := newBeats(c, "first", w), newBeats(c, "second", idleWatch)
	second.Seen("before")
	save(t, second)

	follow(t, first)
	first.Seen("mine")
	if w.times("mine") != 1 {
		t.Error("the watch was not told at once")
	}
	// What comes first to the catalog after this may be what was heard before: only a change is a sign of life.
	await(t, "a change", func() bool {
		second.Synced(catalog.Beat{Session: "theirs", Frames: 7, Idle: time.Second})
		save(t, second)
		return w.times("theirs") > 0
	})
	w.mu.Lock()
	if w.frames["theirs"] != 7 || w.idle["theirs"] != time.Second {
		t.Errorf("%v, %v", w.frames, w.idle)
	}
	w.mu.Unlock()
	if n := w.times("before"); n != 0 {
		t.Errorf("what was heard before it began to watch was told %d times", n)
	}
	if idleWatch.times("before")+idleWatch.times("theirs") != 0 {
		t.Error("a watch was told that nobody follows for")
	}
	second.Seen("before")
	save(t, second)
	await(t, "the second sign", func() bool { return w.times("before") == 1 })
}

func TestFramesThatAreNotKnownAreNotTold(t *testing.T) {
	w := newWatcher()
	b := newBeats(openCatalog(t, "a"), "first", w)
	follow(t, b)
	b.Synced(catalog.Beat{Session: "a", Frames: -1, Idle: time.Hour})
	if _, told := w.frames["a"]; told || w.times("a") != 1 {
		t.Errorf("%v", w.frames)
	}
	b.Synced(catalog.Beat{Session: "a", Frames: 3, Idle: -1})
	if w.frames["a"] != 3 || w.idle["a"] != 0 {
		t.Errorf("%v %v", w.frames, w.idle)
	}
}

func TestWhatCouldNotBeWrittenIsWrittenLater(t *testing.T) {
	c := openCatalog(t, "a", "b")
	away := errors.New("away")
	f := &fickle{Catalog: c, err: away}
	b := newBeats(f, "first", newWatcher())
	b.Synced(catalog.Beat{Session: "a", Frames: 1})
	b.Synced(catalog.Beat{Session: "b", Frames: 1})
	if err := b.Save(t.Context()); !errors.Is(err, away) {
		t.Fatal(err)
	}
	b.Synced(catalog.Beat{Session: "a", Frames: 2})
	f.err = nil
	save(t, b)
	found, err := c.BeatsOfOthers(t.Context(), "second")
	if err != nil || len(found) != 2 {
		t.Fatalf("%v, %v", found, err)
	}
	for _, beat := range found {
		if want := map[string]int64{"a": 2, "b": 1}[beat.Session]; beat.Frames != want {
			t.Errorf("%s has %d frames, want %d", beat.Session, beat.Frames, want)
		}
	}
}
