package cli

import (
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

func TestHoldAndRelease(t *testing.T) {
	f := newFixture(t)
	exit, stdout, stderr := f.run(t, "sessions", "hold", "a1", "--reason", "case 7", "-o", "wide")
	if exit != exitOK || stderr != "" || !strings.Contains(stdout, "HELD") || !strings.Contains(stdout, "complete (held)") {
		t.Errorf("exit %d, stderr %q, stdout\n%s", exit, stderr, stdout)
	}
	_, stdout, _ = f.run(t, "sessions", "get", "a1")
	if !strings.Contains(stdout, "held since         2026-01-02T04:04:05Z (now)\nhold reason        case 7\n") {
		t.Errorf("stdout\n%s", stdout)
	}
	if exit, _, stderr = f.run(t, "sessions", "release", "a1", "--reason", "closed"); exit != exitOK {
		t.Errorf("exit %d, stderr %q", exit, stderr)
	}
	want := []proto.Message{&recfleetv1.HoldSessionRequest{SessionId: "a1", Reason: "case 7"}, &recfleetv1.ReleaseSessionRequest{SessionId: "a1", Reason: "closed"}}
	for i, r := range f.noted() {
		if !proto.Equal(r.(proto.Message), want[i]) {
			t.Errorf("order %d: %v", i, r)
		}
	}
}

func TestDeletionIsAskedFor(t *testing.T) {
	yes, no, nothing := "yes\n", "y\n", ""
	for name, c := range map[string]struct {
		typed    *string
		terminal bool
		args     []string
		exit     int
		deleted  bool
		want     string
	}{
		"yes typed":       {typed: &yes, terminal: true, exit: exitOK, deleted: true, want: "user an\\x1ba, started 2026-01-02T03:04:05Z"},
		"something typed": {typed: &no, terminal: true, exit: exitFailed, want: "nothing was deleted"},
		"nothing typed":   {typed: &nothing, terminal: true, exit: exitFailed, want: "nothing was deleted"},
		"no terminal":     {exit: exitUsage, want: "--yes: is needed"},
		"stderr is none":  {typed: &yes, exit: exitUsage, want: "--yes: is needed"},
		"flag":            {args: []string{"--yes"}, exit: exitOK, deleted: true},
		"flag refused":    {args: []string{"--yes=false"}, exit: exitUsage, want: "--yes: is needed"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.typed, f.bars = c.typed, c.terminal
			f.sessions[0].User = "an\x1ba"
			exit, _, stderr := f.run(t, append([]string{"sessions", "delete", "a1", "--reason", "told to"}, c.args...)...)
			if exit != c.exit || !strings.Contains(stderr, c.want) || strings.Contains(stderr, "\x1b") {
				t.Errorf("exit %d, stderr %q", exit, stderr)
			}
			if deleted := len(f.noted()) == 1; deleted != c.deleted || deleted != (f.sessions[0].GetDeleteTime() != nil) {
				t.Errorf("orders %v", f.noted())
			}
		})
	}
}

func TestNothingIsDownloadedOfADeletedSession(t *testing.T) {
	f := newFixture(t)
	f.sessions[0].DeleteTime = f.sessions[0].GetStartTime()
	for _, args := range [][]string{{}, {"--join"}, {"--segment", "1"}} {
		exit, stdout, stderr := f.run(t, append([]string{"recordings", "download", "a1", "--dir", t.TempDir()}, args...)...)
		if exit != exitFailed || stdout != "" || stderr != "recctl: session a1: its recordings were deleted\n" {
			t.Errorf("%q: exit %d, %q, %q", args, exit, stdout, stderr)
		}
	}
}

func TestHeldSessionIsNotDeleted(t *testing.T) {
	f := newFixture(t)
	f.refuse["delete"] = status.Error(codes.FailedPrecondition, "the session is held")
	if exit, _, stderr := f.run(t, "sessions", "delete", "a1", "--yes"); exit != exitFailed || stderr != "recctl: delete session a1: the session is held\n" {
		t.Errorf("exit %d, stderr %q", exit, stderr)
	}
}

func TestWaitsShowOnATerminalWhatIsWaitedFor(t *testing.T) {
	f := newFixture(t)
	f.bars = true
	f.sessions[0].State, f.endAfter = recfleetv1.SessionState_SESSION_STATE_RECORDING, 1
	exit, _, stderr := f.run(t, "sessions", "stop", "a1", "--wait")
	if exit != exitOK || !strings.Contains(stderr, "recording") {
		t.Errorf("exit %d, stderr %q", exit, stderr)
	}
}

