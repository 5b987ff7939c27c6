package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/recfleet/recfleet/agent"
	"github.com/recfleet/recfleet/agent/hook"
	"github.com/recfleet/recfleet/internal/program"
)

// lookFor is how long run looks for the desktop; start has seen it already.
const lookFor = 3 * time.Second

func (c *command) run() *cobra.Command {
	var flags settingsFlags
	var readyFD int
	var level string
	var again, unit bool
	cmd := &cobra.Command{
		Use: "run", Short: "Record until stopped (start launches this)", Args: cobra.NoArgs,
		Long: "Record the desktop until the stop hook, the coordinator or a signal ends it. The first signal hands over what is left, a second one ends at once.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var ready *os.File
			if readyFD > 2 {
				ready = os.NewFile(uintptr(readyFD), "ready")
				// FFmpeg must not inherit it.
				syscall.CloseOnExec(readyFD)
			}
			err := c.record(cmd.Context(), flags, level, launched{again: again, unit: unit, ready: ready})
			if ready != nil {
				// Harmless where it has already told of its success.
				told := hook.Ready{Error: "the recording was stopped before it began", Code: program.ExitFailed}
				if err != nil {
					told = hook.Ready{Error: oneLine(err), Code: c.code(err)}
				}
				_ = hook.Report(ready, told)
			}
			return err
		},
	}
	flags.add(cmd.Flags())
	cmd.Flags().StringVar(&level, "log-level", "info", "debug, info, warn or error")
	cmd.Flags().IntVar(&readyFD, "ready-fd", 0, "")
	cmd.Flags().BoolVar(&again, "again", false, "")
	unitFlag := strings.TrimPrefix(hook.UnitFlag, "--")
	cmd.Flags().BoolVar(&unit, unitFlag, false, "")
	for _, name := range []string{"ready-fd", "again", unitFlag} {
		_ = cmd.Flags().MarkHidden(name)
	}
	return cmd
}

// launched is how run was launched.
type launched struct {
	again bool     // it goes on with a recording
	unit  bool     // below systemd, which starts a supervisor again
	ready *os.File // where to tell that it records; nil for none
}

// record runs an agent and tells whoever launched it when it records.
func (c *command) record(ctx context.Context, flags settingsFlags, level string, by launched) error {
	s, err := c.settings(flags)
	if err != nil {
		return err
	}
	m, err := modeOf(s)
	if err != nil {
		return err
	}
	l := hclog.LevelFromString(level)
	if l == hclog.NoLevel {
		return program.BadInput(errors.New("--log-level is not debug, info, warn or error"))
	}
	if err := hook.Prepare(s.SpoolDir); err != nil {
		return program.BadInput(err)
	}
	self, err := c.self()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	found, stopLooking := context.WithTimeout(ctx, lookFor)
	at, authority, err := c.desktop(found, &s)
	stopLooking()
	gone := err
	if err != nil && !by.again {
		return err
	}
	if gone != nil {
		authority = hook.Authority(s)
	}
	// Only the file that start wrote for this run is the run's to remove.
	var own string
	if path := filepath.Join(s.SpoolDir, runFile); path == flags.config {
		own = path
	}
	log := hclog.New(&hclog.LoggerOptions{Name: "agent", Level: l, Output: c.stderr, IndependentLevels: true})
	if gone != nil {
		// A recording that was begun is gone on with, or handed over.
		log.Warn("desktop not found", "error", gone)
	}
	for _, line := range c.name(&s, at.User) {
		log.Warn("platform file passed over", "reason", line)
	}
	if err := s.Validate(); err != nil {
		return program.BadInput(err)
	}
	a := agent.New(agent.Config{
		Coordinator: s.Client, AWSProfile: s.AWSProfile, Display: s.Display, Authority: authority, Admit: c.admit(s), User: s.User, SpoolDir: s.SpoolDir,
		MaxSpoolBytes: s.MaxSpoolBytes, Mode: m.Mode, Grace: m.Grace, MinFreeBytes: s.MinFreeBytes, FFmpeg: s.Grabber == grabberFFmpeg, Metadata: s.Metadata, Sitting: s.Sitting, ConfigFile: own, Version: c.version, Logger: log,
		Supervisor: func() int { return hook.Holder(s.SpoolDir, hook.SupervisorLock) },
	})
	keeper := hook.Keeper{Program: self, Args: superviseArgs(s.SpoolDir), SpoolDir: s.SpoolDir, Unit: by.unit, Logger: log.Named("keeper")}
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	ended := make(chan struct{})
	defer close(ended)
	group.Go(func() { c.signals(cancel, ended, log) })
	if s.Sitting != "" && own != "" {
		// While it hands over, too.
		kept, endKeeping := context.WithCancel(context.WithoutCancel(ctx))
		defer endKeeping()
		begun := a.Durable()
		if by.again {
			closed := make(chan struct{})
			close(closed)
			begun = closed
		}
		group.Go(func() { keeper.Run(kept, begun, cancel) })
	}
	group.Go(func() {
		select {
		case <-ended:
		case <-a.Durable():
			if by.ready == nil {
				return
			}
			if err := hook.Report(by.ready, hook.Ready{SessionID: a.Status().SessionID}); err != nil {
				log.Warn("hook not told", "error", err)
			}
		}
	})
	return a.Run(ctx)
}

// signals drains at the first signal and ends at the second.
func (c *command) signals(drain func(), ended <-chan struct{}, log hclog.Logger) {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	select {
	case <-ended:
		return
	case s := <-signals:
		log.Info("signal received", "signal", s.String())
		drain()
	}
	select {
	case <-ended:
	case s := <-signals:
		log.Error("ended at once", "signal", s.String())
		c.exit(program.ExitFailed)
	}
}
