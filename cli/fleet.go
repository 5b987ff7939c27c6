package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

func (a *app) encoders() *cobra.Command {
	return noun("encoders", "List and drain encoders", a.listEncoders(), a.drainEncoder())
}

func (a *app) agents() *cobra.Command { return noun("agents", "List agents", a.listAgents()) }

func (a *app) listEncoders() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List the encoders of the last day", Args: noArgs,
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, _ []string) error {
			encoders, err := a.allEncoders(ctx, conn)
			if err != nil {
				return err
			}
			return a.print(&recfleetv1.ListEncodersResponse{Encoders: encoders}, func(t *tables) { list(t, encoders, encoderColumns(t)) })
		}),
	}
	a.outputFlags(c)
	return c
}

func (a *app) allEncoders(ctx context.Context, conn *grpc.ClientConn) ([]*recfleetv1.Encoder, error) {
	ctx, cancel := a.deadline(ctx)
	defer cancel()
	answer, err := recfleetv1.NewFleetServiceClient(conn).ListEncoders(ctx, &recfleetv1.ListEncodersRequest{})
	return answer.GetEncoders(), failed(err, "list encoders")
}

func encoderColumns(t *tables) []column[*recfleetv1.Encoder] {
	type e = *recfleetv1.Encoder
	return []column[e]{
		{"ENCODER", false, text(e.GetId)},
		{"HOST", false, name(t, e.GetHost)},
		{"LABELS", false, name(t, func(v e) string { return strings.Join(v.GetLabels(), ",") })},
		{"DRAINING", false, func(v e) cell {
			if v.GetDraining() {
				return cell{"yes", yellow}
			}
			return cell{text: "no"}
		}},
		{"RUNNING", false, text(func(v e) string { return number(v.GetRunning()) })},
		{"FREE", false, text(func(v e) string { return number(v.GetFreeSlots()) })},
		{"LOAD", false, text(func(v e) string {
			if v.GetLoad() == 0 {
				return ""
			}
			return fmt.Sprintf("%.1f", v.GetLoad())
		})},
		{"SEEN", false, text(func(v e) string { return t.time(v.GetLastSeenTime()) })},
		{"FIRST SEEN", true, text(func(v e) string { return t.time(v.GetFirstSeenTime()) })},
		{"VERSION", true, name(t, e.GetVersion)},
	}
}

func (a *app) drainEncoder() *cobra.Command {
	var (
		resume, wait bool
		waitTimeout  time.Duration
	)
	c := &cobra.Command{
		Use: "drain ENCODER", Short: "Have an encoder take no more work, or with --resume take it again",
		Long: "Have an encoder take no more work: it finishes what it holds and ends. --wait waits until it holds nothing more. With\n" +
			"--resume an encoder that has not ended yet takes work again.",
		Args: one("ENCODER", checkEncoder), ValidArgsFunction: first(a.completeEncoders()),
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, args []string) error {
			if resume && wait {
				return usageError{fmt.Errorf("--wait: there is nothing to wait for with --resume")}
			}
			callCtx, cancel := a.deadline(ctx)
			answer, err := recfleetv1.NewFleetServiceClient(conn).DrainEncoder(callCtx, &recfleetv1.DrainEncoderRequest{EncoderId: args[0], Resume: resume})
			cancel()
			if err != nil {
				return failed(err, "drain encoder %s", args[0])
			}
			e := answer.GetEncoder()
			if wait {
				if e, err = a.awaitDrained(ctx, conn, e, waitTimeout); err != nil {
					return err
				}
			}
			return a.print(e, func(t *tables) { list(t, []*recfleetv1.Encoder{e}, encoderColumns(t)) })
		}),
	}
	a.outputFlags(c)
	c.Flags().BoolVar(&resume, "resume", false, "take work again")
	c.Flags().BoolVar(&wait, "wait", false, "wait until it holds no more work")
	c.Flags().DurationVar(&waitTimeout, "wait-timeout", 30*time.Minute, "longest wait")
	return c
}

// awaitDrained polls until the encoder holds nothing, or is not known any more.
func (a *app) awaitDrained(ctx context.Context, conn *grpc.ClientConn, e *recfleetv1.Encoder, timeout time.Duration) (*recfleetv1.Encoder, error) {
	over, err := a.await(ctx, timeout, func() (done bool, state string, err error) {
		encoders, err := a.allEncoders(ctx, conn)
		if err != nil {
			return false, "", err
		}
		for _, other := range encoders {
			if other.GetId() == e.GetId() {
				e = other
				return e.GetRunning() == 0, fmt.Sprintf("%d jobs left", e.GetRunning()), nil
			}
		}
		return true, "", nil
	})
	if err == nil && !over {
		err = fmt.Errorf("drain encoder %s: ordered, but it still holds %d jobs after %v", e.GetId(), e.GetRunning(), timeout)
	}
	return e, err
}

func (a *app) listAgents() *cobra.Command {
	var (
		silent bool
		limit  int
	)
	c := &cobra.Command{
		Use: "list", Short: "List the agents of sessions that are not over", Args: noArgs,
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, _ []string) error {
			client := recfleetv1.NewFleetServiceClient(conn)
			agents, err := pages(limit, func(size int32, token string) ([]*recfleetv1.Agent, string, error) {
				ctx, cancel := a.deadline(ctx)
				defer cancel()
				page, err := client.ListAgents(ctx, &recfleetv1.ListAgentsRequest{PageSize: size, PageToken: token, Silent: silent})
				return page.GetAgents(), page.GetNextPageToken(), failed(err, "list agents")
			})
			if err != nil {
				return err
			}
			return a.print(&recfleetv1.ListAgentsResponse{Agents: agents}, func(t *tables) { list(t, agents, agentColumns(t)) })
		}),
	}
	a.outputFlags(c)
	c.Flags().BoolVar(&silent, "silent", false, "only those that have not been heard of for too long")
	limitVar(c.Flags(), &limit, 0)
	return c
}

func agentColumns(t *tables) []column[*recfleetv1.Agent] {
	type g = *recfleetv1.Agent
	return []column[g]{
		{"INSTANCE", false, name(t, g.GetInstance)},
		{"SESSION", false, text(g.GetSessionId)},
		{"USER", false, name(t, g.GetUser)},
		{"STATE", false, func(v g) cell {
			if v.GetSilent() {
				return cell{"silent", red}
			}
			return cell{"heard", green}
		}},
		{"SYNCED", false, text(func(v g) string { return t.time(v.GetLastSyncTime()) })},
		{"LAST FRAME", false, text(func(v g) string { return t.time(v.GetLastFrameTime()) })},
		{"SPOOLED", false, text(func(v g) string { return bytesText(v.GetSpooledBytes()) })},
		{"IDLE", false, text(func(v g) string {
			if v.GetUserIdle() == nil {
				return ""
			}
			return durationText(v.GetUserIdle().AsDuration())
		})},
		{"VERSION", true, name(t, g.GetVersion)},
	}
}
