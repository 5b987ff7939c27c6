package agent

import (
	"context"
	"errors"
	"time"

	"github.com/recfleet/recfleet/agent/session"
	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/internal/bus"
)

// finishLeft sends what an earlier process left of a session, and ends it.
func (a *Agent) finishLeft(ctx context.Context, registrar session.Registrar, s *spool.Session) {
	log := a.log.With("request_id", s.Registration().RequestID)
	err := a.sendLeft(ctx, registrar, s)
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
}

func (a *Agent) sendLeft(ctx context.Context, registrar session.Registrar, s *spool.Session) error {
	r := s.Registration()
	var grant *bus.Grant
	if r.SessionID == "" {
		if len(s.Segments()) == 0 {
			return errors.Join(s.Close(), s.Remove())
		}
		g, err := registrar.Register(ctx, s)
		if err != nil {
			return err
		}
		grant = &g
	}
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
	link := session.New(session.Config{Spool: s, Client: registrar.Client, Key: registrar.Key, Grant: grant, Logger: a.log.Named("session")})
	if err := link.Run(ctx); err != nil || !link.Complete() {
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
