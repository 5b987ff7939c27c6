package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/internal/identity"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

func (a *app) enrollments() *cobra.Command {
	return noun("enrollments", "Let agents join, and cut them off", a.createEnrollment(), a.listEnrollments(), a.revokeEnrollment(), a.listEnrolled(), a.revokeEnrolled())
}

func (a *app) createEnrollment() *cobra.Command {
	var (
		r       recfleetv1.CreateEnrollmentRequest
		aws     recfleetv1.AwsRule
		expires time.Duration
		uses    int32
		file    string
	)
	c := &cobra.Command{
		Use: "create", Short: "Make an enrollment and show its token once",
		Args: func(c *cobra.Command, args []string) error {
			if err := noArgs(c, args); err != nil {
				return err
			}
			return checkEnrollment(&r, &aws, expires, uses, file)
		},
		Long: "Make an enrollment and show its token, once: of it only a hash is kept. Agents whose configuration has it join by\n" +
			"themselves when they start, each with a key of its own, and may record for the stacks and fleets that are named here and\n" +
			"for no others. In a name * stands for any text; --stack '*' is any stack, and none at all.\n" +
			"With --agent-file the whole configuration of agents is written there instead.",
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, _ []string) error {
			r.ExpireTime, r.MaxUses = timestamppb.New(a.now().Add(expires)), uses
			if aws.GetAccount() != "" || aws.GetArn() != "" {
				r.Aws = &aws
			}
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			answer, err := recfleetv1.NewEnrollmentServiceClient(conn).CreateEnrollment(ctx, &r)
			if err != nil {
				return failed(err, "create enrollment")
			}
			if file != "" {
				if err := a.writeAgentFile(file, answer.GetToken()); err != nil {
					return fmt.Errorf("enrollment %s was made, but its token is lost; revoke it: %w", answer.GetEnrollment().GetId(), err)
				}
				answer.Token = ""
			}
			return a.print(answer, func(t *tables) {
				list(t, []*recfleetv1.Enrollment{answer.GetEnrollment()}, enrollmentColumns(t))
				if answer.GetToken() != "" {
					t.title("Token, shown this once: %s", answer.GetToken())
				}
			})
		}),
	}
	a.outputFlags(c)
	f := c.Flags()
	textVar(f, &r.Description, "description", maxEnrollmentText, "`TEXT` for people")
	f.StringSliceVar(&r.Stacks, "stack", nil, "`NAME` of a stack of which agents may record sessions; may be repeated")
	f.StringSliceVar(&r.Fleets, "fleet", nil, "`NAME` of a fleet, as --stack")
	f.DurationVar(&expires, "expires", 0, "for how long agents may join, as 720h; needed")
	f.Int32Var(&uses, "uses", 0, "how many agents may join; 0 is any number")
	textVar(f, &aws.Account, "aws-account", maxName, "`NUMBER` of the AWS account whose identities join in place of a token")
	textVar(f, &aws.Arn, "aws-arn", maxARN, "`ARN` of those identities as STS tells it, as arn:aws:sts::123456789012:assumed-role/ROLE/*")
	f.StringVar(&file, "agent-file", "", "`FILE` to write the configuration of agents to, with address, authority and token")
	takesFile(c, "agent-file")
	return c
}

// writeAgentFile writes what an agent needs to join. It holds the token.
func (a *app) writeAgentFile(path, token string) error {
	client, err := a.target.client()
	if err != nil {
		return err
	}
	client.Token = token
	return client.Write(path)
}

func enrollmentColumns(t *tables) []column[*recfleetv1.Enrollment] {
	type e = *recfleetv1.Enrollment
	return []column[e]{
		{"ENROLLMENT", false, text(e.GetId)},
		{"STATE", false, func(v e) cell {
			switch {
			case v.GetRevokeTime() != nil:
				return cell{"revoked", red}
			case !v.GetExpireTime().AsTime().After(t.now):
				return cell{"expired", yellow}
			case v.GetMaxUses() > 0 && v.GetUses() >= v.GetMaxUses():
				return cell{"used up", yellow}
			}
			return cell{"open", green}
		}},
		{"STACKS", false, name(t, func(v e) string { return strings.Join(v.GetStacks(), ",") })},
		{"FLEETS", false, name(t, func(v e) string { return strings.Join(v.GetFleets(), ",") })},
		{"USES", false, text(func(v e) string {
			if v.GetMaxUses() == 0 {
				return number(v.GetUses())
			}
			return fmt.Sprintf("%d of %d", v.GetUses(), v.GetMaxUses())
		})},
		{"EXPIRES", false, text(func(v e) string { return t.time(v.GetExpireTime()) })},
		{"DESCRIPTION", false, name(t, e.GetDescription)},
		{"AWS", true, name(t, func(v e) string { return v.GetAws().GetArn() })},
		{"CREATED", true, text(func(v e) string { return t.time(v.GetCreateTime()) })},
		{"BY", true, name(t, e.GetCreateBy)},
	}
}

