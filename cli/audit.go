package cli

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/recfleet/recfleet/internal/evidence"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// auditRecords is how many records are shown unless another number is asked for: there are very many.
const auditRecords = 100

func (a *app) audit() *cobra.Command {
	return noun("audit", "Read what was done, by whom and why", a.listAudit(), a.exportAudit(), a.verifyAudit())
}

func (a *app) listAudit() *cobra.Command {
	var (
		limit int
		r     recfleetv1.ListAuditRecordsRequest
	)
	c := &cobra.Command{
		Use: "list", Short: "List audit records, the newest first", Args: noArgs,
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, _ []string) error {
			if err := inOrder(r.After, "after", r.Before, "before"); err != nil {
				return err
			}
			client := recfleetv1.NewAuditServiceClient(conn)
			records, err := pages(limit, func(size int32, token string) ([]*recfleetv1.AuditRecord, string, error) {
				ctx, cancel := a.deadline(ctx)
				defer cancel()
				r.PageSize, r.PageToken = size, token
				page, err := client.ListAuditRecords(ctx, &r)
				return page.GetRecords(), page.GetNextPageToken(), failed(err, "list audit records")
			})
			if err != nil {
				return err
			}
			return a.print(&recfleetv1.ListAuditRecordsResponse{Records: records}, func(t *tables) { list(t, records, auditColumns(t)) })
		}),
	}
	a.outputFlags(c)
	flags := c.Flags()
	filterVar(flags, &r.Actor, "actor", maxName, "only what this `ACTOR` did")
	filterVar(flags, &r.Action, "action", maxName, "only this `ACTION`, as session.delete")
	filterVar(flags, &r.Object, "object", maxName, "only what was done to this `OBJECT`: an id")
	filterVar(flags, &r.Result, "result", maxName, "only records with this `RESULT`, as refused")
	a.timeVar(flags, &r.After, "after", "only records of this `TIME` or later")
	a.timeVar(flags, &r.Before, "before", "only records before this `TIME`")
	limitVar(flags, &limit, auditRecords)
	return c
}

func auditColumns(t *tables) []column[*recfleetv1.AuditRecord] {
	type r = *recfleetv1.AuditRecord
	return []column[r]{
		{"NUMBER", false, text(func(v r) string { return strconv.FormatInt(v.GetNumber(), 10) })},
		{"TIME", false, text(func(v r) string { return t.time(v.GetTime()) })},
		{"ACTOR", true, name(t, r.GetActor)},
		{"ACTION", false, text(r.GetAction)},
		{"OBJECT", true, name(t, r.GetObject)},
		{"WHAT", false, text(func(v r) string { return escape(recordOf(v).Sentence()) })},
		{"RESULT", false, func(v r) cell {
			if v.GetResult() == "ok" {
				return cell{v.GetResult(), green}
			}
			return cell{v.GetResult(), red}
		}},
		{"REASON", false, name(t, r.GetReason)},
		{"FROM", true, text(r.GetFrom)},
		{"AUTH", true, text(r.GetAuth)},
		{"HASH", true, text(func(v r) string { return hexText(v.GetHash()) })},
	}
}

// recordOf is a record as evidence has it.
func recordOf(r *recfleetv1.AuditRecord) evidence.Record {
	out := evidence.Record{
		Number: r.GetNumber(), Time: r.GetTime().AsTime(), Who: r.GetActor(), Auth: r.GetAuth(), Action: r.GetAction(), Object: r.GetObject(),
		Reason: r.GetReason(), Result: r.GetResult(), From: r.GetFrom(), Times: r.GetTimes(),
		Span: evidence.Span{Start: r.GetSpanStart().AsDuration().Milliseconds(), End: r.GetSpanEnd().AsDuration().Milliseconds()},
	}
	copy(out.Previous[:], r.GetPreviousHash())
	copy(out.Hash[:], r.GetHash())
	return out
}
