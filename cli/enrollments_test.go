package cli

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

func (s *service) CreateEnrollment(_ context.Context, r *recfleetv1.CreateEnrollmentRequest) (*recfleetv1.CreateEnrollmentResponse, error) {
	s.note(r)
	return &recfleetv1.CreateEnrollmentResponse{
		Token: "rfj-secret", Enrollment: &recfleetv1.Enrollment{Id: "enrollment1", Stacks: r.GetStacks(), ExpireTime: r.GetExpireTime(), MaxUses: r.GetMaxUses()},
	}, nil
}

func (s *service) ListEnrollments(_ context.Context, r *recfleetv1.ListEnrollmentsRequest) (*recfleetv1.ListEnrollmentsResponse, error) {
	s.note(r)
	return &recfleetv1.ListEnrollmentsResponse{Enrollments: []*recfleetv1.Enrollment{{Id: "enrollment1", Description: "a\x1b[31m", Stacks: []string{"s"}}}}, nil
}

func (s *service) RevokeEnrollment(_ context.Context, r *recfleetv1.RevokeEnrollmentRequest) (*recfleetv1.RevokeEnrollmentResponse, error) {
	s.note(r)
	if r.GetEnrollmentId() != "enrollment1" {
		return nil, status.Error(codes.NotFound, "no such enrollment")
	}
	return &recfleetv1.RevokeEnrollmentResponse{Enrollment: &recfleetv1.Enrollment{Id: "enrollment1"}}, nil
}

func TestEnrollments(t *testing.T) {
	f := newFixture(t)
	exit, stdout, stderr := f.run(t, "enrollments", "create", "--stack", "s", "--expires", "24h", "--uses", "5")
	if exit != exitOK || !strings.Contains(stdout, "rfj-secret") || !strings.Contains(stdout, "enrollment1") {
		t.Fatalf("exit %d, %s%s", exit, stdout, stderr)
	}
	r, ok := f.orders[len(f.orders)-1].(*recfleetv1.CreateEnrollmentRequest)
	if !ok || r.GetMaxUses() != 5 || len(r.GetStacks()) != 1 || r.GetExpireTime() == nil || r.GetAws() != nil {
		t.Errorf("asked for %v", r)
	}
	file := filepath.Join(t.TempDir(), "agent.json")
	exit, stdout, stderr = f.run(t, "enrollments", "create", "--stack", "s", "--expires", "24h", "--agent-file", file)
	if exit != exitOK || strings.Contains(stdout+stderr, "rfj-secret") {
		t.Errorf("exit %d, %s%s", exit, stdout, stderr)
	}
	raw, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(raw), "rfj-secret") {
		t.Errorf("%s, %v", raw, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if exit, stdout, _ = f.run(t, "enrollments", "list"); exit != exitOK || !strings.Contains(stdout, "enrollment1") || strings.Contains(stdout, "\x1b") {
		t.Errorf("exit %d, %q", exit, stdout)
	}
	if exit, _, stderr = f.run(t, "enrollments", "revoke", "enrollment1"); exit != exitOK {
		t.Errorf("exit %d, %s", exit, stderr)
	}
	if exit, _, _ = f.run(t, "enrollments", "revoke", "enrollment2"); exit == exitOK {
		t.Error("what is not there was revoked")
	}
	if exit, _, stderr = f.run(t, "enrollments", "revoke", "../x"); exit != exitUsage || !strings.Contains(stderr, `"../x" cannot be an id`) {
		t.Errorf("exit %d, %s", exit, stderr)
	}
	if exit, _, stderr = f.run(t, "enrollments", "create", "--stack", "s"); exit != exitUsage || !strings.Contains(stderr, "--expires: ") {
		t.Errorf("without an end: exit %d, %s", exit, stderr)
	}
}

// Nobody is asked, and nothing made.
func TestBadInputOfEnrollmentsNamesItsPlace(t *testing.T) {
	f := newFixture(t)
	create := func(more ...string) []string { return append([]string{"enrollments", "create"}, more...) }
	sound := func(more ...string) []string {
		return create(append([]string{"--stack", "s", "--expires", "24h"}, more...)...)
	}
	many := create("--expires", "24h")
	for range 17 {
		many = append(many, "--fleet", "f")
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{create("--expires", "24h"), "--stack: is needed, or --fleet"},
		{create("--stack", "a\x07", "--expires", "24h"), `--stack: "a\a" holds control characters`},
		{create("--stack", "\xff", "--expires", "24h"), "--stack: "},
		{create("--stack", strings.Repeat("a", 257), "--expires", "24h"), "--stack: "},
		{create("--fleet", "a,,b", "--expires", "24h"), `--fleet: "" is no name`},
		{create("--stack", `a"b`, "--expires", "24h"), "--stack: "},
		{many, "--fleet: are 17, at most 16"},
		{create("--stack", "s"), "--expires: is needed"},
		{create("--stack", "s", "--expires", "-1h"), "--expires: is needed, and is above 0"},
		{create("--stack", "s", "--expires", "soon"), `--expires: "soon" is not a duration`},
		{create("--stack", "s", "--expires", "100000h"), "--expires: 100000h0m0s is more than ten years"},
		{sound("--uses", "-1"), "--uses: -1 is not from 0"},
		{sound("--uses", "1000001"), "--uses: 1000001 is not from 0"},
		{sound("--uses", "99999999999"), `--uses: "99999999999" is out of bounds`},
		{sound("--uses", "x"), `--uses: "x" is not a whole number`},
		{sound("--description", "a\n"), "--description: "},
		{sound("--aws-arn", "arn:aws:sts::123456789012:assumed-role/R/*"), `--aws-account: "" is not of 12 digits`},
		{sound("--aws-arn", "a", "--aws-account", "12"), `--aws-account: "12" is not of 12 digits`},
		{sound("--aws-account", "123456789012"), "--aws-arn: is needed"},
		{sound("--aws-account", "\xff"), "--aws-account: "},
		{sound("--aws-arn", "\xff"), "--aws-arn: "},
		{sound("--agent-file", "/nowhere/to/be/found"), `--agent-file: there is no folder "/nowhere/to/be"`},
		{sound("more"), "takes no arguments"},
		{[]string{"enrollments", "list", "--limit", "-1"}, "--limit: "},
		{[]string{"enrollments", "revoke"}, "needs one argument, ENROLLMENT"},
		{[]string{"enrollments", "revoke", "../x"}, `ENROLLMENT: "../x" cannot be an id`},
		{[]string{"enrollments", "revoke", "\xff"}, "ENROLLMENT: "},
		{[]string{"enrollments", "revoke", "enrollment1", "--reason", "\xff"}, "--reason: "},
		{[]string{"enrollments", "revoke", "enrollment1", "--keep-agents=maybe"}, `--keep-agents: "maybe" is neither`},
		{[]string{"enrollments", "revoke-agent"}, "needs one argument, AGENT"},
		{[]string{"enrollments", "revoke-agent", strings.Repeat("a", 65)}, "AGENT: "},
		{[]string{"enrollments", "agents", "--enrollment", "../x"}, `--enrollment: "../x" cannot be an id`},
		{[]string{"enrollments", "agents", "--enrollment", ""}, "--enrollment: "},
		{[]string{"enrollments", "agents", "--limit", "many"}, "--limit: "},
	} {
		exit, stdout, stderr := f.run(t, c.args...)
		if exit != exitUsage || stdout != "" || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%.100q: exit %d, %s%s", c.args, exit, stdout, stderr)
		}
	}
	if len(f.orders) > 0 {
		t.Errorf("the coordinator was asked for %v", f.orders)
	}
}
