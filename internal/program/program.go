// Package program is what all programs have in common: twins of flags in the environment, one line for an error, and exit
// codes that tell bad input from failure.
package program

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes. 0 is success, which for a server is an end that a signal asked for.
const (
	ExitFailed   = 1
	ExitBadInput = 2
)

// Environment is what Run has of the world outside the command line.
type Environment struct {
	Args           []string // without the program's name
	Getenv         func(string) string
	Stdout, Stderr io.Writer
}

// BadInput marks an error that the caller of the program can mend. A nil error stays nil.
func BadInput(err error) error {
	if err == nil {
		return nil
	}
	return badInput{err}
}

type badInput struct{ error }

func (b badInput) Unwrap() error { return b.error }

// IsBadInput reports whether BadInput marked an error in the chain.
func IsBadInput(err error) bool { return errors.As(err, new(badInput)) }

// Run executes a command tree and returns the exit code. It blocks until the command returns.
//
// Every flag that is not given is taken from its twin in the environment: --data-dir from RECFLEET_DATA_DIR. An error
// becomes one line on Stderr; it is bad input where it is marked so or came up before the command itself ran. Commands must
// not define PersistentPreRun hooks.
func Run(ctx context.Context, root *cobra.Command, env Environment) int {
	started := false
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := FromEnvironment(cmd.Flags(), env.Getenv); err != nil {
			return err
		}
		started = true
		return nil
	}
	root.SetArgs(env.Args)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(env.Stderr, "%s: %s\n", root.Name(), strings.Join(strings.Fields(err.Error()), " "))
	if IsBadInput(err) || !started {
		return ExitBadInput
	}
	return ExitFailed
}

// FromEnvironment sets the flags that were not given from their twins; hidden flags have none. The error is bad input and
// names the twin.
func FromEnvironment(flags *pflag.FlagSet, getenv func(string) string) error {
	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "RECFLEET_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value := getenv(name)
		if f.Changed || f.Hidden || value == "" || f.Name == "help" || f.Name == "version" {
			return
		}
		if setErr := flags.Set(f.Name, value); setErr != nil && err == nil {
			err = BadInput(fmt.Errorf("%s: %w", name, setErr))
		}
	})
	return err
}
