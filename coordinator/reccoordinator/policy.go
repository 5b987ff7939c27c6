package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/recfleet/recfleet/coordinator/policy"
	"github.com/recfleet/recfleet/coordinator/written"
	"github.com/recfleet/recfleet/internal/program"
)

// oneFile demands one argument.
func oneFile(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("%s needs one argument, FILE; %d were given", c.CommandPath(), len(args))
	}
	return nil
}

func policyCommand() *cobra.Command {
	command := &cobra.Command{
		Use: "policy", Short: "Check recording policies",
		Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	command.AddCommand(&cobra.Command{
		Use:   "validate FILE",
		Short: "Say what is wrong in a policy file",
		Long: "Say what is wrong in a policy file, one line for each problem: FILE:LINE: FIELD: what is wrong.\n\n" +
			"Exit codes: 0 the file can be used, 1 failed, 2 it cannot be used.",
		Args: oneFile,
		RunE: func(c *cobra.Command, args []string) error {
			return validatePolicy(c.OutOrStdout(), c.ErrOrStderr(), args[0])
		},
	}, &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of policy files", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write(policy.Schema())
			return err
		},
	})
	return command
}

func validatePolicy(stdout, stderr io.Writer, path string) error {
	p, err := policy.Read(path)
	if err != nil {
		return unusable(stderr, path, err)
	}
	fmt.Fprintf(stdout, "%s can be used: %d rules, version %q, hash %s\n", path, p.Rules(), p.Version(), p.Hash())
	return nil
}

// unusable prints what is wrong in a file, one line for each problem.
func unusable(stderr io.Writer, path string, err error) error {
	problems, ok := written.AsErrors(err)
	if !ok {
		return program.BadInput(err)
	}
	for _, one := range problems {
		at := path
		if one.Line > 0 {
			at = fmt.Sprintf("%s:%d", path, one.Line)
		}
		fmt.Fprintf(stderr, "%s: %s\n", at, one)
	}
	return program.BadInput(fmt.Errorf("%s cannot be used: %d problem(s)", path, len(problems)))
}

// onHangup returns the signals that ask for a file to be read again, until stop is called. Where there is no file it leaves the signal
// as it is.
func onHangup(path string) (reload chan os.Signal, stop func()) {
	if path == "" {
		return nil, func() {}
	}
	reload = make(chan os.Signal, 1)
	signal.Notify(reload, syscall.SIGHUP)
	return reload, func() { signal.Stop(reload) }
}
