package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/jobs"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// jobService answers people about the work of encoders.
type jobService struct {
	recfleetv1.UnimplementedJobServiceServer
	catalog *catalog.Catalog
	board   *jobs.Board
	ledger  ledger
	logger  hclog.Logger
}

// ListJobs returns one page.
func (s *jobService) ListJobs(ctx context.Context, r *recfleetv1.ListJobsRequest) (*recfleetv1.ListJobsResponse, error) {
	if err := checkListJobs(r); err != nil {
		return nil, err
	}
	f := catalog.JobFilter{Session: r.GetSessionId()}
	for _, wire := range r.GetStates() {
		state, _ := jobStateFromProto(wire)
		f.States = append(f.States, state)
	}
	if len(f.States) == 0 {
		f.States = []catalog.JobState{catalog.JobAvailable, catalog.JobRunning, catalog.JobRetryable, catalog.JobQuarantined}
	}
	page, next, err := s.catalog.ListJobs(ctx, f, sizeOf(r.GetPageSize()), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	wire, err := s.toProto(ctx, page)
	return &recfleetv1.ListJobsResponse{Jobs: wire, NextPageToken: next}, err
}

// RetryJob gives a job another chance.
func (s *jobService) RetryJob(ctx context.Context, r *recfleetv1.RetryJobRequest) (*recfleetv1.RetryJobResponse, error) {
	if err := matches("job_id", r.GetJobId(), jobID); err != nil {
		return nil, err
	}
	var job catalog.Job
	if err := s.ledger.do(ctx, deed{action: "job.retry", object: r.GetJobId()}, func(ctx context.Context) (err error) {
		job, err = s.catalog.RetryJob(ctx, r.GetJobId(), time.Now())
		if errors.Is(err, catalog.ErrTransition) {
			return fmt.Errorf("%w: job %s is completed, there is nothing to retry", errPrecondition, r.GetJobId())
		}
		return precondition(err)
	}); err != nil {
		return nil, err
	}
	s.logger.Info("job retried", "job_id", job.ID, "state", job.State)
	s.board.Announce()
	wire, err := s.toProto(ctx, []catalog.Job{job})
	if err != nil {
		return nil, err
	}
	return &recfleetv1.RetryJobResponse{Job: wire[0]}, nil
}

func (s *jobService) toProto(ctx context.Context, found []catalog.Job) ([]*recfleetv1.Job, error) {
	media, err := s.catalog.JobMedia(ctx, found)
	if err != nil {
		return nil, err
	}
	out := make([]*recfleetv1.Job, 0, len(found))
	for _, j := range found {
		out = append(out, jobToProto(j, media[j.ID]))
	}
	return out, nil
}

func jobToProto(j catalog.Job, m catalog.Media) *recfleetv1.Job {
	out := &recfleetv1.Job{
		Id: j.ID, SessionId: j.Session, Segment: int32(j.Segment), State: jobStateToProto(j.State), Priority: priorityToProto(j.Priority), Pool: j.Pool,
		Failures: int32(j.Failures), Setbacks: int32(j.Setbacks), Rescues: int32(j.Rescues), CreateTime: timeToProto(j.Created),
		AvailableTime: timeToProto(j.Available), EncoderId: j.Encoder, Detail: j.Detail, MediaDuration: durationpb.New(m.Duration), FrameCount: m.Frames,
	}
	if j.State == catalog.JobRunning {
		out.LeaseEndTime, out.FramesDone = timeToProto(j.LeaseEnd), j.FramesDone
	}
	return out
}

func priorityToProto(p catalog.Priority) recfleetv1.JobPriority {
	switch p {
	case catalog.PriorityBackfill:
		return recfleetv1.JobPriority_JOB_PRIORITY_BACKFILL
	case catalog.PriorityNormal:
		return recfleetv1.JobPriority_JOB_PRIORITY_NORMAL
	case catalog.PriorityLive:
		return recfleetv1.JobPriority_JOB_PRIORITY_LIVE
	case catalog.PriorityViewer:
		return recfleetv1.JobPriority_JOB_PRIORITY_VIEWER_WAITING
	}
	return recfleetv1.JobPriority_JOB_PRIORITY_UNSPECIFIED
}

// jobStateTable pairs the wire's states with the catalog's.
func jobStateTable() map[recfleetv1.JobState]catalog.JobState {
	return map[recfleetv1.JobState]catalog.JobState{
		recfleetv1.JobState_JOB_STATE_AVAILABLE:   catalog.JobAvailable,
		recfleetv1.JobState_JOB_STATE_RUNNING:     catalog.JobRunning,
		recfleetv1.JobState_JOB_STATE_COMPLETED:   catalog.JobCompleted,
		recfleetv1.JobState_JOB_STATE_RETRYABLE:   catalog.JobRetryable,
		recfleetv1.JobState_JOB_STATE_QUARANTINED: catalog.JobQuarantined,
	}
}

func jobStateFromProto(s recfleetv1.JobState) (catalog.JobState, bool) {
	state, ok := jobStateTable()[s]
	return state, ok
}

func jobStateToProto(s catalog.JobState) recfleetv1.JobState {
	for wire, state := range jobStateTable() {
		if state == s {
			return wire
		}
	}
	return recfleetv1.JobState_JOB_STATE_UNSPECIFIED
}

func checkListJobs(r *recfleetv1.ListJobsRequest) error {
	if len(r.GetStates()) > maxEntries {
		return wrong("states", "are %d, at most %d", len(r.GetStates()), maxEntries)
	}
	for i, s := range r.GetStates() {
		if _, ok := jobStateFromProto(s); !ok {
			return wrong(fmt.Sprintf("states[%d]", i), "is missing or not known")
		}
	}
	if r.GetSessionId() != "" {
		if err := sessionID(r.GetSessionId()); err != nil {
			return err
		}
	}
	return page(r.GetPageSize(), r.GetPageToken())
}

// page checks what all requests for pages have.
func page(size int32, token string) error {
	return first(within("page_size", int64(size), 0, maxPage), text("page_token", token, maxPageToken))
}

// sizeOf is a page's size.
func sizeOf(asked int32) int {
	if asked == 0 {
		return defaultPage
	}
	return int(asked)
}
