package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/recfleet/recfleet/coordinator/signer"
	"github.com/recfleet/recfleet/internal/evidence"
	"github.com/recfleet/recfleet/internal/program"
)

func keysCommand() *cobra.Command {
	command := &cobra.Command{
		Use: "keys", Short: "Change the key that manifests and daily digests are signed with",
		Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	var s settings
	var previous string
	rotate := &cobra.Command{
		Use:   "rotate --data-dir DIR",
		Short: "Make a new signing key, signed by the one before",
		Long: "Make a new key, have the present one sign that it follows, and put it in the present one's place, which is gone then.\n" +
			"Running coordinators go on with the one before until they are started again. Copy manifest.key and manifest.key.line to\n" +
			"the other coordinators of the catalog; do not rotate there.\n" +
			"With --previous the present key stays, and the one in that file, which it took the place of by hand, signs that it follows.\n\n" +
			"Exit codes: 0 changed, 1 failed, 2 the key files cannot be used.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return s.rotate(c.OutOrStdout(), previous, time.Now())
		},
	}
	f := rotate.Flags()
	f.StringVar(&s.dataDir, "data-dir", "", "the coordinator's `DIR`")
	f.StringVar(&s.manifestKey, "manifest-key", "", "`FILE` with the key (default DATA_DIR/identity/manifest.key)")
	f.StringVar(&previous, "previous", "", "`FILE` with the key that was used before and was replaced by hand")
	command.AddCommand(rotate)
	return command
}

func (s settings) rotate(stdout io.Writer, previous string, now time.Time) error {
	if s.dataDir == "" && s.manifestKey == "" {
		return program.BadInput(errors.New("--data-dir is missing"))
	}
	var said evidence.Succession
	var err error
	if previous == "" {
		said, err = signer.Rotate(s.manifestKeyFile(), now)
	} else {
		said, err = signer.Adopt(s.manifestKeyFile(), previous, now)
	}
	if errors.Is(err, signer.ErrKey) {
		return program.BadInput(err)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "key %s follows on %s; start the coordinator again\n", fingerprint(said.Key), fingerprint(said.Previous))
	return nil
}

// fingerprint names a public key as recctl does.
func fingerprint(key evidence.PublicKey) string {
	return fmt.Sprintf("SHA256:%x", sha256.Sum256(key[:]))
}