func (a *app) listEnrollments() *cobra.Command {
	var (
		all   bool
		limit int
	)
	c := &cobra.Command{
		Use: "list", Short: "List enrollments by which agents can join", Args: noArgs,
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, _ []string) error {
			client := recfleetv1.NewEnrollmentServiceClient(conn)
			found, err := pages(limit, func(size int32, token string) ([]*recfleetv1.Enrollment, string, error) {
				ctx, cancel := a.deadline(ctx)
				defer cancel()
				page, err := client.ListEnrollments(ctx, &recfleetv1.ListEnrollmentsRequest{PageSize: size, PageToken: token, ShowEnded: all})
				return page.GetEnrollments(), page.GetNextPageToken(), failed(err, "list enrollments")
			})
			if err != nil {
				return err
			}
			return a.print(&recfleetv1.ListEnrollmentsResponse{Enrollments: found}, func(t *tables) { list(t, found, enrollmentColumns(t)) })
		}),
	}
	a.outputFlags(c)
	c.Flags().BoolVar(&all, "all", false, "also those that have run out, were used up or revoked")
	limitVar(c.Flags(), &limit, 0)
	return c
}

func (a *app) revokeEnrollment() *cobra.Command {
	var (
		keep   bool
		reason string
	)
	c := &cobra.Command{
		Use: "revoke ENROLLMENT", Short: "End an enrollment and the agents that have joined by it",
		Long: "End an enrollment. The agents that have joined by it are cut off within seconds: their calls are refused and the bus takes\n" +
			"nothing from them. With --keep-agents they go on, and only nobody joins any more: that is how a token is replaced.",
		Args: one("ENROLLMENT", checkMachineID("ENROLLMENT")),
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, args []string) error {
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			answer, err := recfleetv1.NewEnrollmentServiceClient(conn).RevokeEnrollment(ctx, &recfleetv1.RevokeEnrollmentRequest{EnrollmentId: args[0], KeepAgents: keep, Reason: reason})
			if err != nil {
				return failed(err, "revoke enrollment %s", args[0])
			}
			return a.print(answer.GetEnrollment(), func(t *tables) {
				list(t, []*recfleetv1.Enrollment{answer.GetEnrollment()}, enrollmentColumns(t))
			})
		}),
	}
	a.outputFlags(c)
	c.Flags().BoolVar(&keep, "keep-agents", false, "let the agents that have joined go on")
	textVar(c.Flags(), &reason, "reason", maxReason, "`TEXT` for the audit log")
	return c
}

func enrolledColumns(t *tables) []column[*recfleetv1.EnrolledAgent] {
	type g = *recfleetv1.EnrolledAgent
	return []column[g]{
		{"AGENT", false, text(g.GetId)},
		{"STATE", false, func(v g) cell {
			switch {
			case v.GetRevokeTime() != nil:
				return cell{"revoked", red}
			case t.now.Sub(v.GetRenewTime().AsTime()) > identity.AgentCertificateLife:
				return cell{"away", yellow}
			}
			return cell{"certified", green}
		}},
		{"ENROLLMENT", false, text(g.GetEnrollmentId)},
		{"FROM", false, name(t, g.GetFrom)},
		{"JOINED", false, text(func(v g) string { return t.time(v.GetEnrollTime()) })},
		{"CERTIFIED", false, text(func(v g) string { return t.time(v.GetRenewTime()) })},
		{"AWS", true, name(t, g.GetAwsArn)},
	}
}

func (a *app) listEnrolled() *cobra.Command {
	var (
		enrollment string
		limit      int
	)
	c := &cobra.Command{
		Use: "agents", Short: "List the agents that have joined", Args: noArgs,
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, _ []string) error {
			client := recfleetv1.NewEnrollmentServiceClient(conn)
			found, err := pages(limit, func(size int32, token string) ([]*recfleetv1.EnrolledAgent, string, error) {
				ctx, cancel := a.deadline(ctx)
				defer cancel()
				page, err := client.ListEnrolledAgents(ctx, &recfleetv1.ListEnrolledAgentsRequest{PageSize: size, PageToken: token, EnrollmentId: enrollment})
				return page.GetAgents(), page.GetNextPageToken(), failed(err, "list agents that have joined")
			})
			if err != nil {
				return err
			}
			return a.print(&recfleetv1.ListEnrolledAgentsResponse{Agents: found}, func(t *tables) { list(t, found, enrolledColumns(t)) })
		}),
	}
	a.outputFlags(c)
	c.Flags().Var(machineIDFlag{&enrollment}, "enrollment", "only those that have joined by this `ENROLLMENT`")
	limitVar(c.Flags(), &limit, 0)
	return c
}

func (a *app) revokeEnrolled() *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: "revoke-agent AGENT", Short: "Cut one agent off",
		Long: "Cut one agent off within seconds. Whoever has the token that it joined by can join again with another key: where the\n" +
			"instance is not trusted any more, revoke the enrollment as well.",
		Args: one("AGENT", checkMachineID("AGENT")),
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, args []string) error {
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			answer, err := recfleetv1.NewEnrollmentServiceClient(conn).RevokeEnrolledAgent(ctx, &recfleetv1.RevokeEnrolledAgentRequest{AgentId: args[0], Reason: reason})
			if err != nil {
				return failed(err, "revoke agent %s", args[0])
			}
			return a.print(answer.GetAgent(), func(t *tables) { list(t, []*recfleetv1.EnrolledAgent{answer.GetAgent()}, enrolledColumns(t)) })
		}),
	}
	a.outputFlags(c)
	textVar(c.Flags(), &reason, "reason", maxReason, "`TEXT` for the audit log")
	return c
}
