// Package cli is recctl, the command line of people and scripts: commands come in, calls to the coordinator go out, and
// tables, JSON or YAML come back.
//
// What always holds: names that came from elsewhere reach a terminal only with their control characters escaped; every call
// has a deadline, but for a watch; an error is one line on stderr, and the exit code says its kind; a token is never printed, but a new one to whoever has made it.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
)

// Program is what a run of recctl has around it.
type Program struct {
	// Args are the arguments without the program's name.
	Args   []string
	Getenv func(string) string
	Stdout io.Writer
	Stderr io.Writer
	// StdoutTerminal allows colors and redrawing, StderrTerminal progress bars.
	StdoutTerminal, StderrTerminal bool
	// OpenTerminal opens the terminal that a person answers questions on; nil where there is none.
	OpenTerminal func() (io.ReadCloser, error)
	// TerminalSize returns the columns and lines of the terminal that Stdout is; nil where it is none.
	TerminalSize func() (width, height int)
	// Zone is the one that people's times are in.
	Zone    *time.Location
	Now     func() time.Time
	Version string
}

// app is a Program with its global flags and, once a command runs, the context that it runs in.
type app struct {
	Program
	context string
	timeout time.Duration
	out     format
	times   timeStyle
	target  target
	// parsed says that the command line was understood; errors before are the caller's.
	parsed bool
}

const long = `recctl finds, watches, stops, downloads and verifies recorded sessions.

It reaches the coordinator that a context names: --context NAME or FILE, else $RECFLEET_CONTEXT, else the current context of
~/.config/recfleet/config.yaml, else the client file ~/.config/recfleet/client.json.

Exit codes:
  0  done
  1  failed, or something is missing or not as it must be
  2  wrong usage or bad input
  3  not found
  4  not permitted, or the token is unknown
  5  the coordinator or the archive cannot be reached

Tables are colored on a terminal unless NO_COLOR is set.`

// Run runs one command, blocks until it is done or ctx ends, and returns the exit code.
func (p Program) Run(ctx context.Context) int {
	a := &app{Program: p}
	root := &cobra.Command{
		Use: "recctl", Short: "Find, watch, stop, download and verify recorded sessions", Long: long,
		Version: p.Version, SilenceErrors: true, SilenceUsage: true,
		PersistentPreRun: func(*cobra.Command, []string) { a.parsed = true },
		Args:             noArgs,
		RunE:             needCommand,
	}
	root.PersistentFlags().StringVar(&a.context, "context", "", "`NAME` of a context, or a client file")
	root.PersistentFlags().DurationVar(&a.timeout, "timeout", 30*time.Second, "longest wait for one answer of the coordinator")
	_ = root.RegisterFlagCompletionFunc("context", a.completeContext)
	root.SetFlagErrorFunc(flagError)
	// Files are offered where a flag takes one, and nowhere else.
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	root.AddCommand(a.sessions(), a.recordings(), a.jobs(), a.encoders(), a.agents(), a.enrollments(), a.policy(), a.audit(), a.archive(), a.approvals(), a.tokens(), a.whoami(), a.login(), a.logout(), a.contexts())
	root.SetArgs(p.Args)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	ran, err := root.ExecuteContextC(ctx)
	if err == nil || errors.Is(err, errEnded) {
		return exitOK
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		err = errors.New("interrupted")
	}
	fmt.Fprintf(p.Stderr, "recctl: %s\n", oneLine(inWords(ran, err)))
	if !a.parsed {
		return exitUsage
	}
	return exitCode(err)
}

// noun is a command that only holds others.
func noun(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: noArgs, RunE: needCommand}
	c.AddCommand(commands...)
	return c
}

func needCommand(c *cobra.Command, _ []string) error {
	return usageError{fmt.Errorf("%s needs a command; see %s --help", c.CommandPath(), c.CommandPath())}
}

// dial opens the connection that the context describes. The caller closes it.
func (a *app) dial() (*grpc.ClientConn, error) {
	if a.timeout <= 0 {
		return nil, usageError{fmt.Errorf("--timeout: %v is not above 0", a.timeout)}
	}
	client, err := a.target.client()
	if err != nil {
		return nil, usageError{err}
	}
	var extra []grpc.DialOption
	if a.target.profile.SignIn {
		session, err := a.openSignedIn()
		if err != nil {
			return nil, err
		}
		extra = append(extra, grpc.WithPerRPCCredentials(session))
	}
	conn, err := client.Dial(extra...)
	if err != nil {
		return nil, usageError{err}
	}
	return conn, nil
}

// connected makes a command's function of one that needs a connection.
func (a *app) connected(f func(ctx context.Context, conn *grpc.ClientConn, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		if err := a.choose(c); err != nil {
			return err
		}
		conn, err := a.dial()
		if err != nil {
			return err
		}
		defer conn.Close()
		return f(c.Context(), conn, args)
	}
}

// choose finds the context to run in and takes its defaults for what no flag says.
func (a *app) choose(c *cobra.Command) error {
	var err error
	if a.target, err = a.chooseTarget(); err != nil {
		return usageError{err}
	}
	for name, value := range a.target.defaults.flags() {
		if f := c.Flags().Lookup(name); f != nil && !f.Changed && value != "" {
			if err := f.Value.Set(value); err != nil {
				return usageError{fmt.Errorf("default %s of %s: %s %w", name, a.target.source, quote(value), err)}
			}
		}
	}
	return nil
}

// deadline bounds one call.
func (a *app) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, a.timeout)
}

// pages follows the pages of a list until limit items are there, 0 meaning all.
func pages[T any](limit int, fetch func(size int32, token string) (items []T, next string, err error)) ([]T, error) {
	var all []T
	for token := ""; ; {
		size := pageSize
		if limit > 0 {
			size = min(size, limit-len(all))
		}
		items, next, err := fetch(int32(size), token)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if limit > 0 && len(all) >= limit {
			return all[:limit], nil
		}
		if next == "" {
			return all, nil
		}
		token = next
	}
}

// pageSize is how much is asked for at a time.
const pageSize = 200
