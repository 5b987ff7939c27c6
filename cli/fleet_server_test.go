package cli

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// fleet is the part of the fake that is not about sessions themselves.
type fleet struct {
	recfleetv1.UnimplementedJobServiceServer
	recfleetv1.UnimplementedFleetServiceServer
	recfleetv1.UnimplementedAuditServiceServer
	recfleetv1.UnimplementedPolicyServiceServer
	recfleetv1.UnimplementedEnrollmentServiceServer

	jobs     []*recfleetv1.Job
	encoders []*recfleetv1.Encoder
	agents   []*recfleetv1.Agent
	records  []*recfleetv1.AuditRecord
	// orders are the requests that change something, and those with filters.
	orders []any
	// watches are the streams of one WatchSessions call after the other: what is sent, and how each ends.
	watches []watchScript
	// manifest is GetManifest's answer; nil means that there is none.
	manifest *recfleetv1.GetManifestResponse
}

type watchScript struct {
	send []*recfleetv1.WatchSessionsResponse
	end  error // errHang waits for the caller
}

func (s *service) register(server *grpc.Server) {
	recfleetv1.RegisterSessionServiceServer(server, s)
	recfleetv1.RegisterRecordingServiceServer(server, s)
	recfleetv1.RegisterJobServiceServer(server, s)
	recfleetv1.RegisterFleetServiceServer(server, s)
	recfleetv1.RegisterAuditServiceServer(server, s)
	recfleetv1.RegisterPolicyServiceServer(server, s)
	recfleetv1.RegisterEnrollmentServiceServer(server, s)
	at := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(began.Add(d)) }
	s.jobs = []*recfleetv1.Job{
		{
			Id: "a1.2", SessionId: "a1", Segment: 2, State: recfleetv1.JobState_JOB_STATE_RUNNING, Priority: recfleetv1.JobPriority_JOB_PRIORITY_VIEWER_WAITING,
			CreateTime: at(0), LeaseEndTime: at(2 * time.Hour), EncoderId: "encoder000000001", MediaDuration: durationpb.New(5 * time.Minute), FrameCount: 200, FramesDone: 50,
		},
		{
			Id: "a2.1", SessionId: "a2", Segment: 1, State: recfleetv1.JobState_JOB_STATE_QUARANTINED, Priority: recfleetv1.JobPriority_JOB_PRIORITY_NORMAL,
			CreateTime: at(time.Minute), Failures: 3, Detail: "frame 7 cannot be decoded\x1b[31m", MediaDuration: durationpb.New(8 * time.Second),
		},
		{Id: "a3.1", SessionId: "a3", Segment: 1, State: recfleetv1.JobState_JOB_STATE_AVAILABLE, CreateTime: at(0)},
	}
	s.encoders = []*recfleetv1.Encoder{
		{Id: "encoder000000001", Host: "enc-1", Version: "v1", Labels: []string{"gpu", "big"}, FirstSeenTime: at(0), LastSeenTime: at(59 * time.Minute), Running: 1, FreeSlots: 3, Load: 1.25},
		{Id: "encoder000000002", Host: "enc-2\n", LastSeenTime: at(0), Draining: true},
	}
	s.agents = []*recfleetv1.Agent{
		{Instance: "i-1", SessionId: "a2", User: "ana", Version: "v1", LastSyncTime: at(59 * time.Minute), LastFrameTime: at(59 * time.Minute), SpooledBytes: 2_500_000, UserIdle: durationpb.New(90 * time.Second)},
		{Instance: "i-2", SessionId: "a3", User: "bo", LastSyncTime: at(0), Silent: true},
	}
	for n := int64(5); n > 0; n-- {
		s.records = append(s.records, &recfleetv1.AuditRecord{
			Number: n, Time: at(time.Duration(n) * time.Minute), Actor: "ana", Action: "session.delete", Object: "a1", Reason: "told to", Result: "ok", From: "127.0.0.1:5", Hash: []byte{1, 2},
		})
	}
}

// note keeps a request.
func (s *service) note(r any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.orders = append(s.orders, r)
}

// noted returns the requests so far.
func (s *service) noted() []any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.orders
}

