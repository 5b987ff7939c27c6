package api

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/jobs"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// encodersFor is how long an encoder is shown that was not heard of.
const encodersFor = 24 * time.Hour

// fleetService answers people about the machines that record and encode.
type fleetService struct {
	recfleetv1.UnimplementedFleetServiceServer
	catalog *catalog.Catalog
	board   *jobs.Board
	ledger  ledger
	logger  hclog.Logger
}

// ListEncoders returns all of them.
func (s *fleetService) ListEncoders(ctx context.Context, _ *recfleetv1.ListEncodersRequest) (*recfleetv1.ListEncodersResponse, error) {
	found, err := s.catalog.ListEncoders(ctx, time.Now().Add(-encodersFor))
	if err != nil {
		return nil, err
	}
	slices.SortFunc(found, func(a, b catalog.Encoder) int { return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.ID, b.ID)) })
	answer := &recfleetv1.ListEncodersResponse{}
	for _, e := range found {
		answer.Encoders = append(answer.Encoders, encoderToProto(e))
	}
	return answer, nil
}

// DrainEncoder notes the order, which the encoder gets with the answer to its next Sync.
func (s *fleetService) DrainEncoder(ctx context.Context, r *recfleetv1.DrainEncoderRequest) (*recfleetv1.DrainEncoderResponse, error) {
	if err := matches("encoder_id", r.GetEncoderId(), randomID); err != nil {
		return nil, err
	}
	action, since := "encoder.drain", time.Now()
	if r.GetResume() {
		action, since = "encoder.resume", time.Time{}
	}
	var e catalog.Encoder
	if err := s.ledger.do(ctx, deed{action: action, object: r.GetEncoderId()}, func(ctx context.Context) error {
		err := s.catalog.DrainEncoder(ctx, r.GetEncoderId(), access.Caller(ctx).Name, since)
		if err == nil {
			e, err = s.catalog.Encoder(ctx, r.GetEncoderId())
		}
		return err
	}); err != nil {
		return nil, err
	}
	s.logger.Info("order noted", "action", action, "encoder_id", e.ID)
	s.board.Announce()
	return &recfleetv1.DrainEncoderResponse{Encoder: encoderToProto(e)}, nil
}

// ListAgents returns one page.
func (s *fleetService) ListAgents(ctx context.Context, r *recfleetv1.ListAgentsRequest) (*recfleetv1.ListAgentsResponse, error) {
	if err := page(r.GetPageSize(), r.GetPageToken()); err != nil {
		return nil, err
	}
	found, next, err := s.catalog.ListAgents(ctx, catalog.AgentFilter{Silent: r.GetSilent()}, sizeOf(r.GetPageSize()), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	answer := &recfleetv1.ListAgentsResponse{NextPageToken: next}
	for _, a := range found {
		answer.Agents = append(answer.Agents, agentToProto(a))
	}
	return answer, nil
}

func encoderToProto(e catalog.Encoder) *recfleetv1.Encoder {
	return &recfleetv1.Encoder{
		Id: e.ID, Host: e.Host, Version: e.Version, Labels: e.Labels, FirstSeenTime: timeToProto(e.First), LastSeenTime: timeToProto(e.Seen),
		Draining: e.Draining || !e.DrainOrdered.IsZero(), Running: int32(e.Running), FreeSlots: int32(max(e.Slots-e.Running, 0)), Load: e.Load,
	}
}

func agentToProto(a catalog.Agent) *recfleetv1.Agent {
	out := &recfleetv1.Agent{
		Instance: a.Instance, SessionId: a.Session, User: a.User, Version: a.Version, LastSyncTime: timeToProto(a.Seen),
		LastFrameTime: timeToProto(a.LastFrame), SpooledBytes: a.Spooled, Silent: a.Silent,
	}
	if a.Idle >= 0 {
		out.UserIdle = durationpb.New(a.Idle)
	}
	return out
}
