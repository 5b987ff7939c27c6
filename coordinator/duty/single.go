package duty

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Leases give a duty to one coordinator at a time; see catalog.Catalog.
type Leases interface {
	TakeDuty(ctx context.Context, name, holder string, now, until time.Time) (term int64, mine bool, err error)
	LeaveDuty(ctx context.Context, name, holder string) error
	// UnderTerm returns a context in which writes are refused once another coordinator has the duty.
	UnderTerm(ctx context.Context, name string, term int64) context.Context
}

// shares is how often a lease is renewed, or asked for, while it lasts.
const shares = 3

// Single is a duty that one of several coordinators does at a time.
type Single struct {
	Name string
	// Holder names this coordinator; no two that run have the same name.
	Holder string
	Leases Leases
	// Lasts is how long a coordinator has the duty without a word: how late another one takes it over where it dies.
	Lasts  time.Duration
	Logger hclog.Logger
}

// Run calls run, with a context that ends with the lease, whenever this coordinator has the duty; it returns nil when ctx is
// done and run has returned, and then leaves the duty to others. A run that returns before its context is done ends Run with
// its error.
//
// A coordinator that was frozen may go on for a moment while another one has the duty; the catalog takes nothing from it then,
// and what it does elsewhere must bear being done twice.
func (s Single) Run(ctx context.Context, run func(ctx context.Context) error) error {
	ticker := time.NewTicker(s.Lasts / shares)
	defer ticker.Stop()
	for {
		asked := time.Now()
		term, mine, err := s.take(ctx, asked)
		if err != nil && ctx.Err() == nil {
			s.Logger.Warn("duty not asked for", "duty", s.Name, "error", err)
		}
		if mine {
			s.Logger.Info("duty taken", "duty", s.Name, "term", term)
			err := s.hold(ctx, term, asked, run)
			if err != nil || ctx.Err() != nil {
				return errors.Join(err, s.leave(ctx))
			}
			s.Logger.Warn("duty lost", "duty", s.Name, "term", term)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// take asks for the lease, or renews it.
func (s Single) take(ctx context.Context, now time.Time) (term int64, mine bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.Lasts/shares)
	defer cancel()
	return s.Leases.TakeDuty(ctx, s.Name, s.Holder, now, now.Add(s.Lasts))
}

// hold runs under a lease until it is lost or ctx is done; then it waits for run.
func (s Single) hold(ctx context.Context, term int64, asked time.Time, run func(ctx context.Context) error) error {
	running, stop := context.WithCancel(s.Leases.UnderTerm(ctx, s.Name, term))
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- run(running) }()
	renew := time.NewTicker(s.Lasts / shares)
	defer renew.Stop()
	for {
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return <-ended
		case <-renew.C:
		}
		now := time.Now()
		next, mine, err := s.take(ctx, now)
		switch {
		case err == nil && mine && next == term:
			asked = now
		case err == nil, time.Since(asked) > s.Lasts:
			// Another coordinator has, had or may have it.
			stop()
			if err := <-ended; err != nil && ctx.Err() == nil {
				s.Logger.Warn("duty was left unfinished", "duty", s.Name, "error", err)
			}
			return nil
		default:
			s.Logger.Warn("duty not renewed", "duty", s.Name, "error", err)
		}
	}
}

// leave gives the duty back, so that nobody need wait for the lease to run out.
func (s Single) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.Lasts/shares)
	defer cancel()
	if err := s.Leases.LeaveDuty(ctx, s.Name, s.Holder); err != nil {
		s.Logger.Warn("duty not left", "duty", s.Name, "error", err)
	}
	return nil
}
