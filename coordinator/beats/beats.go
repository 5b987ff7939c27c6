// Package beats lets every coordinator know when agents were last heard of, whichever of them heard it.
//
// What comes in are the signs of life that this coordinator hears. They go out to the catalog every few seconds, all in one
// write; where this coordinator watches the sessions for all, its own go to the watch at once and those of others as they
// come to the catalog. What always holds: what others heard is taken by its change, never by its time, so that clocks that differ
// do no harm; what was heard before this coordinator began to watch is no sign of life.
package beats

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/duty"
)

// tidyEvery is how often what is kept of ended sessions is dropped.
const tidyEvery = time.Minute

// Catalog keeps beats; see catalog.Catalog.
type Catalog interface {
	NoteBeats(ctx context.Context, coordinator string, beats []catalog.Beat) error
	BeatsOfOthers(ctx context.Context, coordinator string) ([]catalog.Beat, error)
	ForgetBeats(ctx context.Context) error
}

// Watch is told of agents while this coordinator watches; see watch.Watch.
type Watch interface {
	Seen(session string)
	Frames(session string, count int64, idle time.Duration)
}

// Config is what Beats needs.
type Config struct {
	Catalog Catalog
	Watch   Watch
	// Self names this coordinator.
	Self string
	// Every is how often beats are written down and read: well below the time after which an agent counts as silent.
	Every  time.Duration
	Logger hclog.Logger
}

// Beats is safe for concurrent use.
type Beats struct {
	cfg Config

	mu      sync.Mutex
	unsaid  map[string]catalog.Beat // heard since the last write
	leading time.Time               // since when this coordinator watches; zero where it does not
}

// New returns Beats that have heard nothing.
func New(cfg Config) *Beats { return &Beats{cfg: cfg, unsaid: map[string]catalog.Beat{}} }

// Seen notes that a session's agent was heard of now.
func (b *Beats) Seen(session string) {
	b.mu.Lock()
	beat, ok := b.unsaid[session]
	if !ok {
		beat = catalog.Beat{Session: session, Idle: -1, Frames: -1}
	}
	beat.Seen = time.Now()
	b.unsaid[session] = beat
	leading := !b.leading.IsZero()
	b.mu.Unlock()
	if leading {
		b.cfg.Watch.Seen(session)
	}
}

// Synced notes what a session's agent says of itself now.
func (b *Beats) Synced(beat catalog.Beat) {
	beat.Seen = time.Now()
	b.mu.Lock()
	b.unsaid[beat.Session] = beat
	leading := !b.leading.IsZero()
	b.mu.Unlock()
	if leading {
		b.tell(beat)
	}
}

// tell passes a sign of life on to the watch.
func (b *Beats) tell(beat catalog.Beat) {
	b.cfg.Watch.Seen(beat.Session)
	if beat.Frames >= 0 {
		b.cfg.Watch.Frames(beat.Session, beat.Frames, max(beat.Idle, 0)) // a user who is not known to be idle is taken for active
	}
}

// Run writes down what is heard until ctx is done.
func (b *Beats) Run(ctx context.Context) error {
	return duty.Duty{Every: b.cfg.Every, Step: b.Save, Logger: b.cfg.Logger}.Run(ctx)
}

// Save writes down what was heard since the last time.
func (b *Beats) Save(ctx context.Context) error {
	b.mu.Lock()
	unsaid := b.unsaid
	b.unsaid = make(map[string]catalog.Beat, len(unsaid))
	b.mu.Unlock()
	if len(unsaid) == 0 {
		return nil
	}
	beats := make([]catalog.Beat, 0, len(unsaid))
	for _, beat := range unsaid {
		beats = append(beats, beat)
	}
	err := b.cfg.Catalog.NoteBeats(ctx, b.cfg.Self, beats)
	if err == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, beat := range unsaid {
		if _, newer := b.unsaid[id]; !newer {
			b.unsaid[id] = beat
		}
	}
	return err
}

// Follow tells the watch of this coordinator what all of them hear, until ctx is done. One coordinator does it at a time,
// together with the watch.
func (b *Beats) Follow(ctx context.Context) error {
	b.lead(time.Now())
	defer b.lead(time.Time{})
	f := follower{beats: b, known: map[string]time.Time{}}
	return duty.Duty{Every: b.cfg.Every, Step: f.step, Logger: b.cfg.Logger}.Run(ctx)
}

func (b *Beats) lead(since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leading = since
}

// follower reads what others hear.
type follower struct {
	beats  *Beats
	known  map[string]time.Time
	begun  bool
	tidied time.Time
}

func (f *follower) step(ctx context.Context) error {
	found, err := f.beats.cfg.Catalog.BeatsOfOthers(ctx, f.beats.cfg.Self)
	if err != nil {
		return err
	}
	now := make(map[string]time.Time, len(found))
	for _, beat := range found {
		now[beat.Session] = beat.Seen
		if f.begun && !f.known[beat.Session].Equal(beat.Seen) {
			f.beats.tell(beat)
		}
	}
	f.known, f.begun = now, true
	if time.Since(f.tidied) < tidyEvery {
		return nil
	}
	f.tidied = time.Now()
	return f.beats.cfg.Catalog.ForgetBeats(ctx)
}

// Leads returns since when the watch of this coordinator is told; zero where it is not.
func (b *Beats) Leads() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.leading
}
