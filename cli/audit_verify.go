package cli

import (
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// auditTime is what the coordinator may take to read all of the audit.
const auditTime = 15 * time.Minute

// auditVerdict is what audit verify prints; its JSON is a promise to scripts.
type auditVerdict struct {
	Verified bool   `json:"verified"`
	Records  int64  `json:"records"`
	Hash     string `json:"hash"` // of the last record
}

func (a *app) verifyAudit() *cobra.Command {
	c := &cobra.Command{
		Use: "verify", Short: "Have the coordinator compute the audit's hash chain anew", Args: noArgs,
		Long: `Have the coordinator read all audit records, compute their hash chain anew, and compare it with the daily files in the
archive. A record that is missing, was changed, or is not the last that was written is named, and the exit code is 1.

Whoever can write to the database and runs the coordinator can deceive this command. recctl archive verify needs neither.`,
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, _ []string) error {
			ctx, cancel := context.WithTimeout(ctx, max(a.timeout, auditTime))
			defer cancel()
			spinner := a.spinner()
			spinner.show("reading")
			answer, err := recfleetv1.NewAuditServiceClient(conn).VerifyAudit(ctx, &recfleetv1.VerifyAuditRequest{})
			spinner.Close()
			if err != nil {
				return failed(err, "verify audit")
			}
			v := auditVerdict{true, answer.GetRecords(), hexText(answer.GetHash())}
			return a.print(v, func(t *tables) {
				list(t, []auditVerdict{v}, []column[auditVerdict]{
					{"VERIFIED", false, func(auditVerdict) cell { return cell{"yes", green} }},
					{"RECORDS", false, text(func(v auditVerdict) string { return strconv.FormatInt(v.Records, 10) })},
					{"LAST HASH", false, text(func(v auditVerdict) string { return v.Hash })},
				})
			})
		}),
	}
	a.outputFlags(c)
	return c
}