func TestJobs(t *testing.T) {
	f := newFixture(t)
	exit, stdout, stderr := f.run(t, "jobs", "list", "--state", "running", "--state", "quarantined", "--session", "a1", "--limit", "2")
	want := `JOB   STATE        PRIORITY        MEDIA  DONE  CREATED  FAILURES  DETAIL
a1.2  running      viewer waiting  5m0s   25%   1h ago   0         -
a2.1  quarantined  normal          8.0s   -     59m ago  3         frame 7 cannot be decoded\x1b[31m
`
	if exit != exitOK || stdout != want || stderr != "" {
		t.Errorf("exit %d, stderr %q, stdout\n%s", exit, stderr, stdout)
	}
	asked := &recfleetv1.ListJobsRequest{
		States:    []recfleetv1.JobState{recfleetv1.JobState_JOB_STATE_RUNNING, recfleetv1.JobState_JOB_STATE_QUARANTINED},
		SessionId: "a1", PageSize: 2,
	}
	if got := f.noted(); len(got) != 1 || !proto.Equal(got[0].(proto.Message), asked) {
		t.Errorf("asked for %v", got)
	}
	exit, stdout, _ = f.run(t, "jobs", "retry", "a2.1", "-o", "json")
	if exit != exitOK || !strings.Contains(stdout, "JOB_STATE_AVAILABLE") {
		t.Errorf("exit %d, stdout\n%s", exit, stdout)
	}
	if exit, _, _ = f.run(t, "jobs", "retry", "a9.1"); exit != exitNotFound {
		t.Errorf("unknown job: exit %d", exit)
	}
}

func TestEncodersAndAgents(t *testing.T) {
	f := newFixture(t)
	_, stdout, _ := f.run(t, "encoders", "list")
	want := `ENCODER           HOST     LABELS   DRAINING  RUNNING  FREE  LOAD  SEEN
encoder000000001  enc-1    gpu,big  no        1        3     1.2   1m ago
encoder000000002  enc-2\n  -        yes       0        0     -     1h ago
`
	if stdout != want {
		t.Errorf("encoders\n%s", stdout)
	}
	exit, stdout, stderr := f.run(t, "encoders", "drain", "encoder000000001", "--wait")
	if exit != exitOK || !strings.Contains(stdout, "yes       0") || stderr != "" {
		t.Errorf("exit %d, stderr %q, stdout\n%s", exit, stderr, stdout)
	}
	if exit, stdout, _ = f.run(t, "encoders", "drain", "encoder000000001", "--resume"); exit != exitOK || !strings.Contains(stdout, "no        0") {
		t.Errorf("exit %d, stdout\n%s", exit, stdout)
	}
	if exit, _, _ = f.run(t, "encoders", "drain", "encoder000000001", "--resume", "--wait"); exit != exitUsage {
		t.Errorf("--resume --wait: exit %d", exit)
	}
	_, stdout, _ = f.run(t, "agents", "list", "--silent")
	want = `INSTANCE  SESSION  USER  STATE   SYNCED  LAST FRAME  SPOOLED  IDLE
i-1       a2       ana   heard   1m ago  1m ago      2.5 MB   1m30s
i-2       a3       bo    silent  1h ago  -           0 B      -
`
	last := f.noted()[len(f.noted())-1].(*recfleetv1.ListAgentsRequest)
	if stdout != want || !last.GetSilent() {
		t.Errorf("agents, asked for %v\n%s", last, stdout)
	}
}

func TestAudit(t *testing.T) {
	f := newFixture(t)
	exit, stdout, stderr := f.run(t, "audit", "list", "--actor", "ana", "--action", "session.delete", "--object", "a1", "--after", "2026-01-02", "--before", "1h", "--limit", "3")
	want := `NUMBER  TIME     ACTION          WHAT                    RESULT  REASON
5       55m ago  session.delete  ana deleted session a1  ok      told to
4       56m ago  session.delete  ana deleted session a1  ok      told to
3       57m ago  session.delete  ana deleted session a1  ok      told to
`
	if exit != exitOK || stdout != want || stderr != "" {
		t.Errorf("exit %d, stderr %q, stdout\n%s", exit, stderr, stdout)
	}
	r := f.noted()[0].(*recfleetv1.ListAuditRecordsRequest)
	if r.GetActor() != "ana" || r.GetAction() != "session.delete" || r.GetObject() != "a1" || !r.GetBefore().AsTime().Equal(began) || r.GetAfter().AsTime().Format("15:04:05") != "00:00:00" {
		t.Errorf("asked for %v", r)
	}
	if _, stdout, _ = f.run(t, "audit", "list", "--limit", "0"); strings.Count(stdout, "\n") != 6 {
		t.Errorf("all:\n%s", stdout)
	}
}
