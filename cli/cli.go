// Package cli is recctl, the command line of people and scripts: commands come in, calls to the coordinator go out, and
// tables, JSON or YAML come back.
//
// What always holds: names that came from elsewhere reach a terminal only with their control characters escaped; every call
// has a deadline; an error is one line on stderr, and the exit code says its kind.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/recfleet/recfleet/internal/identity"
)

// Program is what a run of recctl has around it.
type Program struct {
	// Args are the arguments without the program's name.
	Args   []string
	Getenv func(string) string
	Stdout io.Writer
	Stderr io.Writer
	// StdoutTerminal allows colors, StderrTerminal progress bars.
	StdoutTerminal, StderrTerminal bool
	Version                        string
}

// app is a Program with its global flags and, once a command runs, the connection.
type app struct {
	Program
	contextFile string
	timeout     time.Duration
	// parsed says that the command line was understood; errors before are the caller's.
	parsed bool
}

const long = `recctl finds, stops and downloads recorded sessions.

It reads the coordinator's address, its certificate and a token from the client file that the coordinator wrote:
--context FILE, else $RECFLEET_CONTEXT, else ~/.config/recfleet/client.json.

Exit codes:
  0  done
  1  failed, or something is missing
  2  wrong usage or bad input
  3  not found
  4  not permitted, or the token is unknown
  5  the coordinator or the archive cannot be reached

Tables are colored on a terminal unless NO_COLOR is set.`

// Run runs one command, blocks until it is done or ctx ends, and returns the exit code.
func (p Program) Run(ctx context.Context) int {
	a := &app{Program: p}
	root := &cobra.Command{
		Use: "recctl", Short: "Find, stop and download recorded sessions", Long: long,
		Version: p.Version, SilenceErrors: true, SilenceUsage: true,
		PersistentPreRun: func(*cobra.Command, []string) { a.parsed = true },
		Args:             cobra.NoArgs,
		RunE:             needCommand,
	}
	root.PersistentFlags().StringVar(&a.contextFile, "context", "", "client `FILE` (default $RECFLEET_CONTEXT, else ~/.config/recfleet/client.json)")
	root.PersistentFlags().DurationVar(&a.timeout, "timeout", 30*time.Second, "longest wait for one answer of the coordinator")
	root.AddCommand(a.sessions(), a.recordings())
	root.SetArgs(p.Args)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		err = errors.New("interrupted")
	}
	fmt.Fprintf(p.Stderr, "recctl: %s\n", oneLine(err))
	if !a.parsed {
		return exitUsage
	}
	return exitCode(err)
}

// noun is a command that only holds others.
func noun(use, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: needCommand}
	c.AddCommand(commands...)
	return c
}

func needCommand(c *cobra.Command, _ []string) error {
	return usageError{fmt.Errorf("%s needs a command; see %s --help", c.CommandPath(), c.CommandPath())}
}

// dial opens the connection that the client file describes. The caller closes it.
func (a *app) dial() (*grpc.ClientConn, error) {
	if a.timeout <= 0 {
		return nil, usageError{fmt.Errorf("timeout %v is none", a.timeout)}
	}
	path := a.contextFile
	if path == "" {
		path = a.Getenv("RECFLEET_CONTEXT")
	}
	if path == "" {
		home := a.Getenv("HOME")
		if home == "" {
			return nil, usageError{errors.New("no client file: give --context FILE or set RECFLEET_CONTEXT")}
		}
		path = filepath.Join(home, ".config", "recfleet", "client.json")
	}
	client, err := identity.LoadClient(path)
	if err != nil {
		return nil, usageError{err}
	}
	conn, err := client.Dial()
	if err != nil {
		return nil, usageError{err}
	}
	return conn, nil
}

// connected makes a command's function of one that needs a connection.
func (a *app) connected(f func(ctx context.Context, conn *grpc.ClientConn, args []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		conn, err := a.dial()
		if err != nil {
			return err
		}
		defer conn.Close()
		return f(c.Context(), conn, args)
	}
}

// deadline bounds one call.
func (a *app) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, a.timeout)
}
