// Recfleet is the whole server side in one process: broker, coordinator, encoder, archive and page.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/recfleet/recfleet/deploy/standalone"
	"github.com/recfleet/recfleet/internal/object"
	"github.com/recfleet/recfleet/internal/version"
)

// Exit codes.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	// The first signal drains, the second kills.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop)
	if err := command(os.LookupEnv).ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "recfleet:", strings.ReplaceAll(err.Error(), "\n", "; "))
		var usage usageError
		if errors.As(err, &usage) || errors.Is(err, standalone.ErrConfig) || errors.Is(err, object.ErrLocation) {
			os.Exit(exitUsage)
		}
		os.Exit(exitFailed)
	}
}

// usageError is the command line's fault.
type usageError struct{ error }

func command(env func(string) (string, bool)) *cobra.Command {
	var cfg standalone.Config
	var level string
	c := &cobra.Command{
		Use:           "recfleet --data-dir DIR --listen HOST:PORT [--archive URL]",
		Short:         "Run recfleet's server side in one process",
		Long:          "Run the broker, the coordinator, an encoder and the page in one process.\nEvery flag has a twin in the environment: --data-dir is RECFLEET_DATA_DIR; the flag wins.\nExit codes: 0 stopped by a signal, 1 failed, 2 a setting cannot be used.",
		Version:       version.Version,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unexpected argument %q", args[0])}
			}
			return nil
		},
		PreRunE: func(c *cobra.Command, _ []string) error { return fromEnvironment(c.Flags(), env) },
		RunE: func(c *cobra.Command, _ []string) error {
			if cfg.DataDir == "" {
				return usageError{errors.New("--data-dir is missing")}
			}
			log := hclog.LevelFromString(level)
			if log == hclog.NoLevel {
				return usageError{fmt.Errorf("--log-level %q is none of trace, debug, info, warn, error", level)}
			}
			cfg.Logger = hclog.New(&hclog.LoggerOptions{Name: "recfleet", Level: log, Output: c.ErrOrStderr()})
			cfg.Ready = func(address string) { fmt.Fprintf(c.OutOrStdout(), "recfleet ready at https://%s\n", address) }
			return standalone.Run(c.Context(), cfg)
		},
	}
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	f := c.Flags()
	f.StringVar(&cfg.DataDir, "data-dir", "", "directory for everything that is kept")
	f.StringVar(&cfg.Listen, "listen", "127.0.0.1:7443", "HOST:PORT of the API and the page")
	f.StringVar(&cfg.BusListen, "bus-listen", "", "HOST:PORT of the broker for agents (default: --listen's host, any port)")
	f.StringVar(&cfg.Host, "host", "", "name or address by which agents and browsers reach this host (default: --listen's)")
	f.StringVar(&cfg.Archive, "archive", "", "URL of the archive, file:///... or s3://... (default: archive/ in the data directory)")
	f.IntVar(&cfg.FrameRate, "frame-rate", 0, "frames a second that agents capture (default 5)")
	f.DurationVar(&cfg.SegmentLength, "segment-length", 0, "length of a segment (default 5m)")
	f.IntVar(&cfg.Slots, "slots", 1, "segments encoded at the same time")
	f.StringVar(&level, "log-level", "info", "trace, debug, info, warn or error")
	return c
}

// fromEnvironment sets the flags that the command line leaves out from their twins.
func fromEnvironment(flags *pflag.FlagSet, env func(string) (string, bool)) error {
	var wrong error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "RECFLEET_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, ok := env(name)
		if !ok || f.Changed || wrong != nil {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			wrong = usageError{fmt.Errorf("%s: %w", name, err)}
		}
	})
	return wrong
}
