package main

import (
	"context"
	cryptorand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/recfleet/recfleet/internal/identity"
)

// What agents do by themselves, at their own rhythm.
const (
	paceOwn    = int32(iota) // everything
	paceDriven               // everything but cutting chunks, which drive does
	paceStill                // nothing
)

const (
	// probeSegment is what the chunks are numbered as that measure the bus alone: no session comes so far.
	probeSegment   = 1 << 20
	startsAtOnce   = 16
	stopsAtOnce    = 32
	maxComplaints  = 5
	noiseBytes     = 1 << 20
	churnAtMost    = 64 // agents that are starting or stopping at a time
	endingDeadline = 5 * time.Minute
)

// fleet is the agents, what they have counted, and how they are led.
type fleet struct {
	cfg    config
	client identity.Client
	begun  time.Time
	noise  []byte
	pace   atomic.Int32

	due, published, sealed, received, ended, archived, complaints atomic.Int64
	acks, receipts, syncs, starts                                 samples
	say                                                           func(format string, args ...any)

	running sync.WaitGroup
	mu      sync.Mutex
	agents  []*agent
	known   []string // every session there was
	failed  []error
}

func newFleet(cfg config, client identity.Client, say func(string, ...any)) *fleet {
	f := &fleet{cfg: cfg, client: client, begun: time.Now(), noise: make([]byte, noiseBytes), say: say}
	_, _ = cryptorand.Read(f.noise) // never fails
	return f
}

// complain counts what had to be done again.
func (f *fleet) complain(err error) {
	if f.complaints.Add(1) <= maxComplaints {
		f.say("done again: %v", err)
	}
}

// add starts an agent and lets it run.
func (f *fleet) add(ctx context.Context, number int) error {
	a, err := f.startAgent(ctx, number)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.agents = append(f.agents, a)
	f.known = append(f.known, a.session)
	f.mu.Unlock()
	f.running.Go(func() {
		if err := a.run(ctx); err != nil && ctx.Err() == nil {
			f.mu.Lock()
			f.failed = append(f.failed, err)
			f.mu.Unlock()
		}
	})
	return nil
}

// fill starts all agents.
func (f *fleet) fill(ctx context.Context) error {
	group, starting := errgroup.WithContext(ctx)
	group.SetLimit(startsAtOnce)
	for n := range f.cfg.sessions {
		group.Go(func() error {
			if err := starting.Err(); err != nil {
				return err
			}
			return f.add(ctx, n)
		})
	}
	return group.Wait()
}

// churn stops one agent and starts another, again and again until ctx is done. Agents live on under life.
func (f *fleet) churn(ctx, life context.Context) error {
	if f.cfg.churn == 0 {
		return nil
	}
	ticker := time.NewTicker(time.Duration(float64(time.Second) / f.cfg.churn))
	defer ticker.Stop()
	var group errgroup.Group
	group.SetLimit(churnAtMost)
	for n := f.cfg.sessions; ; n++ {
		select {
		case <-ctx.Done():
			return group.Wait()
		case <-ticker.C:
		}
		if f.pace.Load() == paceStill {
			continue
		}
		group.Go(func() error {
			f.stopOne()
			return f.add(life, n)
		})
	}
}

func (f *fleet) stopOne() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.agents) == 0 {
		return
	}
	i := rand.IntN(len(f.agents))
	close(f.agents[i].stopped)
	f.agents[i] = f.agents[len(f.agents)-1]
	f.agents = f.agents[:len(f.agents)-1]
}

// empty stops all agents, some at a time, and waits until they have all receipts.
func (f *fleet) empty() error {
	f.mu.Lock()
	agents := f.agents
	f.agents = nil
	f.mu.Unlock()
	var group errgroup.Group
	group.SetLimit(stopsAtOnce)
	for _, a := range agents {
		group.Go(func() error {
			close(a.stopped)
			<-a.over
			return nil
		})
	}
	_ = group.Wait() // they return nothing
	f.running.Wait()
	return f.err()
}

// err returns what agents failed with.
func (f *fleet) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.failed) > maxComplaints {
		return errors.Join(append(f.failed[:maxComplaints:maxComplaints], fmt.Errorf("and %d more", len(f.failed)-maxComplaints))...)
	}
	return errors.Join(f.failed...)
}

// drive has the agents publish as fast as the bus takes it, their chunks in the proportion that they have by themselves, for
// as long as d, and returns how many it took. A probe goes into the streams as the sessions' chunks do, but is none of theirs.
func (f *fleet) drive(ctx context.Context, d time.Duration, probe bool) float64 {
	f.mu.Lock()
	var turns []*agent
	for _, a := range f.agents {
		_, every := a.rhythm()
		for range max(1, idleEvery/every) {
			turns = append(turns, a)
		}
	}
	f.mu.Unlock()
	rand.Shuffle(len(turns), func(i, j int) { turns[i], turns[j] = turns[j], turns[i] })
	turn, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	var next, sent atomic.Int64
	var group sync.WaitGroup
	for range f.cfg.inFlight {
		group.Go(func() {
			for turn.Err() == nil {
				// A chunk that was cut is published also when the turn is over, or the session would miss it.
				if turns[int(next.Add(1))%len(turns)].pushed(ctx, probe) && turn.Err() == nil {
					sent.Add(1)
				}
			}
		})
	}
	group.Wait()
	return float64(sent.Load()) / d.Seconds()
}

// pushed publishes a chunk out of turn. It reports whether the bus took it; an agent that is being stopped is passed over.
func (a *agent) pushed(ctx context.Context, probe bool) bool {
	a.sending.Lock()
	defer a.sending.Unlock()
	select {
	case <-a.stopped:
		return false
	default:
	}
	to := a.live
	if probe {
		to = a.probe
	}
	return a.sendNext(ctx, to, time.Now()) == nil
}
