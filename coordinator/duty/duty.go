// Package duty runs what the coordinator does again and again beside answering calls.
//
// A duty is a step that looks at the catalog and does what is due; running it twice, or after a crash in the middle, does
// no harm. Run repeats it at an interval, and sooner when its signal is raised. Tests call the step itself.
package duty

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Signal says that a duty's step may have something to do. Raising it twice before the step runs is once.
type Signal chan struct{}

// NewSignal returns a signal that is not raised.
func NewSignal() Signal { return make(Signal, 1) }

// Raise never blocks.
func (s Signal) Raise() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// Duty is a step with its rhythm.
type Duty struct {
	Every  time.Duration
	Signal Signal // nil where there is only the interval
	Step   func(ctx context.Context) error
	Logger hclog.Logger
}

// Run repeats the step until ctx is done and then returns nil. A step that fails is logged and repeated at the next
// occasion; a step that is under way when ctx ends is waited for.
func (d Duty) Run(ctx context.Context) error {
	ticker := time.NewTicker(d.Every)
	defer ticker.Stop()
	for {
		if err := d.Step(ctx); err != nil && ctx.Err() == nil {
			d.Logger.Warn("duty was left unfinished", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-d.Signal:
		}
	}
}
