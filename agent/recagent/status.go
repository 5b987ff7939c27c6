package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/recfleet/recfleet/agent/control"
	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/internal/program"
)

func (c *command) status() *cobra.Command {
	var dir, output string
	cmd := &cobra.Command{
		Use: "status", Short: "Tell what is being recorded", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return program.BadInput(fmt.Errorf("-o %q is not text or json", output))
			}
			dir, err := spoolDir(dir)
			if err != nil {
				return err
			}
			st, err := control.Query(cmd.Context(), dir)
			if errors.Is(err, control.ErrNotRunning) {
				st = control.Status{State: control.StateStopped, SpoolDir: dir}
				st.EarlierSessions, st.SpooledBytes, err = spool.Inspect(dir)
			}
			if err != nil {
				return err
			}
			if output == "json" {
				e := json.NewEncoder(c.stdout)
				e.SetIndent("", "  ")
				return e.Encode(st)
			}
			return c.print(st)
		},
	}
	addSpool(cmd.Flags(), &dir)
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return cmd
}

func (c *command) print(st control.Status) error {
	w := tabwriter.NewWriter(c.stdout, 0, 0, 2, ' ', 0)
	row := func(name string, value any) { _, _ = fmt.Fprintf(w, "%s:\t%v\n", name, value) }
	row("State", st.State)
	if st.State != control.StateStopped && st.State != control.StateSending {
		if st.Registered {
			row("Session", st.SessionID)
		} else {
			row("Session", "not registered")
		}
		row("Mode", st.RecordingMode)
		row("Display", fmt.Sprintf("%s (%dx%d)", st.Display, st.Width, st.Height))
		row("User", st.User)
		row("Since", st.StartTime.Format(time.RFC3339))
		row("Frames", st.Frames)
		row("Segments", fmt.Sprintf("%d, %d of them without a receipt", st.Segments, st.AwaitingReceipt))
	}
	row("Spool", fmt.Sprintf("%s, %d bytes, %d earlier sessions", st.SpoolDir, st.SpooledBytes, st.EarlierSessions))
	return w.Flush()
}
