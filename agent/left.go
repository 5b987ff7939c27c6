package agent

import (
	"context"
	"errors"
	"time"

	"github.com/recfleet/recfleet/agent/session"
	"github.com/recfleet/recfleet/agent/spool"
)

// finishLeft sends what an earlier process left of a session, and ends it. One that the coordinator never heard of is registered
// first; one that it has given up meanwhile goes on as another.
func (a *Agent) finishLeft(ctx context.Context, registrar session.Registrar, s *spool.Session) {
	log := a.log.With("request_id", s.Registration().RequestID)
	for {
		err := a.sendLeft(ctx, registrar, s)
		if errors.Is(err, session.ErrGivenUp) && wait(ctx, restartAfter) {
			var next *spool.Session
			if next, err = a.continueSession(s); err == nil {
				s = next
				continue
			}
		}
		if cerr := s.Close(); err == nil {
			err = cerr
		}
		switch {
		case ctx.Err() != nil:
			log.Warn("earlier session stays in the spool")
		case err != nil:
			log.Error("earlier session not finished", "error", err)
		default:
			log.Info("earlier session finished")
		}
		return
	}
}

// wait reports whether ctx is not done after that time.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func (a *Agent) sendLeft(ctx context.Context, registrar session.Registrar, s *spool.Session) error {
	r := s.Registration()
	// One without a segment too: the coordinator may have made it before the agent was killed, and is to know of its end.
	if r.End.IsZero() {
		end, err := endOf(s)
		if err != nil {
			return err
		}
		reason := "agent was killed"
		if a.ordered != "" && r.Sitting == a.cfg.Sitting {
			reason = a.ordered
		}
		err = s.Update(func(r *spool.Registration) { r.End, r.EndReason = end, reason })
		if err != nil {
			return err
		}
	}
	up := a.newUplink(registrar, s, nil, nil)
	up.run(ctx)
	if err := up.ended(); err != nil || !up.complete() {
		if errors.Is(err, session.ErrRefused) && s.Registration().SessionID == "" && len(s.Segments()) == 0 {
			return errors.Join(s.Close(), s.Remove())
		}
		return err
	}
	return errors.Join(s.Close(), s.Remove())
}

// endOf returns the time up to which anything is known of a session.
func endOf(s *spool.Session) (time.Time, error) {
	end := s.Registration().Start
	for after := int64(0); ; {
		events, err := s.Events(after, 100)
		if err != nil || len(events) == 0 {
			return end, err
		}
		for _, e := range events {
			if after = e.Number; e.Time.After(end) {
				end = e.Time
			}
		}
	}
}
