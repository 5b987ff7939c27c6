package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/identity"
	"github.com/recfleet/recfleet/internal/program"
)

// brokerSettings are what the command line says of a broker of one's own.
type brokerSettings struct {
	dataDir, listen, storeDir, output string
	storeBytes                        int64
	hosts                             []string
}

func brokerConfigCommand() *cobra.Command {
	var s brokerSettings
	command := &cobra.Command{
		Use:   "broker-config --data-dir DIR --listen HOST:PORT --store-dir DIR [--output DIR]",
		Short: "Write the configuration of a nats-server that trusts this coordinator",
		Long: "Write nats.conf, nats.pem and nats.key: the configuration of a nats-server that trusts this coordinator and that\n" +
			"acknowledges only what is on its disk. Keys that do not exist yet are made.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return program.BadInput(s.write(cmd.OutOrStdout()))
		},
	}
	f := command.Flags()
	f.StringVar(&s.dataDir, "data-dir", "", "the coordinator's `DIR`")
	f.StringVar(&s.listen, "listen", "", "the broker's `HOST:PORT`")
	f.StringSliceVar(&s.hosts, "host", nil, "further `NAME` or address under which the broker is reached")
	f.StringVar(&s.storeDir, "store-dir", "", "the broker's `DIR` for streams")
	f.Int64Var(&s.storeBytes, "store-bytes", 10<<30, "how much of it there may be; well below what the disk has")
	f.StringVar(&s.output, "output", "", "`DIR` for the files (default DATA_DIR/bus)")
	return command
}

func (s brokerSettings) write(stdout io.Writer) error {
	switch {
	case s.dataDir == "":
		return errors.New("--data-dir is missing")
	case s.listen == "":
		return errors.New("--listen is missing")
	case s.storeDir == "":
		return errors.New("--store-dir is missing")
	case s.storeBytes < 1:
		return fmt.Errorf("--store-bytes %d is no size", s.storeBytes)
	}
	host, _, err := net.SplitHostPort(s.listen)
	if err != nil {
		return fmt.Errorf("--listen %q is not HOST:PORT", s.listen)
	}
	trustDir := filepath.Join(s.dataDir, "bus")
	if s.output == "" {
		s.output = trustDir
	}
	if err := os.MkdirAll(s.output, 0o700); err != nil {
		return err
	}
	authority, err := identity.OpenAuthority(identityDir(s.dataDir))
	if err != nil {
		return err
	}
	trust, err := bus.OpenTrust(trustDir)
	if err != nil {
		return err
	}
	cfg := bus.FileConfig{
		Listen: s.listen, StoreDir: s.storeDir, StoreBytes: s.storeBytes,
		Certificate: filepath.Join(s.output, "nats.pem"), PrivateKey: filepath.Join(s.output, "nats.key"),
	}
	if err := authority.WriteServerCertificate(append(s.hosts, host), cfg.Certificate, cfg.PrivateKey); err != nil {
		return err
	}
	path := filepath.Join(s.output, "nats.conf")
	if err := trust.WriteServerConfig(path, cfg); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "wrote %s; run nats-server -c %s\n", path, path)
	return nil
}
