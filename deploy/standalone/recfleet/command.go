package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/recfleet/recfleet/coordinator"
	"github.com/recfleet/recfleet/deploy/standalone"
	"github.com/recfleet/recfleet/internal/object"
	"github.com/recfleet/recfleet/internal/program"
	"github.com/recfleet/recfleet/internal/version"
)

// command is the program's command line.
func command() *cobra.Command {
	var cfg standalone.Config
	var level string
	c := &cobra.Command{
		Use:   "recfleet --data-dir DIR --listen HOST:PORT [--archive URL]",
		Short: "Run recfleet's server side in one process",
		Long: "Run the broker, the coordinator, an encoder and the page in one process.\n\n" +
			"It writes client.json (admin), agent.json and encoder.json to the data directory: what recctl, agents and encoders\n" +
			"need to reach it. They hold secrets.\n" +
			"Every flag may also be given by an environment variable, --data-dir as RECFLEET_DATA_DIR and so on; the flag wins.\n" +
			"The first signal finishes what is held, the second ends the program at once.\n" +
			"Exit codes: 0 after a signal, 1 failed, 2 bad input.",
		Version: version.Version, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log := hclog.LevelFromString(level)
			switch {
			case cfg.DataDir == "":
				return program.BadInput(errors.New("--data-dir is missing"))
			case log == hclog.NoLevel:
				return program.BadInput(fmt.Errorf("log level %q is unknown", level))
			case cfg.Certificate.Validate() != nil:
				return program.BadInput(cfg.Certificate.Validate())
			}
			cfg.Logger = hclog.New(&hclog.LoggerOptions{Name: "recfleet", Level: log, Output: c.ErrOrStderr()})
			cfg.Ready = func(address string) { fmt.Fprintf(c.OutOrStdout(), "recfleet ready at https://%s\n", address) }
			for path, into := range map[string]*<-chan os.Signal{cfg.Policy: &cfg.Reload, cfg.Access: &cfg.AccessReload} {
				if path == "" {
					continue
				}
				reload := make(chan os.Signal, 1)
				signal.Notify(reload, syscall.SIGHUP)
				defer signal.Stop(reload)
				*into = reload
			}
			cfg.OIDCSecret = os.Getenv("RECFLEET_OIDC_CLIENT_SECRET")
			err := standalone.Run(c.Context(), cfg)
			if errors.Is(err, standalone.ErrConfig) || errors.Is(err, coordinator.ErrConfig) || errors.Is(err, object.ErrLocation) {
				return program.BadInput(err)
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&cfg.DataDir, "data-dir", "", "`DIR` for everything that is kept")
	f.StringVar(&cfg.Listen, "listen", "127.0.0.1:7443", "`HOST:PORT` of the API and the page")
	f.StringVar(&cfg.BusListen, "bus-listen", "", "`HOST:PORT` of the broker for agents (default: --listen's host, any port, the same one at every start)")
	f.StringVar(&cfg.Host, "host", "", "`NAME` or address by which agents and browsers reach this host (default: --listen's)")
	f.StringVar(&cfg.Archive, "archive", "", "`URL` of the archive, file:///... or s3://... (default: archive/ in the data directory)")
	f.IntVar(&cfg.FrameRate, "frame-rate", coordinator.DefaultFrameRate, "captured frames a second, 1 to 60")
	f.DurationVar(&cfg.SegmentLength, "segment-length", coordinator.DefaultSegmentLength, "length of a segment, 1s to 1h")
	f.DurationVar(&cfg.GiveUp, "give-up", coordinator.DefaultGiveUp, "how long an agent may be silent before its session is taken over")
	f.StringVar(&cfg.Policy, "policy", "", "`FILE` that says who is recorded and how; SIGHUP reads it again (default: everybody, as the flags say)")
	f.StringVar(&cfg.Access, "access", "", "`FILE` that says who may do what and how people sign in; SIGHUP reads it again (default: the admin token only)")
	program.CertificateFlags(f, &cfg.Certificate)
	f.BoolVar(&cfg.RequireEnrollment, "require-enrollment", false, "let agents record only after they have joined (recctl enrollments), each with a key of its own")
	f.IntVar(&cfg.Slots, "slots", 1, "segments encoded at the same time")
	f.StringVar(&cfg.MetricsListen, "metrics-listen", "", "`HOST:PORT` for Prometheus and probes, unencrypted and open to who reaches it (default: none)")
	f.StringVar(&level, "log-level", "info", "trace, debug, info, warn or error")
	return c
}
