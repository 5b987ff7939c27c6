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

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/recfleet/recfleet/encoder"
	"github.com/recfleet/recfleet/internal/identity"
	"github.com/recfleet/recfleet/internal/object"
	"github.com/recfleet/recfleet/internal/program"
	"github.com/recfleet/recfleet/internal/version"
)

// settings are what the command line says.
type settings struct {
	config, coordinator, ca, tokenFile string
	archive, workDir, logLevel         string
	metricsListen                      string
	slots                              slots
	labels                             []string
	drainTime                          time.Duration
}

// command is the program's command line. Its context drains the encoder, and the closing of stop ends it at once.
func command(stop <-chan struct{}) *cobra.Command {
	var s settings
	command := &cobra.Command{
		Use:   "recencoder {--config FILE | --coordinator HOST:PORT --ca FILE --token-file FILE} --archive URL",
		Short: "Encode recorded segments and archive them",
		Long: "Encode recorded segments and archive them.\n\n" +
			"Every flag may also be given by an environment variable, --work-dir as RECFLEET_WORK_DIR and so on; the flag wins.\n" +
			"The first signal finishes the jobs at hand for at most --drain-time, the second gives them back at once.\n" +
			"It also ends, as after a signal, where somebody orders it to drain (recctl encoders drain).\n" +
			"Exit codes: 0 after a signal or an order, whether what it held was finished or given back; 1 failed; 2 bad input.",
		Version: version.Version, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.encode(cmd.Context(), stop, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := command.Flags()
	f.StringVar(&s.config, "config", "", "client `FILE` as the coordinator writes it (encoder.json)")
	f.StringVar(&s.coordinator, "coordinator", "", "coordinator's `HOST:PORT`")
	f.StringVar(&s.ca, "ca", "", "`FILE` with the PEM certificate of the coordinator's authority")
	f.StringVar(&s.tokenFile, "token-file", "", "`FILE` with the encoder's token")
	f.StringVar(&s.archive, "archive", "", "`URL` of the archive, the same as the coordinator's")
	s.slots = encoder.AutoSlots
	f.Var(&s.slots, "slots", "`N` jobs at the same time, or auto: as many as CPU and memory were measured to allow")
	f.StringSliceVar(&s.labels, "label", nil, "`POOL` of jobs that it takes beside those for any encoder; may be repeated")
	f.StringVar(&s.workDir, "work-dir", defaultWorkDir(), "`DIR` for files in work, for this encoder alone")
	f.DurationVar(&s.drainTime, "drain-time", 2*time.Minute, "how long jobs may go on after the first signal")
	f.StringVar(&s.metricsListen, "metrics-listen", "", "`HOST:PORT` for Prometheus, unencrypted and open to who reaches it (default: none)")
	f.StringVar(&s.logLevel, "log-level", "info", "trace, debug, info, warn or error")
	return command
}

// encode opens what the settings name and runs the encoder.
func (s settings) encode(ctx context.Context, stop <-chan struct{}, stdout, stderr io.Writer) error {
	level := hclog.LevelFromString(s.logLevel)
	switch {
	case level == hclog.NoLevel:
		return program.BadInput(fmt.Errorf("log level %q is unknown", s.logLevel))
	case s.archive == "":
		return program.BadInput(errors.New("--archive is missing"))
	case s.drainTime <= 0:
		return program.BadInput(fmt.Errorf("drain time %v is none", s.drainTime))
	}
	client, err := s.client()
	if err != nil {
		return program.BadInput(err)
	}
	location, err := object.ParseLocation(s.archive)
	if err != nil {
		return program.BadInput(err)
	}
	logger := hclog.New(&hclog.LoggerOptions{Name: "recencoder", Level: level, Output: stderr})
	store, err := object.Open(ctx, location, object.Config{Logger: logger.Named("object")})
	if err != nil {
		return program.BadInput(err)
	}
	defer func() { _ = store.Close() }()
	if err := store.Check(ctx); err != nil {
		return program.BadInput(err)
	}
	conn, err := client.Dial()
	if err != nil {
		return program.BadInput(err)
	}
	defer conn.Close()
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	err = s.counted(ctx, encoder.Config{
		Client: conn, Store: store, WorkDir: s.workDir, Slots: int(s.slots), Labels: s.labels, Logger: logger, Host: host,
		DrainTime: s.drainTime, Stop: stop,
		Ready: func() {
			fmt.Fprintf(stdout, "recencoder is ready: coordinator %s, archive %v, %v slots\n", client.Address, location, &s.slots)
		},
	})
	if errors.Is(err, encoder.ErrUnusable) {
		return program.BadInput(err)
	}
	return err
}

// defaultWorkDir is a place that other users cannot prepare, or none.
func defaultWorkDir() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(cache, "recfleet", "encoder")
}

// client says how to reach the coordinator: by a client file, single fields of which flags may replace, or by flags alone.
func (s settings) client() (identity.Client, error) {
	var c identity.Client
	if s.config != "" {
		var err error
		if c, err = identity.LoadClient(s.config); err != nil {
			return c, err
		}
	}
	if s.coordinator != "" {
		c.Address = s.coordinator
	}
	for file, to := range map[string]*string{s.ca: &c.CACertificate, s.tokenFile: &c.Token} {
		if file == "" {
			continue
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			return c, err
		}
		*to = strings.TrimSpace(string(raw)) + "\n"
	}
	c.Token = strings.TrimSpace(c.Token)
	if s.config == "" && (s.coordinator == "" || s.ca == "" || s.tokenFile == "") {
		return c, errors.New("either --config or all of --coordinator, --ca and --token-file must be given")
	}
	return c, c.Validate()
}
