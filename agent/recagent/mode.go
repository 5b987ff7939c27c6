package main

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spf13/pflag"

	"github.com/recfleet/recfleet/agent/hook"
	"github.com/recfleet/recfleet/agent/session"
	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/internal/program"
)

// modeFlags say what becomes of a recording that the coordinator does not know of.
type modeFlags struct {
	mode    string
	grace   time.Duration
	minFree int64
}

func (f *modeFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.mode, "mode", "", "while the coordinator is away: strict (do not begin), grace (for --grace) or best-effort (default strict)")
	flags.DurationVar(&f.grace, "grace", 0, "how long to record without the coordinator with --mode grace (default "+session.DefaultGrace.String()+")")
	flags.Int64Var(&f.minFree, "min-free-bytes", 0, "how much disk must be free for a session to begin with --mode strict (default 500000000)")
}

// override puts what the flags say into the settings.
func (f modeFlags) override(s *hook.Settings) error {
	if _, err := session.ParseMode(f.mode); err != nil {
		return program.BadInput(fmt.Errorf("--mode: %w", err))
	}
	override(&s.Mode, f.mode)
	if f.grace != 0 {
		if err := session.CheckGrace(f.grace); err != nil {
			return program.BadInput(fmt.Errorf("--grace: %w", err))
		}
		s.Grace = f.grace.String()
	}
	if f.minFree != 0 {
		s.MinFreeBytes = f.minFree
	}
	return nil
}

// mode is what holds while the coordinator cannot be asked.
type mode struct {
	Mode  session.Mode
	Grace time.Duration
}

// modeOf returns what the settings say, unless the coordinator said otherwise when it last answered an agent on this host.
func modeOf(s hook.Settings) (m mode, err error) {
	if m.Mode, err = session.ParseMode(s.Mode); err != nil {
		return m, program.BadInput(fmt.Errorf("mode: %w", err))
	}
	m.Grace = session.DefaultGrace
	if s.Grace != "" {
		if m.Grace, err = time.ParseDuration(s.Grace); err != nil {
			return m, program.BadInput(fmt.Errorf("grace: %.40q is no duration", s.Grace))
		}
	}
	if err := session.CheckGrace(m.Grace); err != nil {
		return m, program.BadInput(fmt.Errorf("grace: %w", err))
	}
	if s.MinFreeBytes < 0 {
		return m, program.BadInput(errors.New("min_free_bytes: is below 0"))
	}
	ordered := spool.RememberedIn(s.SpoolDir)
	if o, err := session.ParseMode(ordered.Mode); err == nil && ordered.Mode != "" {
		m.Mode = o
		if o == session.Grace && session.CheckGrace(ordered.Grace) == nil {
			m.Grace = ordered.Grace
		}
	}
	return m, nil
}

// reachable says early that there is no coordinator, where that matters.
func (m mode) reachable(check func() error, address string) error {
	if !m.Mode.Offline() {
		return check()
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("coordinator %q is not HOST:PORT", address)
	}
	return nil
}
