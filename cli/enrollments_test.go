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
