package api

import (
	"context"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/sessions"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// agentService takes what agents say.
type agentService struct {
	recfleetv1.UnimplementedAgentServiceServer
	sessions *sessions.Sessions
	owners   *owners
	heard    func(catalog.Beat)
}

// StartSession registers a session.
func (s *agentService) StartSession(ctx context.Context, r *recfleetv1.StartSessionRequest) (*recfleetv1.StartSessionResponse, error) {
	if err := checkStart(r); err != nil {
		return nil, err
	}
	start := startFromProto(r)
	caller := access.Caller(ctx)
	start.Caller, start.Agent = caller.Name, caller.Agent
	session, grant, err := s.sessions.Start(ctx, start)
	if err != nil {
		return nil, err
	}
	return &recfleetv1.StartSessionResponse{
		SessionId: session.ID, Settings: captureToProto(session), Bus: grant.Proto(),
	}, nil
}

// ReportEvents takes events.
func (s *agentService) ReportEvents(ctx context.Context, r *recfleetv1.ReportEventsRequest) (*recfleetv1.ReportEventsResponse, error) {
	if err := checkReport(r); err != nil {
		return nil, err
	}
	if err := s.owners.check(ctx, r.GetSessionId()); err != nil {
		return nil, err
	}
	known, err := s.sessions.Report(ctx, r.GetSessionId(), eventsFromProto(r.GetEvents()))
	if err != nil {
		return nil, err
	}
	return &recfleetv1.ReportEventsResponse{AcknowledgedThrough: known}, nil
}

// Sync answers with orders.
func (s *agentService) Sync(ctx context.Context, r *recfleetv1.AgentServiceSyncRequest) (*recfleetv1.AgentServiceSyncResponse, error) {
	if err := checkAgentSync(r); err != nil {
		return nil, err
	}
	if err := s.owners.check(ctx, r.GetSessionId()); err != nil {
		return nil, err
	}
	beat := beatFromProto(r)
	beat.Agent = access.Caller(ctx).Agent
	orders, err := s.sessions.Sync(ctx, r.GetSessionId(), beat)
	if err != nil {
		return nil, err
	}
	s.heard(heardFromProto(r))
	return ordersToProto(orders), nil
}

// EndSession closes the books.
func (s *agentService) EndSession(ctx context.Context, r *recfleetv1.EndSessionRequest) (*recfleetv1.EndSessionResponse, error) {
	if err := checkEnd(r); err != nil {
		return nil, err
	}
	if err := s.owners.check(ctx, r.GetSessionId()); err != nil {
		return nil, err
	}
	err := s.sessions.End(ctx, r.GetSessionId(), catalog.End{
		Reason: r.GetReason(), Time: timeFromProto(r.GetEndTime()), LastSegment: int(r.GetLastSegment()), LastEvent: r.GetLastEvent(),
	})
	if err != nil {
		return nil, err
	}
	return &recfleetv1.EndSessionResponse{}, nil
}
