package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/recfleet/recfleet/agent/control"
	"github.com/recfleet/recfleet/agent/hook"
)

// stopMargin is what is left of the waiting time for the process to end after it has drained.
const stopMargin = time.Second

func (c *command) stop() *cobra.Command {
	var dir string
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "stop", Short: "Stop to record and wait until everything is handed over", Args: cobra.NoArgs,
		Long: "Stop to record, and wait until the server has taken custody of the recording. It is no error when nothing is being recorded.\n" +
			"What cannot be handed over in time stays in the spool for the next start.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := spoolDir(dir)
			if err != nil {
				return err
			}
			if wait <= 0 {
				return badInput{errors.New("--wait must be above 0")}
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), wait+stopMargin)
			defer cancel()
			return c.stopRecording(ctx, dir, wait)
		},
	}
	addSpool(cmd.Flags(), &dir)
	cmd.Flags().DurationVar(&wait, "wait", defaultWait, "how long to wait for the server to have everything")
	return cmd
}

func (c *command) stopRecording(ctx context.Context, dir string, wait time.Duration) error {
	st, err := control.Stop(ctx, dir, "stopped by hook", max(wait-stopMargin, wait/2))
	if errors.Is(err, control.ErrNotRunning) {
		_, err = fmt.Fprintln(c.stdout, "nothing is being recorded")
		return err
	}
	if err != nil {
		return err
	}
	lock, err := hook.AwaitLock(ctx, dir, "lock")
	if err != nil {
		return fmt.Errorf("the agent did not end: %w", err)
	}
	lock.Release()
	if st.AwaitingReceipt > 0 {
		return fmt.Errorf("session %s: %d segments (%d bytes) stay in the spool", st.SessionID, st.AwaitingReceipt, st.SpooledBytes)
	}
	_, err = fmt.Fprintf(c.stdout, "session %s is handed over: %d frames in %d segments\n", st.SessionID, st.Frames, st.Segments)
	return err
}
