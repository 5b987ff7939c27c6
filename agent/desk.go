package agent

import (
	"context"
	"errors"
	"maps"
	"os"
	"time"

	"github.com/recfleet/recfleet/agent/session"
	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/agent/x11"
)

// The metadata that the agent adds by itself.
const (
	keyMode      = "recording_mode"
	keyContinues = "continues_session"
	// maxNoted is how many entries a session may have for two more to be noted later.
	maxNoted = 62
)

// watch hands geometries to the capture until ctx is done, and opens the display again where it was lost.
func (a *Agent) watch(ctx context.Context, display *x11.Display, geometries chan *spool.Geometry) {
	report := func(g *spool.Geometry) {
		select {
		case <-geometries: // an older one that nobody has seen
		default:
		}
		geometries <- g
	}
	backoff := 100 * time.Millisecond
	for {
		if display != nil {
			a.watched.Store(display)
			err := display.Watch(ctx, func(g x11.Geometry) {
				backoff = 100 * time.Millisecond
				seen := geometryOf(g)
				report(&seen)
			})
			a.watched.Store(nil)
			_ = display.Close() // it is lost, or nobody needs it any more
			if ctx.Err() != nil {
				return
			}
			a.log.Warn("display lost", "display", a.cfg.Display, "error", err)
			report(nil)
		}
		timer := time.NewTimer(backoff)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		backoff = min(2*backoff, 5*time.Second)
		display = a.reopen(ctx)
	}
}

// idlePatience bounds how long a display that stands still keeps the coordinator waiting for a Sync.
const idlePatience = time.Second

// idle returns how long the user has done nothing; false where that is not known.
func (a *Agent) idle() (time.Duration, bool) {
	display := a.watched.Load()
	if display == nil {
		return 0, false
	}
	idle, err := display.Idle(idlePatience)
	return idle, err == nil
}

// reopen returns nil where the display cannot be opened yet.
func (a *Agent) reopen(ctx context.Context) *x11.Display {
	display, err := x11.Open(a.cfg.Display, x11.Options{Authority: a.cfg.Authority})
	if errors.Is(err, x11.ErrRefused) && a.cfg.Admit != nil && a.cfg.Admit(ctx) == nil {
		display, err = x11.Open(a.cfg.Display, x11.Options{Authority: a.cfg.Authority})
	}
	if err != nil {
		return nil
	}
	a.log.Info("display opened", "display", a.cfg.Display)
	return display
}

// open is as reopen for a display that was there a moment ago.
func (a *Agent) open() *x11.Display {
	display, err := x11.Open(a.cfg.Display, x11.Options{Authority: a.cfg.Authority})
	if err != nil {
		a.log.Warn("display not opened", "display", a.cfg.Display, "error", err)
		return nil
	}
	return display
}

// registration describes the desktop.
func (a *Agent) registration(g spool.Geometry, start time.Time) spool.Registration {
	host, _ := os.Hostname()
	metadata := map[string]string{"hostname": host, "os": osName(), "display": a.cfg.Display, "user": a.cfg.User, "agent_version": a.cfg.Version}
	for k, v := range a.cfg.Metadata {
		metadata[k] = v
	}
	if a.cfg.Mode.Offline() {
		metadata[keyMode] = string(a.cfg.Mode)
	}
	maps.DeleteFunc(metadata, func(_, v string) bool { return v == "" })
	instance := host
	if v := a.cfg.Metadata["instance"]; v != "" {
		instance = v
	}
	return spool.Registration{
		RequestID: session.NewRequestID(), Start: start, Display: a.cfg.Display, User: a.cfg.User, Instance: instance,
		Stack: a.cfg.Metadata["stack"], Fleet: a.cfg.Metadata["fleet"], Metadata: metadata, Geometry: g,
		Sitting: a.cfg.Sitting, Clock: a.line.Anchor(),
	}
}
