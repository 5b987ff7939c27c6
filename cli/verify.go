package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/recfleet/recfleet/cli/custody"
	"github.com/recfleet/recfleet/cli/verify"
)

func (a *app) verifyRecordings() *cobra.Command {
	var pin, reason, archive, keys string
	c := &cobra.Command{
		Use: "verify SESSION", Short: "Read all of a session's recordings and prove that nothing is missing or altered",
		Long: `Read every mp4 of a session, its thumbnails, metadata.json, events.ndjson and the end marker to their end, keeping nothing, and check
- each one's size and SHA-256 against the manifest and the catalog,
- the manifest's signature, and with --public-key that it is of the key expected; where segments were encoded after the session
  was over, those of the whole chain of manifests, and that each changes nothing but what it says,
- that segments and epochs follow on each other and the hash chain runs through them,
- that every second of the session is in an archived segment or in a gap with a cause.

Whatever is wrong is named, and the exit code is 1. Gaps with a cause are listed; they are no failure. A segment that could
not be encoded is such a gap (segment_quarantined). A key that the key demanded has signed as the one that follows is as good
as that one; one before it is not. Without --public-key, and without manifest_key in the context, the
signature only shows that the coordinator that answers has signed.

With --archive and --keys no coordinator is asked: what the daily digests say of the session, and its folder, are checked with
the public keys alone, as recctl archive verify does for all sessions.`,
		Args: one("SESSION", checkSession), ValidArgsFunction: first(a.completeSessions()),
	}
	judge := a.connected(func(ctx context.Context, conn *grpc.ClientConn, args []string) error {
		if pin == "" {
			pin = a.target.profile.ManifestKey
		}
		pins, err := pinned(pin)
		if err != nil {
			return err
		}
		v, err := a.verify(ctx, conn, args[0], pins, reason)
		if err != nil {
			return err
		}
		if err := a.print(v, func(t *tables) { verdictTable(t, v) }); err != nil {
			return err
		}
		return v.failure()
	})
	c.RunE = func(c *cobra.Command, args []string) error {
		switch {
		case archive == "" && keys == "":
			return judge(c, args)
		case pin != "" || reason != "":
			return usageError{errors.New("--public-key and --reason are for what a coordinator answers, --archive and --keys for an archive without one")}
		}
		return a.verifyFolder(c.Context(), args[0], archive, keys)
	}
	a.outputFlags(c)
	textVar(c.Flags(), &reason, "reason", maxReason, "`TEXT` for the audit log")
	c.Flags().StringVar(&pin, "public-key", "", "`FILE` with the public key that the manifest must be signed with, or that led to the one it is signed with, or its fingerprint; in a file there may be several")
	c.Flags().StringVar(&archive, "archive", "", "`URL` of the archive, to verify without a coordinator: file:///path or s3://bucket/prefix")
	c.Flags().StringVar(&keys, "keys", "", "`FILE` with the public keys, for --archive")
	takesFile(c, "public-key", "keys")
	return c
}

// verifyFolder verifies one session from the archive.
func (a *app) verifyFolder(ctx context.Context, session, archive, keys string) error {
	cfg, location, err := custodyConfig(archive, keys, "none", nil, a.now())
	if err != nil {
		return usageError{err}
	}
	return a.judgeArchive(ctx, location, "session "+session, func(ctx context.Context, store custody.Archive, progress func(done, whole int64)) (custody.Report, error) {
		cfg.Progress = progress
		return custody.VerifySession(ctx, store, session, cfg)
	})
}

// pinned returns the fingerprints of which one is demanded; none where nothing is.
func pinned(pin string) (pins []string, err error) {
	if pin == "" {
		return nil, nil
	}
	if verify.IsFingerprint(pin) {
		return []string{pin}, nil
	}
	raw, err := os.ReadFile(pin)
	if err != nil {
		return nil, usageError{fmt.Errorf("--public-key: %s is no fingerprint (SHA256: and 64 digits) and cannot be read: %w", quote(pin), errors.Unwrap(err))}
	}
	keys, err := verify.ParseKeys(raw)
	if err != nil {
		return nil, usageError{fmt.Errorf("--public-key: %s: %w", pin, err)}
	}
	for _, key := range keys {
		pins = append(pins, verify.Fingerprint(key))
	}
	return pins, nil
}
