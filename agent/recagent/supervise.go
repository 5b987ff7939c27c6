package main

import (
	"context"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/recfleet/recfleet/agent/hook"
)

// runFile is the file in the spool's folder with which start hands the settings to run.
const runFile = "run.json"

// supervise is what start launches: it keeps run alive.
func (c *command) supervise() *cobra.Command {
	var dir string
	var unit bool
	cmd := &cobra.Command{
		Use: "supervise", Short: "Keep run alive (start launches this)", Args: cobra.NoArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := c.self()
			if err != nil {
				return err
			}
			if unit {
				if err := hook.LogTo(dir); err != nil {
					return err
				}
			}
			ready := hook.DialReady(dir)
			hook.Shield()
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			path := filepath.Join(dir, runFile)
			args := []string{"run", "--config", path, "--ready-fd", "3"}
			if unit {
				args = append(args, hook.UnitFlag)
			}
			return c.keep(ctx, hook.Supervisor{
				Program: self, Args: args, Again: "--again", SpoolDir: dir, Settings: path, Ready: ready,
				Logger: hclog.New(&hclog.LoggerOptions{Name: "supervisor", Level: hclog.Info, Output: c.stderr}),
			})
		},
	}
	cmd.Flags().StringVar(&dir, "spool-dir", "", "")
	cmd.Flags().BoolVar(&unit, strings.TrimPrefix(hook.UnitFlag, "--"), false, "")
	return cmd
}

// superviseArgs are the arguments of the supervisor of a spool.
func superviseArgs(dir string) []string { return []string{"supervise", "--spool-dir", dir} }

func (c *command) keep(ctx context.Context, s hook.Supervisor) error {
	code, err := s.Run(ctx)
	if err == nil && code != 0 {
		err = &toldError{"the agent failed", code}
	}
	return err
}

// clean returns an environment without what steers this program, which the settings hold, and without what belongs to a desktop
// or to the loader.
func clean(environ []string) []string {
	var kept []string
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if name == "DISPLAY" || name == "XAUTHORITY" || strings.HasPrefix(name, "RECFLEET_") || strings.HasPrefix(name, "LD_") {
			continue
		}
		kept = append(kept, entry)
	}
	return kept
}
