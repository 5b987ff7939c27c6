package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/recfleet/recfleet/agent/control"
	"github.com/recfleet/recfleet/agent/hook"
	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/internal/program"
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
				return program.BadInput(errors.New("--wait must be above 0"))
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

// reasonHook is the session's stop reason.
const reasonHook = "stopped by hook"

func (c *command) stopRecording(ctx context.Context, dir string, wait time.Duration) error {
	st, err := c.askToStop(ctx, dir, wait)
	if errors.Is(err, control.ErrNotRunning) {
		_, err = fmt.Fprintln(c.stdout, "nothing is being recorded")
		return err
	}
	if err != nil {
		return err
	}
	if err := hook.AwaitFree(ctx, dir, hook.SupervisorLock, hook.AgentLock); err != nil {
		return fmt.Errorf("the agent did not end: %w", err)
	}
	switch sessions, bytes, err := spool.Inspect(dir); {
	case st.AwaitingReceipt > 0 && st.SessionID == "":
		return fmt.Errorf("the session is not registered: %d segments (%d bytes) stay in the spool", st.AwaitingReceipt, st.SpooledBytes)
	case st.AwaitingReceipt > 0:
		return fmt.Errorf("session %s: %d segments (%d bytes) stay in the spool", st.SessionID, st.AwaitingReceipt, st.SpooledBytes)
	case st.SessionID == "" && err == nil && sessions > 0: // the agent had been killed and came back to hand over what was left
		return fmt.Errorf("%d sessions (%d bytes) stay in the spool", sessions, bytes)
	case st.SessionID == "":
		_, err = fmt.Fprintln(c.stdout, "what was recorded is handed over")
		return err
	}
	_, err = fmt.Fprintf(c.stdout, "session %s is handed over: %d frames in %d segments\n", st.SessionID, st.Frames, st.Segments)
	return err
}

// askToStop has the agent stop and returns how it stands then. An agent that was killed just now is waited for: its supervisor
// starts it again, to hand over what is left. So is one that is just being started. ErrNotRunning where there is none of these.
func (c *command) askToStop(ctx context.Context, dir string, wait time.Duration) (control.Status, error) {
	until := time.Now().Add(wait)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		left := time.Until(until)
		st, err := control.Stop(ctx, dir, reasonHook, max(left-stopMargin, left/2, time.Millisecond))
		if err == nil || ctx.Err() != nil {
			return st, err
		}
		if errors.Is(err, control.ErrNotRunning) && !hook.Held(dir, hook.StartLock, hook.SupervisorLock, hook.AgentLock) {
			return st, err
		}
		if err := control.OrderStop(dir, reasonHook); err != nil {
			return st, err
		}
		select {
		case <-ctx.Done():
			return st, fmt.Errorf("the agent cannot be reached: %w", ctx.Err())
		case <-tick.C:
		}
	}
}
