// Package health tells whether the coordinator lives and whether it can do its work.
//
// What comes in are checks of the parts that it depends on, each run at its own rhythm and with a bound on its time, so that
// one that hangs holds up no other; and loops that must turn. What goes out are answers that are ready at once: over HTTP
// (/healthz, /readyz), over gRPC's health service, and as text. What always holds: "ready" means that every part answered
// well not long ago; a check that does not come back is a part that is down.
package health

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Check is a part that the coordinator needs.
type Check struct {
	// Part is the name that is shown to everybody.
	Part string
	// Probe fails with one line where the part cannot be used.
	Probe func(ctx context.Context) error
	// Every is how often it is probed, Timeout how long that may take.
	Every, Timeout time.Duration
}

// Loop is something that must go on.
type Loop struct {
	Name string
	// Turned tells when it last went round; the zero time says that it has not started.
	Turned func() time.Time
	// Limit is how long that may be ago.
	Limit time.Duration
}

// Config is what Health needs.
type Config struct {
	Checks []Check
	Loops  []Loop
	// Notes, where it is set, adds what deserves a look though it hinders nothing, in one line; empty where there is nothing.
	Notes func() string
	// Serving is called with true when everything is ready and with false when it is not, again and again.
	Serving func(ready bool)
	Logger  hclog.Logger
}

const (
	// turn is how often Health's own loop goes round, ownLimit how long that may take.
	turn     = time.Second
	ownLimit = 30 * time.Second
)

var (
	errUnchecked = errors.New("not checked yet")
	errStopping  = errors.New("stopping")
)

// Health knows how the parts are. It is safe for concurrent use.
type Health struct {
	cfg Config

	// saying is held from when something is seen until it is said: nobody sees what others were not told yet, and what was seen
	// later is said later.
	saying sync.Mutex
	ready  chan struct{} // closed when everything was ready for the first time
	once   sync.Once

	mu       sync.Mutex
	parts    map[string]answer
	turned   time.Time
	stopping bool
}

type answer struct {
	at  time.Time
	err error
}

// New returns a Health that has checked nothing: nothing is ready.
func New(cfg Config) *Health {
	return &Health{cfg: cfg, parts: map[string]answer{}, ready: make(chan struct{})}
}

// Ready is closed once everything has been ready.
func (h *Health) Ready() <-chan struct{} { return h.ready }

// Run checks until ctx is done; from then on nothing is ready. It blocks until the checks under way have come back.
func (h *Health) Run(ctx context.Context) error {
	var checks sync.WaitGroup
	defer checks.Wait()
	for _, c := range h.cfg.Checks {
		checks.Go(func() { h.repeat(ctx, c) })
	}
	ticker := time.NewTicker(turn)
	defer ticker.Stop()
	for {
		h.round()
		select {
		case <-ctx.Done():
			h.stop()
			return nil
		case <-ticker.C:
		}
	}
}

func (h *Health) round() {
	h.saying.Lock()
	defer h.saying.Unlock()
	h.mu.Lock()
	h.turned = time.Now()
	h.mu.Unlock()
	h.say()
}

// say tells whether everything is ready. The caller holds saying.
func (h *Health) say() {
	ready := len(h.Down()) == 0
	h.cfg.Serving(ready)
	if ready {
		h.once.Do(func() { close(h.ready) })
	}
}

func (h *Health) stop() {
	h.saying.Lock()
	defer h.saying.Unlock()
	h.mu.Lock()
	h.stopping = true
	h.mu.Unlock()
	h.say()
}

func (h *Health) repeat(ctx context.Context, c Check) {
	ticker := time.NewTicker(c.Every)
	defer ticker.Stop()
	for {
		h.probe(ctx, c)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// probe checks one part and notes the answer.
func (h *Health) probe(ctx context.Context, c Check) {
	probing, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	err := c.Probe(probing)
	if ctx.Err() != nil {
		return
	}
	if err != nil && probing.Err() != nil {
		err = fmt.Errorf("no answer within %v: %w", c.Timeout, err)
	}
	h.saying.Lock()
	defer h.saying.Unlock()
	h.mu.Lock()
	before, known := h.parts[c.Part]
	h.parts[c.Part] = answer{time.Now(), err}
	h.mu.Unlock()
	switch {
	case err != nil && before.err == nil:
		h.cfg.Logger.Warn("part was lost", "part", c.Part, "error", err)
	case err == nil && known && before.err != nil:
		h.cfg.Logger.Info("part is back", "part", c.Part)
	}
	h.say()
}

// Down returns the parts that cannot be used and why; empty where everything is ready.
func (h *Health) Down() map[string]error {
	h.mu.Lock()
	defer h.mu.Unlock()
	down := map[string]error{}
	if h.stopping {
		down["coordinator"] = errStopping
	}
	for _, c := range h.cfg.Checks {
		a, known := h.parts[c.Part]
		switch age := time.Since(a.at); {
		case !known:
			down[c.Part] = errUnchecked
		case a.err != nil:
			down[c.Part] = a.err
		case age > 2*c.Every+c.Timeout:
			down[c.Part] = fmt.Errorf("the check has not come back for %v", age.Round(time.Second))
		}
	}
	return down
}

// Live fails where a loop does not turn any more: then the process is of no use, and is to be started anew.
func (h *Health) Live() error {
	h.mu.Lock()
	own := h.turned
	h.mu.Unlock()
	loops := append([]Loop{{Name: "health", Turned: func() time.Time { return own }, Limit: ownLimit}}, h.cfg.Loops...)
	for _, l := range loops {
		if at := l.Turned(); !at.IsZero() && time.Since(at) > l.Limit {
			return fmt.Errorf("%s has not turned for %v", l.Name, time.Since(at).Round(time.Second))
		}
	}
	return nil
}

// Line says in one line whether everything is ready and what is down; with detail, why, and the notes.
func (h *Health) Line(detail bool) (line string, ready bool) {
	h.saying.Lock()
	defer h.saying.Unlock()
	down := h.Down()
	line, ready = "ready", len(down) == 0
	if !ready {
		parts := slices.Sorted(maps.Keys(down))
		if detail {
			for i, p := range parts {
				parts[i] = p + " (" + strings.Join(strings.Fields(down[p].Error()), " ") + ")"
			}
		}
		line = "not ready: " + strings.Join(parts, ", ")
	}
	if detail && h.cfg.Notes != nil {
		if notes := h.cfg.Notes(); notes != "" {
			line += "; " + notes
		}
	}
	return line, ready
}
