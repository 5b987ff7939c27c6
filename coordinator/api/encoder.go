package api

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/recfleet/recfleet/coordinator/jobs"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// encoderService hands jobs out.
type encoderService struct {
	recfleetv1.UnimplementedEncoderServiceServer
	board    *jobs.Board
	grants   EncoderGrants
	settings EncodeSettings
	lease    time.Duration
}

// Sync renews and grants leases.
func (s *encoderService) Sync(ctx context.Context, r *recfleetv1.EncoderServiceSyncRequest) (*recfleetv1.EncoderServiceSyncResponse, error) {
	if err := checkEncoderSync(r); err != nil {
		return nil, err
	}
	answer := &recfleetv1.EncoderServiceSyncResponse{NextSync: durationpb.New(s.lease / 3)}
	encoder := encoderFromProto(r)
	if r.GetBusPublicKey() != "" {
		grant, err := s.grants.GrantEncoder(r.GetBusPublicKey(), encoder.ID)
		if err != nil {
			return nil, err
		}
		answer.Bus, encoder.Wait = grant.Proto(), 0
	}
	said, err := s.board.Sync(ctx, encoder)
	if err != nil {
		return nil, err
	}
	answer.LostJobIds, answer.Drain = said.Lost, said.Drain
	for _, l := range said.Granted {
		answer.Granted = append(answer.Granted, leaseToProto(l, s.lease, s.settings))
	}
	return answer, nil
}

// CompleteJob commits a result.
func (s *encoderService) CompleteJob(ctx context.Context, r *recfleetv1.CompleteJobRequest) (*recfleetv1.CompleteJobResponse, error) {
	if err := checkComplete(r); err != nil {
		return nil, err
	}
	captured := r.GetCapturedFrameCount()
	if captured == 0 { // an encoder that leaves none out
		captured = r.GetFrameCount()
	}
	if err := s.board.Complete(ctx, r.GetJobId(), r.GetGeneration(), captured, recordingFromProto(r)); err != nil {
		return nil, err
	}
	return &recfleetv1.CompleteJobResponse{}, nil
}

// FailJob takes a job back.
func (s *encoderService) FailJob(ctx context.Context, r *recfleetv1.FailJobRequest) (*recfleetv1.FailJobResponse, error) {
	if err := checkFail(r); err != nil {
		return nil, err
	}
	content := r.GetCause() == recfleetv1.FailureCause_FAILURE_CAUSE_CONTENT
	if err := s.board.Fail(ctx, r.GetJobId(), r.GetGeneration(), r.GetEncoderId(), content, oneLine(r.GetDetail(), maxReason)); err != nil {
		return nil, err
	}
	return &recfleetv1.FailJobResponse{}, nil
}
