package program

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestRun(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		env  map[string]string
		err  error // of the command
		code int
		said string
	}{
		"success":                  {args: []string{"--slots", "2"}, said: "2 slots"},
		"a twin":                   {env: map[string]string{"RECFLEET_SLOTS": "3"}, said: "3 slots"},
		"the flag wins":            {args: []string{"--slots", "2"}, env: map[string]string{"RECFLEET_SLOTS": "3"}, said: "2 slots"},
		"a bad twin":               {env: map[string]string{"RECFLEET_SLOTS": "many"}, code: ExitBadInput, said: "tool: RECFLEET_SLOTS"},
		"an unknown flag":          {args: []string{"--nothing"}, code: ExitBadInput, said: "tool: unknown flag: --nothing"},
		"an argument too many":     {args: []string{"x"}, code: ExitBadInput, said: "tool: unknown command"},
		"a failure":                {err: errors.New("lost\nit"), code: ExitFailed, said: "tool: lost it"},
		"bad input seen late":      {err: BadInput(errors.New("no such file")), code: ExitBadInput, said: "tool: no such file"},
		"no bad input is no error": {err: BadInput(nil), said: "0 slots"},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			var slots int
			command := &cobra.Command{Use: "tool", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error {
				if test.err == nil {
					c.Print(slots, " slots")
				}
				return test.err
			}}
			command.Flags().IntVar(&slots, "slots", 0, "")
			code := Run(t.Context(), command, Environment{Args: test.args, Getenv: func(s string) string { return test.env[s] }, Stdout: &out, Stderr: &out})
			if code != test.code || !strings.HasPrefix(out.String(), test.said) || strings.Count(out.String(), "\n") > 1 {
				t.Errorf("exit %d, said %q", code, out.String())
			}
		})
	}
}
