package coordinator_test

import (
	"context"
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/coordinator"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// done makes a session of one archived segment that is complete.
func (w *world) done(e *encoder) *agent {
	w.t.Helper()
	a := newAgent(w)
	a.segment(2)
	a.end(4 * time.Second)
	e.work(1)
	w.await(a.session, recfleetv1.SessionState_SESSION_STATE_COMPLETE)
	return a
}

// What is not there is told by the field that names it, and what is not possible now without the catalog's own words.
func TestRefusalsAreToldInPlainWords(t *testing.T) {
	w := newWorld(t, coordinator.Config{})
	a, e, ctx := newAgent(w), newEncoder(w), t.Context()
	a.segment(1)
	e.work(1)
	sessions, recordings := recfleetv1.NewSessionServiceClient(w.admin), recfleetv1.NewRecordingServiceClient(w.admin)
	download := func(session string, segment int32) error {
		stream, err := recordings.DownloadRecording(ctx, &recfleetv1.DownloadRecordingRequest{SessionId: session, Segment: segment})
		if err == nil {
			_, err = stream.Recv()
		}
		return err
	}
	_, get := sessions.GetSession(ctx, &recfleetv1.GetSessionRequest{SessionId: "none"})
	_, hold := sessions.HoldSession(ctx, &recfleetv1.HoldSessionRequest{SessionId: "none"})
	_, list := recordings.ListRecordings(ctx, &recfleetv1.ListRecordingsRequest{SessionId: "none"})
	_, retry := recfleetv1.NewJobServiceClient(w.admin).RetryJob(ctx, &recfleetv1.RetryJobRequest{JobId: "none.1"})
	_, again := recfleetv1.NewJobServiceClient(w.admin).RetryJob(ctx, &recfleetv1.RetryJobRequest{JobId: a.session + ".1"})
	_, drain := recfleetv1.NewFleetServiceClient(w.admin).DrainEncoder(ctx, &recfleetv1.DrainEncoderRequest{EncoderId: "none000000000000"})
	_, remove := sessions.DeleteSession(ctx, &recfleetv1.DeleteSessionRequest{SessionId: a.session})
	for _, c := range []struct {
		err  error
		code codes.Code
		want string
	}{
		{get, codes.NotFound, "session_id: session none not found"},
		{hold, codes.NotFound, "session_id: session none not found"},
		{list, codes.NotFound, "session_id: session none not found"},
		{retry, codes.NotFound, "job_id: job none.1 not found"},
		{drain, codes.NotFound, "encoder_id: encoder none000000000000 not found"},
		{download(a.session, 9), codes.NotFound, "session_id: segment 9 of session " + a.session + " not found"},
		{again, codes.FailedPrecondition, "job " + a.session + ".1 is completed, there is nothing to retry"},
		{remove, codes.FailedPrecondition, "session " + a.session + " is recording, and only one that is over can be deleted"},
	} {
		if status.Code(c.err) != c.code || status.Convert(c.err).Message() != c.want {
			t.Errorf("%v, want %v %q", c.err, c.code, c.want)
		}
	}
}

func TestHoldReleaseAndDelete(t *testing.T) {
	w := newWorld(t, coordinator.Config{})
	people, ctx := recfleetv1.NewSessionServiceClient(w.admin), t.Context()
	live, a := newAgent(w), w.done(newEncoder(w))
	hold := &recfleetv1.HoldSessionRequest{SessionId: a.session, Reason: "case 7"}
	for range 2 {
		got, err := people.HoldSession(ctx, hold)
		if err != nil || got.GetSession().GetHoldTime() == nil || got.GetSession().GetHoldReason() != "case 7" {
			t.Fatal(got, err)
		}
		hold = &recfleetv1.HoldSessionRequest{SessionId: a.session, Reason: "another"}
	}
	remove := &recfleetv1.DeleteSessionRequest{SessionId: a.session, Reason: "asked for"}
	_, err := people.DeleteSession(ctx, remove)
	wantCode(t, err, codes.FailedPrecondition, "session "+a.session+" is held; it can be deleted when it was released")
	if got, err := people.ReleaseSession(ctx, &recfleetv1.ReleaseSessionRequest{SessionId: a.session}); err != nil || got.GetSession().GetHoldTime() != nil {
		t.Fatal(got, err)
	}
	_, err = people.DeleteSession(ctx, &recfleetv1.DeleteSessionRequest{SessionId: live.session})
	wantCode(t, err, codes.FailedPrecondition, "recording")
	for range 2 {
		if got, err := people.DeleteSession(ctx, remove); err != nil || got.GetSession().GetDeleteTime() == nil {
			t.Fatal(got, err)
		}
	}
	_, err = people.HoldSession(ctx, hold)
	wantCode(t, err, codes.FailedPrecondition, "deletion")
	_, err = recfleetv1.NewRecordingServiceClient(w.admin).GetManifest(ctx, &recfleetv1.GetManifestRequest{SessionId: a.session})
	wantCode(t, err, codes.NotFound, "manifest")
	_, err = recfleetv1.NewRecordingServiceClient(w.admin).ListRecordings(ctx, &recfleetv1.ListRecordingsRequest{SessionId: a.session})
	wantCode(t, err, codes.FailedPrecondition, "the recordings of session "+a.session+" were deleted at ")

	records, err := recfleetv1.NewAuditServiceClient(w.admin).ListAuditRecords(ctx, &recfleetv1.ListAuditRecordsRequest{Object: a.session})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, r := range records.GetRecords() {
		if r.GetActor() == "retention" {
			continue
		}
		told = append([]string{strings.TrimPrefix(r.GetAction(), "session.") + " " + r.GetResult()}, told...)
		if r.GetActor() != "admin" || !strings.HasPrefix(r.GetFrom(), "127.0.0.1") || len(r.GetHash()) != 32 {
			t.Errorf("%v", r)
		}
	}
	if got := strings.Join(told, ", "); got != "view ok, hold ok, hold ok, delete failed_precondition, release ok, delete ok, delete ok, hold failed_precondition" {
		t.Error(got)
	}
}

func TestManifestIsSigned(t *testing.T) {
	w := newWorld(t, coordinator.Config{})
	a := newAgent(w)
	get := func() (*recfleetv1.GetManifestResponse, error) {
		return recfleetv1.NewRecordingServiceClient(w.admin).GetManifest(t.Context(), &recfleetv1.GetManifestRequest{SessionId: a.session})
	}
	_, err := get()
	wantCode(t, err, codes.NotFound, "no manifest")
	a.segment(1)
	a.end(2 * time.Second)
	newEncoder(w).work(1)
	w.await(a.session, recfleetv1.SessionState_SESSION_STATE_COMPLETE)
	got, err := get()
	if err != nil || !ed25519.Verify(got.GetPublicKey(), got.GetManifest(), got.GetSignature()) || !strings.Contains(string(got.GetManifest()), a.session) {
		t.Fatal(got, err)
	}
	w.stop()
	w.start()
	again, err := get()
	if err != nil || string(again.GetPublicKey()) != string(got.GetPublicKey()) {
		t.Errorf("the key was another one after a restart: %v", err)
	}
}

func TestSessionsAreWatched(t *testing.T) {
	w := newWorld(t, coordinator.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	before := newAgent(w)
	stream, err := recfleetv1.NewSessionServiceClient(w.admin).WatchSessions(ctx, &recfleetv1.WatchSessionsRequest{
		Filter: &recfleetv1.ListSessionsRequest{States: []recfleetv1.SessionState{recfleetv1.SessionState_SESSION_STATE_RECORDING}},
	})
	if err != nil {
		t.Fatal(err)
	}
	next := func(id string, gone bool) *recfleetv1.Session {
		t.Helper()
		for {
			got, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if got.GetSession().GetId() == id && got.GetGone() == gone {
				return got.GetSession()
			}
		}
	}
	next(before.session, false)
	after := newAgent(w)
	next(after.session, false)
	after.segment(1)
	if s := next(after.session, false); s.GetSegmentCount() != 1 {
		t.Errorf("%v", s)
	}
	after.end(2 * time.Second)
	next(after.session, true)
	w.stop() // must not wait for the caller
	if _, err := stream.Recv(); err == nil {
		t.Error("the watch goes on")
	}
}

func TestJobsAndFleetAreListed(t *testing.T) {
	w := newWorld(t, coordinator.Config{Lease: time.Minute})
	ctx := t.Context()
	work, fleet := recfleetv1.NewJobServiceClient(w.admin), recfleetv1.NewFleetServiceClient(w.admin)
	a, e := newAgent(w), newEncoder(w)
	a.segment(2)
	lease := e.sync(1, 5*time.Second).GetGranted()[0]
	e.sync(0, 0, &recfleetv1.HeldLease{JobId: lease.GetJobId(), Generation: lease.GetGeneration(), FramesDone: 7})
	list, err := work.ListJobs(ctx, &recfleetv1.ListJobsRequest{SessionId: a.session})
	if err != nil || len(list.GetJobs()) != 1 {
		t.Fatal(list, err)
	}
	if j := list.GetJobs()[0]; j.GetState() != recfleetv1.JobState_JOB_STATE_RUNNING || j.GetFramesDone() != 7 || j.GetFrameCount() != 20 ||
		j.GetMediaDuration().AsDuration() != 4*time.Second || j.GetPriority() != recfleetv1.JobPriority_JOB_PRIORITY_LIVE || j.GetLeaseEndTime() == nil || j.GetEncoderId() != e.id {
		t.Errorf("%v", j)
	}
	w.fail(e, lease, recfleetv1.FailureCause_FAILURE_CAUSE_DESTINATION)
	for range 3 {
		var l *recfleetv1.Lease
		w.until("lease", func() bool {
			if _, err := work.RetryJob(ctx, &recfleetv1.RetryJobRequest{JobId: lease.GetJobId()}); err != nil { // no waiting
				t.Fatal(err)
			}
			if got := e.sync(1, time.Second).GetGranted(); len(got) == 1 {
				l = got[0]
			}
			return l != nil
		})
		w.fail(e, l, recfleetv1.FailureCause_FAILURE_CAUSE_DESTINATION)
	}
	if j := w.job(lease.GetJobId()); j.GetState() != recfleetv1.JobState_JOB_STATE_RETRYABLE || j.GetFailures() != 0 {
		t.Errorf("what the archive did counts: %v", j)
	}

	encoders, err := fleet.ListEncoders(ctx, &recfleetv1.ListEncodersRequest{})
	if err != nil || len(encoders.GetEncoders()) != 1 || encoders.GetEncoders()[0].GetId() != e.id {
		t.Fatal(encoders, err)
	}
	drained, err := fleet.DrainEncoder(ctx, &recfleetv1.DrainEncoderRequest{EncoderId: e.id})
	if err != nil || !drained.GetEncoder().GetDraining() {
		t.Fatal(drained, err)
	}
	a.segment(1)
	if got := e.sync(4, 10*time.Second); !got.GetDrain() || len(got.GetGranted()) > 0 {
		t.Errorf("%v", got)
	}
	if _, err := fleet.DrainEncoder(ctx, &recfleetv1.DrainEncoderRequest{EncoderId: e.id, Resume: true}); err != nil {
		t.Fatal(err)
	}
	if got := e.sync(4, 10*time.Second); got.GetDrain() || len(got.GetGranted()) == 0 {
		t.Errorf("%v", got)
	}
	w.until("agent", func() bool {
		a.sync()
		agents, err := fleet.ListAgents(ctx, &recfleetv1.ListAgentsRequest{})
		return err == nil && len(agents.GetAgents()) == 1 && agents.GetAgents()[0].GetSessionId() == a.session && agents.GetAgents()[0].GetInstance() == "i-1"
	})
}

func TestAQuarantinedJobIsGivenBack(t *testing.T) {
	w := newWorld(t, coordinator.Config{Lease: time.Minute})
	a, e := newAgent(w), newEncoder(w)
	a.segment(1)
	id := a.session + ".1"
	for range 3 {
		var l *recfleetv1.Lease
		w.until("lease", func() bool {
			if got := e.sync(1, 5*time.Second).GetGranted(); len(got) == 1 {
				l = got[0]
			}
			return l != nil
		})
		w.fail(e, l, recfleetv1.FailureCause_FAILURE_CAUSE_CONTENT)
	}
	if j := w.job(id); j.GetState() != recfleetv1.JobState_JOB_STATE_QUARANTINED || j.GetFailures() != 3 {
		t.Fatalf("%v", j)
	}
	got, err := recfleetv1.NewJobServiceClient(w.admin).RetryJob(t.Context(), &recfleetv1.RetryJobRequest{JobId: id})
	if err != nil || got.GetJob().GetState() != recfleetv1.JobState_JOB_STATE_AVAILABLE || got.GetJob().GetFailures() != 0 {
		t.Fatal(got, err)
	}
	e.work(1)
	_, err = recfleetv1.NewJobServiceClient(w.admin).RetryJob(t.Context(), &recfleetv1.RetryJobRequest{JobId: id})
	wantCode(t, err, codes.FailedPrecondition, "completed")
	a.end(2 * time.Second)
	if s := w.await(a.session, recfleetv1.SessionState_SESSION_STATE_COMPLETE); len(s.GetGaps()) != 0 {
		t.Errorf("%v", s)
	}
}

func TestAViewerIsServedFirst(t *testing.T) {
	w := newWorld(t, coordinator.Config{})
	var all []*agent
	for range 3 {
		a := newAgent(w)
		a.segment(1)
		all = append(all, a)
	}
	last := all[2].session
	stream, err := recfleetv1.NewRecordingServiceClient(w.admin).DownloadRecording(t.Context(), &recfleetv1.DownloadRecordingRequest{SessionId: last, Segment: 1})
	if err == nil {
		_, err = stream.Recv()
	}
	wantCode(t, err, codes.NotFound, "not archived")
	if got := newEncoder(w).sync(1, 5*time.Second).GetGranted(); len(got) != 1 || got[0].GetSource().GetSessionId() != last {
		t.Errorf("%v", got)
	}
}

func (w *world) fail(e *encoder, l *recfleetv1.Lease, cause recfleetv1.FailureCause) {
	w.t.Helper()
	if _, err := w.jobs().FailJob(w.t.Context(), &recfleetv1.FailJobRequest{
		JobId: l.GetJobId(), Generation: l.GetGeneration(), EncoderId: e.id, Cause: cause, Detail: "test",
	}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) jobsOf(session string) []*recfleetv1.Job {
	w.t.Helper()
	got, err := recfleetv1.NewJobServiceClient(w.admin).ListJobs(w.t.Context(), &recfleetv1.ListJobsRequest{SessionId: session})
	if err != nil {
		w.t.Fatal(err)
	}
	return got.GetJobs()
}

func (w *world) job(id string) *recfleetv1.Job {
	w.t.Helper()
	session, _, _ := strings.Cut(id, ".")
	for _, j := range w.jobsOf(session) {
		if j.GetId() == id {
			return j
		}
	}
	w.t.Fatalf("no job %s", id)
	return nil
}
