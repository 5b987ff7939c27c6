package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

const approvalStatePrefix = "APPROVAL_STATE_"

func (a *app) approvals() *cobra.Command {
	return noun("approvals", "List, approve and refuse what needs a second person", a.listApprovals(),
		a.decision("approve", "Approve what another person has ordered, and have it done",
			func(ctx context.Context, client recfleetv1.ApprovalServiceClient, id, reason string) (*recfleetv1.Approval, error) {
				answer, err := client.ApproveOrder(ctx, &recfleetv1.ApproveOrderRequest{ApprovalId: id, Reason: reason})
				return answer.GetApproval(), err
			}),
		a.decision("refuse", "Refuse what was ordered, also by yourself",
			func(ctx context.Context, client recfleetv1.ApprovalServiceClient, id, reason string) (*recfleetv1.Approval, error) {
				answer, err := client.RefuseOrder(ctx, &recfleetv1.RefuseOrderRequest{ApprovalId: id, Reason: reason})
				return answer.GetApproval(), err
			}))
}

func (a *app) listApprovals() *cobra.Command {
	var all bool
	var limit int
	c := &cobra.Command{
		Use: "list", Short: "List what waits for a second person", Args: noArgs,
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, _ []string) error {
			client := recfleetv1.NewApprovalServiceClient(conn)
			found, err := pages(limit, func(size int32, token string) ([]*recfleetv1.Approval, string, error) {
				ctx, cancel := a.deadline(ctx)
				defer cancel()
				page, err := client.ListApprovals(ctx, &recfleetv1.ListApprovalsRequest{PageSize: size, PageToken: token, IncludeEnded: all})
				return page.GetApprovals(), page.GetNextPageToken(), failed(err, "list approvals")
			})
			if err != nil {
				return err
			}
			return a.print(&recfleetv1.ListApprovalsResponse{Approvals: found}, func(t *tables) { list(t, found, approvalColumns(t)) })
		}),
	}
	a.outputFlags(c)
	c.Flags().BoolVar(&all, "all", false, "also those that were approved, refused or not decided in time")
	limitVar(c.Flags(), &limit, 0)
	return c
}

func approvalColumns(t *tables) []column[*recfleetv1.Approval] {
	type ap = *recfleetv1.Approval
	return []column[ap]{
		{"APPROVAL", false, text(ap.GetId)},
		{"STATE", false, text(func(v ap) string {
			return strings.ToLower(strings.TrimPrefix(v.GetState().String(), approvalStatePrefix))
		})},
		{"ACTION", false, text(ap.GetAction)},
		{"SESSION", false, text(ap.GetSessionId)},
		{"ORDERED BY", false, name(t, ap.GetAskBy)},
		{"ORDERED", false, text(func(v ap) string { return t.time(v.GetAskTime()) })},
		{"EXPIRES", false, text(func(v ap) string { return t.time(v.GetExpireTime()) })},
		{"DECIDED BY", true, name(t, ap.GetEndBy)},
		{"DECIDED", true, text(func(v ap) string { return t.time(v.GetEndTime()) })},
		{"REASON", false, name(t, ap.GetReason)},
	}
}

type decide func(ctx context.Context, client recfleetv1.ApprovalServiceClient, id, reason string) (*recfleetv1.Approval, error)

func (a *app) decision(verb, short string, do decide) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use: verb + " APPROVAL", Short: short, Args: one("APPROVAL", checkApproval),
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, args []string) error {
			ctx, cancel := a.deadline(ctx)
			defer cancel()
			answer, err := do(ctx, recfleetv1.NewApprovalServiceClient(conn), args[0], reason)
			if err != nil {
				return failed(err, "%s %s", verb, args[0])
			}
			return a.print(answer, func(t *tables) { list(t, []*recfleetv1.Approval{answer}, approvalColumns(t)) })
		}),
	}
	a.outputFlags(c)
	textVar(c.Flags(), &reason, "reason", maxReason, "`TEXT` for the audit")
	return c
}

func checkApproval(id string) error {
	if !encoderID.MatchString(id) {
		return usageError{fmt.Errorf("APPROVAL: %s cannot be an approval's id: those are 16 to 64 of a-z and 0-9", quote(id))}
	}
	return nil
}
