package main

import (
	"context"
	"os"
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
	var readyFD int
	cmd := &cobra.Command{
		Use: "supervise", Short: "Keep run alive (start launches this)", Args: cobra.NoArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var ready *os.File
			if readyFD > 2 {
				ready = os.NewFile(uintptr(readyFD), "ready")
				syscall.CloseOnExec(readyFD)
			}
			self, err := c.self()
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			return c.keep(ctx, hook.Supervisor{
				Program: self, Args: []string{"run", "--config", filepath.Join(dir, runFile), "--ready-fd", "3"}, Again: "--again", SpoolDir: dir, Ready: ready,
				Logger: hclog.New(&hclog.LoggerOptions{Name: "supervisor", Level: hclog.Info, Output: c.stderr}),
			})
		},
	}
	cmd.Flags().StringVar(&dir, "spool-dir", "", "")
	cmd.Flags().IntVar(&readyFD, "ready-fd", 0, "")
	return cmd
}

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
