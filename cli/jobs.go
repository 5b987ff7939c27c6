package cli

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/recfleet/recfleet/internal/chunk"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

const (
	jobStatePrefix    = "JOB_STATE_"
	jobPriorityPrefix = "JOB_PRIORITY_"
)

func (a *app) jobs() *cobra.Command {
	return noun("jobs", "List and retry the work of encoders", a.listJobs(), a.retryJob())
}

func jobStateName(s recfleetv1.JobState) string {
	return strings.ToLower(strings.TrimPrefix(s.String(), jobStatePrefix))
}

func jobStateNames() []string { return words(recfleetv1.JobState_name, jobStatePrefix) }

func (a *app) listJobs() *cobra.Command {
	var (
		states  []string
		limit   int
		session string
	)
	c := &cobra.Command{
		Use: "list", Short: "List jobs, the newest first", Args: noArgs,
		Long: "List jobs, the newest first, without those that are done unless --state completed asks for them.",
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, _ []string) error {
			r := &recfleetv1.ListJobsRequest{SessionId: session}
			for _, word := range states {
				r.States = append(r.States, recfleetv1.JobState(recfleetv1.JobState_value[jobStatePrefix+strings.ToUpper(word)]))
			}
			jobs, err := a.jobPages(ctx, conn, r, limit)
			if err != nil {
				return err
			}
			return a.print(&recfleetv1.ListJobsResponse{Jobs: jobs}, func(t *tables) { list(t, jobs, jobColumns(t)) })
		}),
	}
	a.outputFlags(c)
	statesVar(c, &states, jobStateNames(), "only jobs in this `STATE`; may be repeated")
	c.Flags().Var(sessionFlag{&session}, "session", "only jobs of this `SESSION`")
	limitVar(c.Flags(), &limit, 0)
	_ = c.RegisterFlagCompletionFunc("session", a.completeSessions())
	return c
}

// jobPages follows the pages until limit jobs are there, 0 meaning all.
func (a *app) jobPages(ctx context.Context, conn *grpc.ClientConn, r *recfleetv1.ListJobsRequest, limit int) ([]*recfleetv1.Job, error) {
	client := recfleetv1.NewJobServiceClient(conn)
	return pages(limit, func(size int32, token string) ([]*recfleetv1.Job, string, error) {
		ctx, cancel := a.deadline(ctx)
		defer cancel()
		r.PageSize, r.PageToken = size, token
		page, err := client.ListJobs(ctx, r)
		return page.GetJobs(), page.GetNextPageToken(), failed(err, "list jobs")
	})
}

// sessionFlag is a flag of a session's id.
type sessionFlag struct{ to *string }

func (f sessionFlag) String() string { return "" }

func (f sessionFlag) Type() string { return "SESSION" }

func (f sessionFlag) Set(id string) error {
	if !chunk.ValidSession(id) {
		return errors.New("cannot be a session's id")
	}
	*f.to = id
	return nil
}

func jobColumns(t *tables) []column[*recfleetv1.Job] {
	type j = *recfleetv1.Job
	return []column[j]{
		{"JOB", false, text(j.GetId)},
		{"STATE", false, jobStateCell},
		{"PRIORITY", false, text(func(v j) string {
			return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(v.GetPriority().String(), jobPriorityPrefix)), "_", " ")
		})},
		{"POOL", true, text(j.GetPool)},
		{"MEDIA", false, text(func(v j) string { return durationText(v.GetMediaDuration().AsDuration()) })},
		{"DONE", false, text(func(v j) string { return percent(v.GetFramesDone(), v.GetFrameCount()) })},
		{"CREATED", false, text(func(v j) string { return t.time(v.GetCreateTime()) })},
		{"AVAILABLE", true, text(func(v j) string { return t.time(v.GetAvailableTime()) })},
		{"LEASE ENDS", true, text(func(v j) string { return t.time(v.GetLeaseEndTime()) })},
		{"FAILURES", false, text(func(v j) string { return number(v.GetFailures()) })},
		{"SETBACKS", true, text(func(v j) string { return number(v.GetSetbacks()) })},
		{"RESCUES", true, text(func(v j) string { return number(v.GetRescues()) })},
		{"ENCODER", true, text(j.GetEncoderId)},
		{"DETAIL", false, name(t, j.GetDetail)},
	}
}

func jobStateCell(j *recfleetv1.Job) cell {
	c := cell{text: jobStateName(j.GetState())}
	switch j.GetState() {
	case recfleetv1.JobState_JOB_STATE_COMPLETED:
		c.paint = green
	case recfleetv1.JobState_JOB_STATE_RUNNING, recfleetv1.JobState_JOB_STATE_RETRYABLE:
		c.paint = yellow
	case recfleetv1.JobState_JOB_STATE_QUARANTINED:
		c.paint = red
	}
	return c
}

func percent(part, whole int64) string {
	if whole <= 0 || part <= 0 {
		return ""
	}
	return strconv.FormatInt(min(part, whole)*100/whole, 10) + "%"
}

func (a *app) retryJob() *cobra.Command {
	c := &cobra.Command{
		Use: "retry JOB", Short: "Have a quarantined or waiting job done at once", Args: one("JOB", checkJob), ValidArgsFunction: first(a.completeJobs()),
		Long: "Have a quarantined or waiting job done at once, with its failures forgotten. A job that is available or running stays as it is.",
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, args []string) error {
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			answer, err := recfleetv1.NewJobServiceClient(conn).RetryJob(ctx, &recfleetv1.RetryJobRequest{JobId: args[0]})
			if err != nil {
				return failed(err, "retry job %s", args[0])
			}
			return a.print(answer.GetJob(), func(t *tables) { list(t, []*recfleetv1.Job{answer.GetJob()}, jobColumns(t)) })
		}),
	}
	a.outputFlags(c)
	return c
}
