package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/recfleet/recfleet/encoder"
	"github.com/recfleet/recfleet/internal/identity"
	"github.com/recfleet/recfleet/internal/object"
	"github.com/recfleet/recfleet/internal/version"
)

const (
	exitFailed   = 1
	exitBadInput = 2
)

// badInput is an error that the caller of the program can mend.
type badInput struct{ error }

func (b badInput) Unwrap() error { return b.error }

// settings are what the command line says.
type settings struct {
	config, coordinator, ca, tokenFile string
	archive, workDir, logLevel         string
	slots                              int
	drainTime                          time.Duration
}

// run is the program but for signals and the exit.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	var s settings
	started := false
	command := &cobra.Command{
		Use:   "recencoder {--config FILE | --coordinator HOST:PORT --ca FILE --token-file FILE} --archive URL",
		Short: "Encode recorded segments and archive them",
		Long: "Encode recorded segments and archive them.\n\n" +
			"Every flag may also be given by an environment variable, --work-dir as RECFLEET_WORK_DIR and so on; the flag wins.\n" +
			"The first signal finishes the jobs at hand, the second ends the program at once.\n" +
			"Exit codes: 0 after a signal, 1 failed, 2 bad input.",
		Version: version.Version, Args: cobra.NoArgs, SilenceErrors: true, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := applyEnvironment(cmd.Flags(), getenv); err != nil {
				return err
			}
			started = true
			return s.encode(cmd.Context(), stdout, stderr)
		},
	}
	f := command.Flags()
	f.StringVar(&s.config, "config", "", "client `FILE` as the coordinator writes it (encoder.json)")
	f.StringVar(&s.coordinator, "coordinator", "", "coordinator's `HOST:PORT`")
	f.StringVar(&s.ca, "ca", "", "`FILE` with the PEM certificate of the coordinator's authority")
	f.StringVar(&s.tokenFile, "token-file", "", "`FILE` with the encoder's token")
	f.StringVar(&s.archive, "archive", "", "`URL` of the archive, the same as the coordinator's")
	f.IntVar(&s.slots, "slots", runtime.NumCPU(), "jobs at the same time")
	f.StringVar(&s.workDir, "work-dir", defaultWorkDir(), "`DIR` for files in work, for this encoder alone")
	f.DurationVar(&s.drainTime, "drain-time", 2*time.Minute, "how long jobs may go on after the first signal")
	f.StringVar(&s.logLevel, "log-level", "info", "trace, debug, info, warn or error")
	command.SetArgs(args)
	command.SetOut(stdout)
	command.SetErr(stderr)

	err := command.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "recencoder: %s\n", strings.Join(strings.Fields(err.Error()), " "))
	if errors.As(err, new(badInput)) || !started {
		return exitBadInput
	}
	return exitFailed
}

// applyEnvironment sets the flags that were not given from their twins in the environment.
func applyEnvironment(flags *pflag.FlagSet, getenv func(string) string) error {
	var err error
	flags.VisitAll(func(f *pflag.Flag) {
		name := "RECFLEET_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value := getenv(name)
		if f.Changed || value == "" || f.Name == "help" || f.Name == "version" {
			return
		}
		if setErr := flags.Set(f.Name, value); setErr != nil && err == nil {
			err = fmt.Errorf("%s: %w", name, setErr)
		}
	})
	return err
}

// encode opens what the settings name and runs the encoder.
func (s settings) encode(ctx context.Context, stdout, stderr io.Writer) error {
	level := hclog.LevelFromString(s.logLevel)
	switch {
	case level == hclog.NoLevel:
		return badInput{fmt.Errorf("log level %q is unknown", s.logLevel)}
	case s.slots < 1:
		return badInput{fmt.Errorf("%d slots are none", s.slots)}
	case s.archive == "":
		return badInput{errors.New("--archive is missing")}
	case s.drainTime <= 0:
		return badInput{fmt.Errorf("drain time %v is none", s.drainTime)}
	}
	client, err := s.client()
	if err != nil {
		return badInput{err}
	}
	location, err := object.ParseLocation(s.archive)
	if err != nil {
		return badInput{err}
	}
	logger := hclog.New(&hclog.LoggerOptions{Name: "recencoder", Level: level, Output: stderr})
	store, err := object.Open(ctx, location, object.Config{Logger: logger.Named("object")})
	if err != nil {
		return badInput{err}
	}
	defer func() { _ = store.Close() }()
	if err := store.Check(ctx); err != nil {
		return badInput{err}
	}
	conn, err := client.Dial()
	if err != nil {
		return badInput{err}
	}
	defer conn.Close()
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	err = encoder.Run(ctx, encoder.Config{
		Client: conn, Store: store, WorkDir: s.workDir, Slots: s.slots, Logger: logger, Host: host,
		DrainTime: s.drainTime,
		Ready: func() {
			fmt.Fprintf(stdout, "recencoder is ready: coordinator %s, archive %v, %d slots\n", client.Address, location, s.slots)
		},
	})
	if errors.Is(err, encoder.ErrUnusable) {
		return badInput{err}
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
