package hook

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/recfleet/recfleet/agent/control"
)

// How long an agent may be silent. This is counted in ticks of the supervisor's own clock, which does not run while the machine
// is suspended: where the supervisor stood still too, that was not the agent's silence.
const (
	// hangTicks without a sign of life are a process that is stopped or starved: 5 s.
	hangTicks = int(5 * time.Second / control.BeatEvery)
	// lockedTicks without a status are parts that wait for one another: 60 s, since a slow disk may hold them up.
	lockedTicks = int(60 * time.Second / control.BeatEvery)
	// startTicks are for the time until the agent listens, in which it reads what is in the spool.
	startTicks = int(20 * time.Second / control.BeatEvery)
)

// silence counts the ticks since the last sign of life.
type silence struct {
	heard         bool
	quiet, unwell int
}

// sign notes a sign of life.
func (s *silence) sign(well bool) {
	s.heard, s.quiet = true, 0
	if well {
		s.unwell = 0
	}
}

// tick counts one tick and returns what is wrong with the agent, "" where nothing is.
func (s *silence) tick() string {
	s.quiet++
	s.unwell++
	switch {
	case !s.heard && s.quiet > startTicks:
		return "does not begin"
	case s.heard && s.quiet > hangTicks:
		return "gives no sign of life"
	case s.heard && s.unwell > lockedTicks:
		return "cannot tell its status"
	}
	return ""
}

// guard kills an agent that hangs. It blocks until it did, or running is done.
func (s Supervisor) guard(running context.Context, kill func() error) {
	ctx, end := context.WithCancel(running)
	var group sync.WaitGroup
	defer group.Wait()
	defer end()
	signs := make(chan bool, 16)
	group.Go(func() { s.listen(ctx, signs) })
	tick := time.NewTicker(control.BeatEvery)
	defer tick.Stop()
	var silent silence
	for {
		select {
		case <-ctx.Done():
			return
		case well := <-signs:
			silent.sign(well)
		case <-tick.C:
			// What has come meanwhile counts first: both may have stood still.
			for len(signs) > 0 {
				silent.sign(<-signs)
			}
			wrong := silent.tick()
			if wrong == "" {
				continue
			}
			s.Logger.Error("agent killed", "reason", wrong)
			if err := kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				s.Logger.Error("agent not killed", "error", err)
			}
			return
		}
	}
}

// listen passes on the agent's signs of life until ctx is done. Where the connection ends it is made again: the agent may not listen
// yet.
func (s Supervisor) listen(ctx context.Context, signs chan<- bool) {
	tick := time.NewTicker(control.BeatEvery / 5)
	defer tick.Stop()
	for {
		if w, err := control.Watch(ctx, s.SpoolDir); err == nil {
			stop := context.AfterFunc(ctx, func() { _ = w.Close() })
			for err == nil {
				var well bool
				if well, err = w.Next(); err == nil {
					select {
					case signs <- well:
					case <-ctx.Done():
					}
				}
			}
			if stop() {
				_ = w.Close()
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// adopt watches over an agent that another supervisor started and left behind, until it ends.
func (s Supervisor) adopt(ctx context.Context) ending {
	s.Logger.Warn("agent taken over", "pid", Holder(s.SpoolDir, AgentLock))
	running, ended := context.WithCancel(context.WithoutCancel(ctx))
	var group sync.WaitGroup
	signal := func(sig os.Signal) error {
		pid := Holder(s.SpoolDir, AgentLock)
		if pid <= 0 {
			return os.ErrProcessDone
		}
		p, err := os.FindProcess(pid)
		if err != nil {
			return err
		}
		return p.Signal(sig)
	}
	group.Go(func() { s.guard(running, func() error { return signal(os.Kill) }) })
	group.Go(func() {
		select {
		case <-running.Done():
		case <-ctx.Done():
			s.stop(running, signal)
		}
	})
	_ = awaitFree(running, control.BeatEvery/5, s.SpoolDir, AgentLock) // running is done only below
	ended()
	group.Wait()
	return ending{killed: true, how: "taken over, not seen"}
}
