package cli

import (
	"bufio"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/recfleet/recfleet/internal/evidence"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// Forms of an export.
const (
	exportJSON = "json"
	exportCSV  = "csv"
)

func (a *app) exportAudit() *cobra.Command {
	var r recfleetv1.ListAuditRecordsRequest
	form := exportJSON
	c := &cobra.Command{
		Use: "export", Short: "Write audit records to stdout, the oldest first", Args: noArgs,
		Long: "Write audit records to stdout, the oldest first: as JSON, one record a line, as the archive's daily files have them, or as\n" +
			"CSV for spreadsheets, in which text that begins like a formula has an apostrophe before it.",
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, _ []string) error {
			if err := inOrder(r.After, "after", r.Before, "before"); err != nil {
				return err
			}
			out := bufio.NewWriter(a.Stdout)
			put, flush := jsonLines(out)
			if form == exportCSV {
				put, flush = csvLines(out)
			}
			client := recfleetv1.NewAuditServiceClient(conn)
			r.OldestFirst, r.PageSize = true, int32(pageSize)
			for first := true; first || r.PageToken != ""; first = false {
				callCtx, cancel := a.deadline(ctx)
				page, err := client.ListAuditRecords(callCtx, &r)
				cancel()
				if err != nil {
					return failed(err, "list audit records")
				}
				for _, one := range page.GetRecords() {
					if err := put(recordOf(one)); err != nil {
						return fmt.Errorf("write record %d: %w", one.GetNumber(), err)
					}
				}
				r.PageToken = page.GetNextPageToken()
			}
			if err := flush(); err != nil {
				return fmt.Errorf("write records: %w", err)
			}
			return out.Flush()
		}),
	}
	flags := c.Flags()
	wordVar(c, &form, "format", []string{exportJSON, exportCSV}, "json (one record a line) or csv")
	filterVar(flags, &r.Actor, "actor", maxName, "only what this `ACTOR` did")
	filterVar(flags, &r.Action, "action", maxName, "only this `ACTION`, as session.delete")
	filterVar(flags, &r.Object, "object", maxName, "only what was done to this `OBJECT`: an id")
	filterVar(flags, &r.Result, "result", maxName, "only records with this `RESULT`, as refused")
	a.timeVar(flags, &r.After, "after", "only records of this `TIME` or later")
	a.timeVar(flags, &r.Before, "before", "only records before this `TIME`")
	return c
}

// jsonLines writes records as evidence has them.
func jsonLines(out io.Writer) (put func(evidence.Record) error, flush func() error) {
	return func(r evidence.Record) error {
		line, err := marshal(r, "")
		if err != nil {
			return err
		}
		_, err = out.Write(line)
		return err
	}, func() error { return nil }
}

// csvLines writes records for a spreadsheet.
func csvLines(out io.Writer) (put func(evidence.Record) error, flush func() error) {
	to := csv.NewWriter(out)
	header := []string{"number", "time", "who", "auth", "action", "object", "span_start_ms", "span_end_ms", "reason", "result", "from", "what", "previous", "hash"}
	begun := false
	begin := func() error {
		if begun {
			return nil
		}
		begun = true
		return to.Write(header)
	}
	put = func(r evidence.Record) error {
		if err := begin(); err != nil {
			return err
		}
		span := []string{"", ""}
		if r.Span != (evidence.Span{}) {
			span = []string{strconv.FormatInt(r.Span.Start, 10), strconv.FormatInt(r.Span.End, 10)}
		}
		line := []string{
			strconv.FormatInt(r.Number, 10), r.Time.UTC().Format(time.RFC3339Nano), r.Who, r.Auth, r.Action, r.Object, span[0], span[1],
			r.Reason, r.Result, r.From, r.Sentence(), r.Previous.String(), r.Hash.String(),
		}
		for i, cell := range line {
			line[i] = inert(cell)
		}
		return to.Write(line)
	}
	return put, func() error {
		if err := begin(); err != nil {
			return err
		}
		to.Flush()
		return to.Error()
	}
}

// inert makes text that no spreadsheet takes for a formula, and no terminal for a command.
func inert(s string) string {
	s = escape(s)
	if trimmed := strings.TrimLeft(s, " "); trimmed != "" && strings.ContainsRune("=+-@\t\r\n|%", rune(trimmed[0])) {
		if _, err := strconv.ParseInt(s, 10, 64); err != nil { // a number is what it is
			return "'" + s
		}
	}
	return s
}
