package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/agent/enroll"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/identity"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// The agent's own way to the coordinator: it joins by itself, is the same agent after a restart, another one on another machine, and
// is told where it is not admitted.
func TestTheAgentsLinkJoinsByItself(t *testing.T) {
	err := within(t.Context(), hclog.NewNullLogger(), func(ctx context.Context, s *stage) error {
		rpc := recfleetv1.NewEnrollmentServiceClient(s.conn)
		made, err := rpc.CreateEnrollment(ctx, &recfleetv1.CreateEnrollmentRequest{Stacks: []string{"*"}, ExpireTime: timestamppb.New(time.Now().Add(time.Hour)), MaxUses: 2})
		if err != nil {
			return err
		}
		dir := t.TempDir()
		start := func(token, machine string) error {
			link, err := enroll.Open(enroll.Config{
				Coordinator: identity.Client{Address: s.admin.Address, CACertificate: s.admin.CACertificate, Token: token},
				Dir:         dir, Machine: machine, Logger: hclog.NewNullLogger(),
			})
			if err != nil {
				return err
			}
			running, stop := context.WithCancel(ctx)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				link.Run(running)
			}()
			defer func() {
				stop()
				<-ended
			}()
			key, err := bus.NewKey()
			if err != nil {
				return err
			}
			_, err = recfleetv1.NewAgentServiceClient(link).StartSession(ctx, startOf(key.Public()))
			return err
		}
		for i, machine := range []string{"a", "a", "b"} {
			if err := start(made.GetToken(), machine); err != nil {
				t.Errorf("start %d on machine %s: %v", i, machine, err)
			}
		}
		joined, err := rpc.ListEnrolledAgents(ctx, &recfleetv1.ListEnrolledAgentsRequest{EnrollmentId: made.GetEnrollment().GetId()})
		if err != nil || len(joined.GetAgents()) != 2 {
			t.Errorf("%d agents have joined, %v", len(joined.GetAgents()), err)
		}
		if err := start(made.GetToken(), "c"); status.Code(err) != codes.Unauthenticated {
			t.Errorf("with a token that is used up: %v", err)
		}
		return nil
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
