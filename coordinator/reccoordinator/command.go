package main

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/recfleet/recfleet/coordinator"
	"github.com/recfleet/recfleet/internal/identity"
	"github.com/recfleet/recfleet/internal/program"
	"github.com/recfleet/recfleet/internal/version"
)

// settings are what the command line says.
type settings struct {
	dataDir, listen, archive string
	hosts                    []string
	natsURLs                 []string
	natsTrust, natsCA        string
	catalog, catalogFile     string
	frameRate                int
	segmentLength, giveUp    time.Duration
	unsafeBroker             bool
	requireEnrollment        bool
	policy, access           string
	manifestKey              string
	certificate              identity.CertificatePaths
	logLevel                 string
	metricsListen            string
}

// command is the program's command line.
func command() *cobra.Command {
	serve := serveCommand()
	serve.AddCommand(brokerConfigCommand(), policyCommand(), accessCommand(), keysCommand())
	return serve
}

func serveCommand() *cobra.Command {
	var s settings
	command := &cobra.Command{
		Use:   "reccoordinator --data-dir DIR --listen HOST:PORT --archive URL --nats-url URL",
		Short: "Lead recordings: sessions, receipts, encode jobs, the catalog, the page",
		Long: "Lead recordings: sessions, receipts, encode jobs, the catalog, the page.\n\n" +
			"It writes client.json (admin), agent.json and encoder.json to the data directory: what recctl, agents and encoders\n" +
			"need to reach it. They hold secrets.\n" +
			"Every flag may also be given by an environment variable, --data-dir as RECFLEET_DATA_DIR and so on; the flag wins.\n" +
			"The first signal lets calls under way end, the second ends the program at once.\n" +
			"Exit codes: 0 after a signal, 1 failed, 2 bad input.",
		Version: version.Version, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.serve(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := command.Flags()
	f.StringVar(&s.dataDir, "data-dir", "", "`DIR` for the catalog, keys and tokens")
	f.StringVar(&s.listen, "listen", "", "`HOST:PORT` for agents, encoders, recctl and browsers")
	f.StringSliceVar(&s.hosts, "host", nil, "further `NAME` or address under which the coordinator is reached; the first one goes into the client files")
	f.StringVar(&s.archive, "archive", "", "`URL` of the archive: file:///path or s3://bucket[@endpoint]/prefix, with a template of the sessions' folders")
	f.StringVar(&s.catalog, "catalog", "", "`LOCATION` of the catalog: sqlite:PATH (default sqlite:DATA_DIR/catalog.db), or postgres://[user@]host/database without a password")
	f.StringVar(&s.catalogFile, "catalog-file", "", "`FILE` that holds the catalog's location, which may have a password there")
	f.StringSliceVar(&s.natsURLs, "nats-url", nil, "`URL` of a NATS server, as tls://host:4222; may be repeated")
	f.StringVar(&s.natsTrust, "nats-trust", "", "`DIR` with the keys that the NATS servers trust (default DATA_DIR/bus)")
	f.StringVar(&s.natsCA, "nats-ca", "", "`FILE` with the PEM certificate of the NATS servers' authority (default the coordinator's own)")
	program.CertificateFlags(f, &s.certificate)
	f.IntVar(&s.frameRate, "frame-rate", coordinator.DefaultFrameRate, "captured frames a second, 1 to 60")
	f.DurationVar(&s.segmentLength, "segment-length", coordinator.DefaultSegmentLength, "length of a segment, 1s to 1h")
	f.DurationVar(&s.giveUp, "give-up", coordinator.DefaultGiveUp, "how long an agent may be silent before its session is taken over and ends as interrupted, at least 1s")
	f.StringVar(&s.policy, "policy", "", "`FILE` that says who is recorded and how; SIGHUP reads it again (default: everybody, as the flags say)")
	f.StringVar(&s.access, "access", "", "`FILE` that says who may do what and how people sign in; SIGHUP reads it again (default: the admin token only)")
	f.StringVar(&s.manifestKey, "manifest-key", "", "`FILE` with the Ed25519 key that manifests are signed with, made where there is none (default DATA_DIR/identity/manifest.key); coordinators of one catalog share it")
	f.BoolVar(&s.requireEnrollment, "require-enrollment", false, "let agents record only after they have joined (recctl enrollments), each with a key of its own")
	f.BoolVar(&s.unsafeBroker, "unsafe-broker", false, "accept a broker that acknowledges what is not on its disk")
	f.StringVar(&s.metricsListen, "metrics-listen", "", "`HOST:PORT` for Prometheus and probes, unencrypted and open to who reaches it (default: none)")
	f.StringVar(&s.logLevel, "log-level", "info", "trace, debug, info, warn or error")
	return command
}

// check reports the first setting that cannot be right.
func (s settings) check() error {
	switch {
	case s.dataDir == "":
		return errors.New("--data-dir is missing")
	case s.listen == "":
		return errors.New("--listen is missing")
	case s.archive == "":
		return errors.New("--archive is missing")
	case len(s.natsURLs) == 0:
		return errors.New("--nats-url is missing")
	case hclog.LevelFromString(s.logLevel) == hclog.NoLevel:
		return fmt.Errorf("log level %q is unknown", s.logLevel)
	}
	if _, _, err := net.SplitHostPort(s.listen); err != nil {
		return fmt.Errorf("--listen %q is not HOST:PORT", s.listen)
	}
	return s.certificate.Validate()
}