// change applies a request to one session.
func (s *service) change(method string, r interface{ GetSessionId() string }, do func(*recfleetv1.Session)) (*recfleetv1.Session, error) {
	if err := s.refusal(method); err != nil {
		return nil, err
	}
	s.note(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	one, err := s.find(r.GetSessionId())
	if err == nil {
		do(one)
	}
	return one, err
}

func (s *service) HoldSession(_ context.Context, r *recfleetv1.HoldSessionRequest) (*recfleetv1.HoldSessionResponse, error) {
	one, err := s.change("hold", r, func(one *recfleetv1.Session) {
		one.HoldTime, one.HoldReason = timestamppb.New(began.Add(time.Hour)), r.GetReason()
	})
	return &recfleetv1.HoldSessionResponse{Session: one}, err
}

func (s *service) ReleaseSession(_ context.Context, r *recfleetv1.ReleaseSessionRequest) (*recfleetv1.ReleaseSessionResponse, error) {
	one, err := s.change("release", r, func(one *recfleetv1.Session) { one.HoldTime, one.HoldReason = nil, "" })
	return &recfleetv1.ReleaseSessionResponse{Session: one}, err
}

func (s *service) DeleteSession(_ context.Context, r *recfleetv1.DeleteSessionRequest) (*recfleetv1.DeleteSessionResponse, error) {
	one, err := s.change("delete", r, func(one *recfleetv1.Session) { one.DeleteTime = timestamppb.New(began.Add(time.Hour)) })
	return &recfleetv1.DeleteSessionResponse{Session: one}, err
}

func (s *service) WatchSessions(r *recfleetv1.WatchSessionsRequest, stream grpc.ServerStreamingServer[recfleetv1.WatchSessionsResponse]) error {
	s.note(r)
	if err := s.refusal("watch"); err != nil {
		return err
	}
	s.mu.Lock()
	script := watchScript{end: errHang}
	if len(s.watches) > 0 {
		script, s.watches = s.watches[0], s.watches[1:]
	}
	s.mu.Unlock()
	for _, m := range script.send {
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	if status.Code(script.end) == status.Code(errHang) {
		<-stream.Context().Done()
	}
	return script.end
}

// slice returns a page of two of vs.
func slice[T any](vs []T, size int32, token string) ([]T, string, error) {
	from := 0
	if token != "" {
		if _, err := fmt.Sscanf(token, "page-%d", &from); err != nil {
			return nil, "", status.Error(codes.InvalidArgument, "page_token: malformed")
		}
	}
	to := min(from+min(int(size), 2), len(vs))
	if to < len(vs) {
		return vs[from:to], fmt.Sprintf("page-%d", to), nil
	}
	return vs[from:to], "", nil
}

func (s *service) ListJobs(_ context.Context, r *recfleetv1.ListJobsRequest) (*recfleetv1.ListJobsResponse, error) {
	s.note(r)
	page, next, err := slice(s.jobs, r.GetPageSize(), r.GetPageToken())
	return &recfleetv1.ListJobsResponse{Jobs: page, NextPageToken: next}, err
}

func (s *service) RetryJob(_ context.Context, r *recfleetv1.RetryJobRequest) (*recfleetv1.RetryJobResponse, error) {
	s.note(r)
	for _, j := range s.jobs {
		if j.GetId() == r.GetJobId() {
			j.State, j.Failures = recfleetv1.JobState_JOB_STATE_AVAILABLE, 0
			return &recfleetv1.RetryJobResponse{Job: j}, nil
		}
	}
	return nil, status.Errorf(codes.NotFound, "no job %s", r.GetJobId())
}

func (s *service) ListEncoders(context.Context, *recfleetv1.ListEncodersRequest) (*recfleetv1.ListEncodersResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.encoders[0].GetDraining() {
		s.encoders[0].Running = 0 // it has finished meanwhile
	}
	return &recfleetv1.ListEncodersResponse{Encoders: s.encoders}, s.refuse["encoders"]
}

func (s *service) DrainEncoder(_ context.Context, r *recfleetv1.DrainEncoderRequest) (*recfleetv1.DrainEncoderResponse, error) {
	s.note(r)
	for _, e := range s.encoders {
		if e.GetId() == r.GetEncoderId() {
			e.Draining = !r.GetResume()
			return &recfleetv1.DrainEncoderResponse{Encoder: e}, nil
		}
	}
	return nil, status.Errorf(codes.NotFound, "no encoder %s", r.GetEncoderId())
}

func (s *service) ListAgents(_ context.Context, r *recfleetv1.ListAgentsRequest) (*recfleetv1.ListAgentsResponse, error) {
	s.note(r)
	page, next, err := slice(s.agents, r.GetPageSize(), r.GetPageToken())
	return &recfleetv1.ListAgentsResponse{Agents: page, NextPageToken: next}, err
}

func (s *service) ListAuditRecords(_ context.Context, r *recfleetv1.ListAuditRecordsRequest) (*recfleetv1.ListAuditRecordsResponse, error) {
	s.note(r)
	page, next, err := slice(s.records, r.GetPageSize(), r.GetPageToken())
	return &recfleetv1.ListAuditRecordsResponse{Records: page, NextPageToken: next}, err
}

func (s *service) TestPolicy(_ context.Context, r *recfleetv1.TestPolicyRequest) (*recfleetv1.TestPolicyResponse, error) {
	s.note(r)
	if r.GetUser() == "" {
		return &recfleetv1.TestPolicyResponse{Settings: &recfleetv1.PolicySettings{Reason: "nobody\x1b"}}, nil
	}
	crf := int32(23)
	return &recfleetv1.TestPolicyResponse{
		PolicyHash: "abcd", PolicyVersion: "7", Rule: "traders", Groups: []string{"desk", "traders"},
		Settings: &recfleetv1.PolicySettings{
			Record: true, Mode: recfleetv1.RecordingMode_RECORDING_MODE_GRACE, Grace: durationpb.New(20 * time.Second), FrameRate: 5,
			SegmentLength: durationpb.New(5 * time.Minute), Encode: &recfleetv1.PolicyEncode{Crf: &crf, Preset: "medium", MaxWidth: 1920, MaxHeight: 1080},
			Retention: durationpb.New(90 * 24 * time.Hour), Notice: "You are recorded.", Activity: []string{"processes"},
		},
		Trials: []*recfleetv1.RuleTrial{{Rule: "guests", Mismatch: "user"}, {Rule: "traders", Matched: true}},
	}, nil
}

func (s *service) GetManifestKey(context.Context, *recfleetv1.GetManifestKeyRequest) (*recfleetv1.GetManifestKeyResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &recfleetv1.GetManifestKeyResponse{PublicKey: s.manifest.GetPublicKey(), Successions: s.manifest.GetSuccessions()}, nil
}

func (s *service) GetManifest(context.Context, *recfleetv1.GetManifestRequest) (*recfleetv1.GetManifestResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refuse["manifest"]; err != nil {
		return nil, err
	}
	if s.manifest == nil {
		return nil, status.Error(codes.NotFound, "no manifest yet")
	}
	return s.manifest, nil
}
