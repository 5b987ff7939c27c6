package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"

	"github.com/recfleet/recfleet/agent/hook"
	"github.com/recfleet/recfleet/agent/session"
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

// mode is what the flags and the configuration say; the flags win.
type mode struct {
	Mode         session.Mode
	Grace        time.Duration
	MinFreeBytes int64
}

// mode fails where a field has a value that it cannot have.
func (c *command) mode(f settingsFlags) (m mode, err error) {
	var file struct {
		Mode         string `json:"mode"`
		Grace        string `json:"grace"`
		MinFreeBytes int64  `json:"min_free_bytes"`
	}
	if f.config != "" {
		b, err := hook.ReadSecret(f.config)
		if err != nil {
			return m, program.BadInput(err)
		}
		if err := yaml.Unmarshal(b, &file); err != nil {
			return m, program.BadInput(fmt.Errorf("%s: mode and grace must be text, min_free_bytes a number", f.config))
		}
	}
	name, field := file.Mode, "mode"
	if f.mode.mode != "" {
		name, field = f.mode.mode, "--mode"
	}
	if m.Mode, err = session.ParseMode(name); err != nil {
		return m, program.BadInput(fmt.Errorf("%s: %w", field, err))
	}
	m.Grace, field = session.DefaultGrace, "grace"
	if file.Grace != "" {
		if m.Grace, err = time.ParseDuration(file.Grace); err != nil {
			return m, program.BadInput(fmt.Errorf("grace: %.40q is no duration", file.Grace))
		}
	}
	if f.mode.grace != 0 {
		m.Grace, field = f.mode.grace, "--grace"
	}
	if err := session.CheckGrace(m.Grace); err != nil {
		return m, program.BadInput(fmt.Errorf("%s: %w", field, err))
	}
	m.MinFreeBytes = file.MinFreeBytes
	if f.mode.minFree != 0 {
		m.MinFreeBytes = f.mode.minFree
	}
	if m.MinFreeBytes < 0 {
		return m, program.BadInput(errors.New("min_free_bytes: is below 0"))
	}
	return m, nil
}

// save adds the mode to the settings that start hands to run.
func (m mode) save(path string) error {
	b, err := hook.ReadSecret(path)
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	var all map[string]any
	if err := json.Unmarshal(b, &all); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	all["mode"], all["grace"], all["min_free_bytes"] = m.Mode, m.Grace.String(), m.MinFreeBytes
	if b, err = json.MarshalIndent(all, "", "  "); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
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
