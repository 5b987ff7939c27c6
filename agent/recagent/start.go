package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/recfleet/recfleet/agent/control"
	"github.com/recfleet/recfleet/agent/hook"
	"github.com/recfleet/recfleet/agent/session"
	"github.com/recfleet/recfleet/internal/program"
)

func (c *command) start() *cobra.Command {
	var flags settingsFlags
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "start", Short: "Start to record and wait until it works", Args: cobra.NoArgs,
		Long: "Start to record the desktop in a process of its own, and wait until the first part of the recording is safe on the server.\n" +
			"It is no error when the desktop is being recorded already.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := c.settings(flags)
			if err != nil {
				return err
			}
			if wait <= 0 {
				return program.BadInput(errors.New("--wait must be above 0"))
			}
			m, err := modeOf(s)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), wait)
			defer cancel()
			r, err := c.startRecording(ctx, s, m)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.stdout, r)
			return err
		},
	}
	flags.add(cmd.Flags())
	cmd.Flags().DurationVar(&wait, "wait", defaultWait, "how long to wait for the first durable part of the recording")
	return cmd
}

// recording is one that runs.
type recording struct {
	id            string // empty while it is not registered
	display, mode string
}

// String is what the hook says of it.
func (r recording) String() string {
	if r.id == "" {
		return fmt.Sprintf("recording on display %s, not yet registered with the coordinator (mode %s)", r.display, r.mode)
	}
	return fmt.Sprintf("recording session %s on display %s", r.id, r.display)
}

// startRecording returns what records the desktop, a running recording or a new one.
func (c *command) startRecording(ctx context.Context, s hook.Settings, m mode) (r recording, err error) {
	if err := hook.Prepare(s.SpoolDir); err != nil {
		return r, program.BadInput(err)
	}
	// One start at a time: the second finds what the first has done.
	lock, err := hook.AwaitLock(ctx, s.SpoolDir, hook.StartLock)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	if r, running, err := awaitRunning(ctx, s.SpoolDir, s.Display); running || err != nil {
		return r, err
	}
	// What was to stop has stopped; what comes from here on is for the new sitting.
	if err := control.WithdrawStop(s.SpoolDir); err != nil {
		return r, err
	}
	if err := m.reachable(func() error { return s.Reach(ctx) }, s.Address); err != nil {
		return r, program.BadInput(err)
	}
	at, _, err := c.desktop(ctx, &s)
	if err != nil {
		return r, err
	}
	// The hook's environment tells of the session; what systemd runs has another.
	c.name(&s, at.User)
	if why, ordered := control.StopOrdered(s.SpoolDir); ordered {
		return r, fmt.Errorf("the recording was %s before it began", why)
	}
	id, err := c.launch(ctx, s)
	return recording{id: id, display: s.Display, mode: string(m.Mode)}, err
}

// launch starts the agent and waits until it records. It returns the session's id, "" where it is not registered.
func (c *command) launch(ctx context.Context, s hook.Settings) (string, error) {
	self, err := c.self()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	path := filepath.Join(s.SpoolDir, runFile)
	s.Sitting = session.NewRequestID()
	if err := s.Save(path); err != nil {
		return "", err
	}
	l := hook.Launch{
		Program: self, Args: superviseArgs(s.SpoolDir), Env: clean(c.environ()), SpoolDir: s.SpoolDir,
		Unit: hook.FindUnit(c.root, "recagent-"+s.Sitting),
	}
	ready, err := l.Run(ctx)
	if err == nil && ready.Error != "" {
		err = &toldError{ready.Error, ready.Code}
	}
	if err != nil {
		_ = os.Remove(path) // it holds the token
	}
	return ready.SessionID, err
}

// awaitRunning returns the recording of the agent that runs already, once it records; false where none does, waiting for one
// that is about to end.
func awaitRunning(ctx context.Context, dir, display string) (r recording, running bool, err error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := control.Query(ctx, dir)
		switch {
		case errors.Is(err, control.ErrNotRunning) && hook.Held(dir, hook.SupervisorLock): // it is about to run again, or to end
		case errors.Is(err, control.ErrNotRunning):
			if err := hook.AwaitFree(ctx, dir, hook.AgentLock); err != nil {
				return r, false, fmt.Errorf("an agent that is ending holds the spool: %w", err)
			}
			return r, false, nil
		case err != nil && ctx.Err() != nil:
			return r, false, errors.New("the agent that runs does not record in the time given")
		case err != nil: // it is just ending
		case st.State == control.StateSending:
			if err := takeOver(ctx, dir); err != nil {
				return r, false, err
			}
		case st.State == control.StateStopping:
		case display != "" && st.Display != display:
			return r, false, fmt.Errorf("display %s is being recorded from this spool, not %s", st.Display, display)
		case st.State == control.StateRecording:
			return recording{id: st.SessionID, display: st.Display, mode: st.RecordingMode}, true, nil
		}
		select {
		case <-ctx.Done():
			return r, false, errors.New("the agent that runs does not record in the time given")
		case <-tick.C:
		}
	}
}
