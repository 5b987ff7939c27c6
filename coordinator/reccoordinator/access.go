package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/recfleet/recfleet/coordinator/access"
)

// oidcSecret is the environment variable with the page's secret at the sign-in provider.
const oidcSecret = "RECFLEET_OIDC_CLIENT_SECRET"

func accessCommand() *cobra.Command {
	command := &cobra.Command{
		Use: "access", Short: "Check access files",
		Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	command.AddCommand(&cobra.Command{
		Use:   "validate FILE",
		Short: "Say what is wrong in an access file",
		Long: "Say what is wrong in an access file, one line for each problem: FILE:LINE: FIELD: what is wrong.\n\n" +
			"Exit codes: 0 the file can be used, 1 failed, 2 it cannot be used.",
		Args: oneFile,
		RunE: func(c *cobra.Command, args []string) error {
			return validateAccess(c.OutOrStdout(), c.ErrOrStderr(), args[0])
		},
	}, &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of access files", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write(access.Schema())
			return err
		},
	})
	return command
}

func validateAccess(stdout, stderr io.Writer, path string) error {
	b, err := access.Read(path)
	if err != nil {
		return unusable(stderr, path, err)
	}
	fmt.Fprintf(stdout, "%s can be used: %d roles, version %q, hash %s\n", path, len(b.Roles()), b.Version(), b.Hash())
	return nil
}
