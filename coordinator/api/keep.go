package api

import (
	"context"
	"time"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// HoldSession keeps a session's recordings.
func (s *sessionService) HoldSession(ctx context.Context, r *recfleetv1.HoldSessionRequest) (*recfleetv1.HoldSessionResponse, error) {
	if err := checkOrder(r.GetSessionId(), r.GetReason()); err != nil {
		return nil, err
	}
	session, err := s.keep(ctx, deed{"session.hold", r.GetSessionId(), r.GetReason()}, func(ctx context.Context, by string) error {
		return s.catalog.HoldSession(ctx, r.GetSessionId(), catalog.Hold{Time: time.Now(), By: by, Reason: r.GetReason()})
	})
	return &recfleetv1.HoldSessionResponse{Session: session}, err
}

// ReleaseSession ends a hold.
func (s *sessionService) ReleaseSession(ctx context.Context, r *recfleetv1.ReleaseSessionRequest) (*recfleetv1.ReleaseSessionResponse, error) {
	if err := checkOrder(r.GetSessionId(), r.GetReason()); err != nil {
		return nil, err
	}
	session, err := s.order(ctx, deed{access.ActionRelease, r.GetSessionId(), r.GetReason()})
	return &recfleetv1.ReleaseSessionResponse{Session: session}, err
}

// DeleteSession orders the deletion; retention carries it out.
func (s *sessionService) DeleteSession(ctx context.Context, r *recfleetv1.DeleteSessionRequest) (*recfleetv1.DeleteSessionResponse, error) {
	if err := checkOrder(r.GetSessionId(), r.GetReason()); err != nil {
		return nil, err
	}
	session, err := s.order(ctx, deed{access.ActionDelete, r.GetSessionId(), r.GetReason()})
	return &recfleetv1.DeleteSessionResponse{Session: session}, err
}

// keep does something about a session's recordings and returns the session as it is then.
func (s *sessionService) keep(ctx context.Context, d deed, act func(ctx context.Context, by string) error) (*recfleetv1.Session, error) {
	var session catalog.Session
	err := s.ledger.do(ctx, d, func(ctx context.Context) error {
		err := precondition(act(ctx, access.Caller(ctx).Name))
		if err == nil {
			session, err = s.catalog.Session(ctx, d.object)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	s.logger.Info("order noted", "action", d.action, "session_id", d.object, "reason", d.reason)
	return sessionToProto(session), nil
}

func checkOrder(session, reason string) error {
	return first(sessionID(session), text("reason", reason, maxReason))
}
