package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/recfleet/recfleet/agent/hook"
	"github.com/recfleet/recfleet/agent/platform"
	"github.com/recfleet/recfleet/agent/seat"
	"github.com/recfleet/recfleet/agent/session"
	"github.com/recfleet/recfleet/agent/x11"
	"github.com/recfleet/recfleet/internal/program"
)

const (
	defaultSpool = "/var/lib/recfleet/spool"
	defaultWait  = 50 * time.Second
)

// command is one call of the program with what it gets from outside.
type command struct {
	args           []string
	stdout, stderr io.Writer
	getenv         func(string) string
	environ        func() []string
	root           string                 // below which the system lies; "/", but for tests
	self           func() (string, error) // path of this program
	version        string
	exit           func(int)

	ran bool // the command line was understood
}

// execute runs the command and returns its exit code. What went wrong is one line on stderr.
func (c *command) execute() int {
	root := &cobra.Command{
		Use: "recagent", Short: "Record the desktop of this machine", Version: c.version,
		SilenceUsage: true, SilenceErrors: true, Args: cobra.NoArgs,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			c.ran = true
			return program.FromEnvironment(cmd.Flags(), c.getenv)
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.AddCommand(c.start(), c.run(), c.supervise(), c.stop(), c.send(), c.status())
	root.SetArgs(c.args)
	root.SetOut(c.stdout)
	root.SetErr(c.stderr)
	err := root.ExecuteContext(context.Background())
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintf(c.stderr, "recagent: %s\n", oneLine(err))
	return c.code(err)
}

// code returns the exit code of an error.
func (c *command) code(err error) int {
	var told *toldError
	switch {
	case errors.As(err, &told):
		return told.code
	case !c.ran, program.IsBadInput(err), errors.Is(err, x11.ErrNoDisplay), errors.Is(err, x11.ErrRefused), errors.Is(err, session.ErrCredentials),
		errors.Is(err, seat.ErrNone), errors.Is(err, seat.ErrSeveral), errors.Is(err, seat.ErrWayland):
		return program.ExitBadInput
	}
	return program.ExitFailed
}

// toldError is a failure that the launched process told of.
type toldError struct {
	text string
	code int
}

func (t *toldError) Error() string { return t.text }

func oneLine(err error) string {
	return strings.Join(strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// settingsFlags are the flags that say what to record and for whom.
type settingsFlags struct {
	config, coordinator, ca, tokenFile string
	display, user, spoolDir            string
	meta                               []string
	grabber                            string
	mode                               modeFlags
}

func (f *settingsFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.config, "config", "", "configuration `FILE` (YAML or JSON); the server's client.json is one")
	flags.StringVar(&f.coordinator, "coordinator", "", "coordinator's `HOST:PORT`")
	flags.StringVar(&f.ca, "ca", "", "`FILE` with the certificate authority of the coordinator (PEM)")
	flags.StringVar(&f.tokenFile, "token-file", "", "`FILE` with the agent's token")
	flags.StringVar(&f.display, "display", "", "X display to record (default: DISPLAY, or the one that somebody sits at)")
	flags.StringVar(&f.user, "user", "", "`NAME` of the desktop's user; without --display, whose desktop to record")
	flags.StringArrayVar(&f.meta, "meta", nil, "metadata of the session as `KEY=VALUE`; may be repeated")
	flags.StringVar(&f.grabber, "grabber", "", "what takes pictures: x11 or ffmpeg (default x11; FFmpeg stands in where it cannot)")
	addSpool(flags, &f.spoolDir)
	f.mode.add(flags)
}

func addSpool(flags *pflag.FlagSet, dir *string) {
	flags.StringVar(dir, "spool-dir", "", "`DIR` of the spool (default "+defaultSpool+")")
}

// settings puts together what the file and the flags say; the flags win.
func (c *command) settings(f settingsFlags) (hook.Settings, error) {
	var s hook.Settings
	if f.config != "" {
		var err error
		if s, err = hook.Load(f.config); err != nil {
			return s, program.BadInput(err)
		}
	}
	for _, from := range []struct {
		flag, path string
		to         *string
	}{{"ca", f.ca, &s.CACertificate}, {"token-file", f.tokenFile, &s.Token}} {
		if from.path == "" {
			continue
		}
		read := os.ReadFile
		if from.to == &s.Token {
			read = hook.ReadSecret
		}
		b, err := read(from.path)
		if err != nil {
			return s, program.BadInput(fmt.Errorf("--%s: %w", from.flag, err))
		}
		*from.to = strings.TrimSpace(string(b))
	}
	override(&s.Address, f.coordinator)
	override(&s.Display, f.display)
	override(&s.User, f.user)
	override(&s.Grabber, f.grabber)
	if err := f.mode.override(&s); err != nil {
		return s, err
	}
	s.Metadata = platform.Merge(platform.Environment("RECFLEET_META_", c.environ()), s.Metadata)
	for _, pair := range f.meta {
		if err := s.AddMetadata(pair); err != nil {
			return s, program.BadInput(err)
		}
	}
	var err error
	if s.SpoolDir, err = spoolDir(f.spoolDir, s.SpoolDir); err != nil {
		return s, err
	}
	if s.Address == "" {
		return s, program.BadInput(errors.New("no coordinator: give --config, or --coordinator with --ca and --token-file"))
	}
	if s.Grabber != "" && s.Grabber != grabberX11 && s.Grabber != grabberFFmpeg {
		return s, program.BadInput(fmt.Errorf("grabber: %.40q is not x11 or ffmpeg", s.Grabber))
	}
	if err := s.Validate(); err != nil {
		return s, program.BadInput(err)
	}
	return s, nil
}

// What can take pictures.
const (
	grabberX11    = "x11"
	grabberFFmpeg = "ffmpeg"
)

func override(to *string, by string) {
	if by != "" {
		*to = by
	}
}

// spoolDir returns the spool's folder as an absolute path.
func spoolDir(names ...string) (string, error) {
	for _, n := range append(names, defaultSpool) {
		if n != "" {
			abs, err := filepath.Abs(n)
			if err != nil {
				return "", program.BadInput(err)
			}
			return abs, nil
		}
	}
	return "", nil
}
