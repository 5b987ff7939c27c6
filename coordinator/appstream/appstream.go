// Package appstream keeps an eye on the platform's side of sessions: it ends strict ones that are not recorded any more, and
// raises an alarm where a user is connected and nothing is recorded.
//
// What comes in are the policy, the catalog's sessions, how many pictures agents have taken, and what AppStream 2.0 says of the
// stacks and fleets that the policy names; what goes out are ExpireSession calls, alarms in the log, and a State for metrics.
// What always holds: a session is ended only where its own policy says so (mode strict, enforce expire_session) and its
// metadata names the platform's session, which no other session records, and only after this process itself has seen it unrecorded for the whole delay, on its
// monotonic clock; a platform that cannot be asked changes nothing of what is known.
package appstream

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/duty"
	"github.com/recfleet/recfleet/coordinator/policy"
)

const (
	every     = 5 * time.Second
	lookEvery = time.Minute
	// standstill is the longest time between two steps in which agents could be heard all the while.
	standstill = 30 * time.Second
	// stall is how long an agent may speak without taking pictures before its session counts as not recorded, and deaf how
	// long it may say nothing before others judge it.
	stall, deaf = 10 * time.Second, 30 * time.Second

	callTimeout  = 20 * time.Second
	firstBackoff = 5 * time.Second
	maxBackoff   = time.Minute
)

// sessionKey is the metadata under which an agent says which of the platform's sessions its own is.
const sessionKey = "AppStream_Session_ID"

// Platform is AppStream in one region; see Client.
type Platform interface {
	// Expire ends a session. ErrGone says that the platform does not know it.
	Expire(ctx context.Context, session string) error
	// Connected returns the sessions to which users are connected.
	Connected(ctx context.Context, fleet policy.Fleet) ([]Connection, error)
}

// Connection is a user at a session of the platform.
type Connection struct {
	Session, User, Stack, Fleet string
	Start                       time.Time // by the platform's clock; zero where it does not say
}

// Config is what a Watch needs.
type Config struct {
	Catalog *catalog.Catalog
	Policy  func() *policy.Policy
	// Dial returns the platform of a region; empty texts leave it to the environment.
	Dial   func(ctx context.Context, region, endpoint string) (Platform, error)
	Logger hclog.Logger
}

// Watch keeps the eye. It is safe for concurrent use.
type Watch struct {
	cfg      Config
	pictures *pictures
	now      func() time.Time

	mu        sync.Mutex
	running   bool
	platforms map[place]Platform
	lapses    map[string]*lapse      // by session
	visitors  map[string]*connection // by the platform's session
	stepped   time.Time              // when lapses were looked at
	looked    time.Time              // when the platform was asked
	answered  time.Time              // when it last told all that it was asked
	expired   int64
	failed    int64
}

// place is where a platform is reached.
type place struct{ region, endpoint string }

// New returns a Watch that knows nothing yet.
func New(cfg Config) *Watch {
	return &Watch{
		cfg: cfg, pictures: newPictures(), now: time.Now, platforms: map[place]Platform{}, lapses: map[string]*lapse{}, visitors: map[string]*connection{},
	}
}

// Framed notes how many pictures the agent of a session has taken so far, as it says. It never blocks for long.
func (w *Watch) Framed(session string, frames int64) { w.pictures.note(session, frames, w.now()) }

// Run does both duties until ctx is done, and then returns nil. It blocks.
func (w *Watch) Run(ctx context.Context) error {
	w.run(true)
	defer w.run(false)
	group, ctx := errgroup.WithContext(ctx)
	for _, step := range []func(context.Context) error{w.Enforce, w.Look} {
		group.Go(func() error { return duty.Duty{Every: every, Step: step, Logger: w.cfg.Logger}.Run(ctx) })
	}
	return group.Wait()
}

func (w *Watch) run(running bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running = running
}

// Unrecorded is a user who is connected to a session of which nothing is recorded.
type Unrecorded struct {
	Connection
	Since time.Time // when it was first seen so
}

// State is what metrics show.
type State struct {
	// Running says that this process keeps the eye now; where it does not, the rest is of when it did.
	Running bool

	Connected  int // users, as the platform last said
	Unrecorded []Unrecorded
	// Expired counts sessions that were ended, Failed calls to the platform that failed.
	Expired, Failed int64
	// Answered is when the platform last told all that it was asked; zero where it never did or is not asked any more.
	Answered time.Time
}

// State returns how things stand.
func (w *Watch) State() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := State{Running: w.running, Connected: len(w.visitors), Expired: w.expired, Failed: w.failed, Answered: w.answered}
	for _, v := range w.visitors {
		if v.alarmed {
			s.Unrecorded = append(s.Unrecorded, Unrecorded{Connection: v.Connection, Since: v.since})
		}
	}
	return s
}

// platform returns the one that the policy names.
func (w *Watch) platform(ctx context.Context, a policy.AppStream) (Platform, error) {
	at := place{a.Region, a.Endpoint}
	w.mu.Lock()
	p, ok := w.platforms[at]
	w.mu.Unlock()
	if ok {
		return p, nil
	}
	p, err := w.cfg.Dial(ctx, a.Region, a.Endpoint)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.platforms[at] = p
	return p, nil
}

// called counts a call to the platform and returns its error.
func (w *Watch) called(err error) error {
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.failed++
	}
	return err
}

// recorded returns the platform's sessions that are being recorded.
func (w *Watch) recorded(sessions []catalog.Session, unrecorded map[string]time.Time, now time.Time) map[string]bool {
	recorded := map[string]bool{}
	for _, s := range sessions {
		if s.State == catalog.SessionRecording && w.why(s, unrecorded, now) == "" {
			recorded[s.Metadata[sessionKey]] = true
		}
	}
	return recorded
}

// why says why nothing of a session is recorded now, for a person; empty where it is recorded or has ended in order.
func (w *Watch) why(s catalog.Session, unrecorded map[string]time.Time, now time.Time) string {
	if s.EndedBy == catalog.PartyCoordinator {
		if s.State == catalog.SessionRefused {
			return ""
		}
		return "the agent is lost"
	}
	if !s.State.Capturing() {
		return ""
	}
	if !s.Silent.IsZero() {
		return "the agent is silent"
	}
	if _, ok := unrecorded[s.ID]; ok {
		return "nothing is recorded"
	}
	if w.pictures.stalled(s.ID, now) {
		return "the agent takes no pictures"
	}
	return ""
}
