package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/recfleet/recfleet/agent"
	"github.com/recfleet/recfleet/agent/control"
	"github.com/recfleet/recfleet/agent/hook"
	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/internal/program"
)

func (c *command) send() *cobra.Command {
	var flags settingsFlags
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "send", Short: "Hand over what earlier recordings left, without recording", Args: cobra.NoArgs,
		Long: "Hand over what earlier recordings left in the spool, and wait for the coordinator to answer as long as it takes.\n" +
			"A start hook takes over from it. It is no error when an agent runs already: that one hands over.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := c.settings(flags)
			if err != nil {
				return err
			}
			if wait < 0 {
				return program.BadInput(errors.New("--wait must not be below 0"))
			}
			return c.sendLeft(cmd.Context(), s, wait)
		},
	}
	flags.add(cmd.Flags())
	cmd.Flags().DurationVar(&wait, "wait", 0, "how long to try; 0 for as long as it takes")
	return cmd
}

func (c *command) sendLeft(ctx context.Context, s hook.Settings, wait time.Duration) error {
	if err := hook.Prepare(s.SpoolDir); err != nil {
		return program.BadInput(err)
	}
	if hook.Held(s.SpoolDir, hook.SupervisorLock) {
		return c.sentByAnother()
	}
	log := hclog.New(&hclog.LoggerOptions{Name: "agent", Level: hclog.Info, Output: c.stderr, IndependentLevels: true})
	a := agent.New(agent.Config{Coordinator: s.Client, SendOnly: true, SpoolDir: s.SpoolDir, MaxSpoolBytes: s.MaxSpoolBytes, Version: c.version, Logger: log})
	drain, cancel := context.WithCancel(ctx)
	defer cancel()
	if wait > 0 {
		drain, cancel = context.WithTimeout(drain, wait)
		defer cancel()
	}
	var group sync.WaitGroup
	ended := make(chan struct{})
	group.Go(func() { c.signals(cancel, ended, log) })
	err := a.Run(drain)
	close(ended)
	group.Wait()
	if errors.Is(err, spool.ErrLocked) {
		return c.sentByAnother()
	}
	if err != nil {
		return err
	}
	sessions, bytes, err := spool.Inspect(s.SpoolDir)
	if err == nil && sessions > 0 {
		err = fmt.Errorf("%d sessions (%d bytes) stay in the spool", sessions, bytes)
	}
	if err == nil {
		_, err = fmt.Fprintln(c.stdout, "nothing is left in the spool")
	}
	return err
}

func (c *command) sentByAnother() error {
	_, err := fmt.Fprintln(c.stdout, "an agent runs on the spool and hands over what is left")
	return err
}

// takeOver has an agent that only sends make room for one that records.
func takeOver(ctx context.Context, dir string) error {
	_, err := control.Stop(ctx, dir, "a recording begins", time.Millisecond)
	if err != nil && !errors.Is(err, control.ErrNotRunning) {
		return fmt.Errorf("take over the spool %s: %w", filepath.Base(dir), err)
	}
	return nil
}
