package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/recfleet/recfleet/cli/custody"
	"github.com/recfleet/recfleet/cli/verify"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/evidence"
	"github.com/recfleet/recfleet/internal/object"
)

func (a *app) archive() *cobra.Command {
	return noun("archive", "Verify an archive without a coordinator", a.verifyArchive())
}

func (a *app) verifyArchive() *cobra.Command {
	var (
		at, keys, until string
		pinned          []string
		settled         bool
	)
	c := &cobra.Command{
		Use: "verify", Short: "Prove from the archive and public keys alone that nothing was removed, altered or added", Args: noArgs,
		Long: `Read a whole archive, a directory or a bucket, and check with public keys alone
- the daily digests, their signatures, and that each goes on from the one before, up to yesterday,
- each day's audit records and their hash chain through all days,
- for every session that a digest tells of, its manifest and signature, every object's size, SHA-256 and version, the end
  marker, that segments follow on each other, the hash chain from the session's id on, and that all of its time is accounted for,
- that what is not there was deleted by an order that a later digest tells of, and that nothing else is there.

No coordinator is asked. Whatever is wrong is named with its kind, and the exit code is 1; 2 is for bad input, 5 for an archive
that cannot be reached. Notes are what no digest can speak of yet: sessions that go on, or were closed since the last digest.
--settled makes problems of them. Bucket credentials come from the AWS configuration; rights to list and read are enough.

The keys are those that recctl recordings key printed, one after the other in one file. A key that one of them has signed as the
one that follows (reccoordinator keys rotate) need not be there; one before must be.
Keep them, and now and then the last digest's SHA-256, where nobody can change them who can change the archive.`,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, location, err := custodyConfig(at, keys, until, pinned, a.now())
			if err != nil {
				return usageError{err}
			}
			cfg.Settled = settled
			return a.judgeArchive(c.Context(), location, "the archive", func(ctx context.Context, store custody.Archive, progress func(done, whole int64)) (custody.Report, error) {
				cfg.Progress = progress
				return custody.Verify(ctx, store, cfg)
			})
		},
	}
	a.outputFlags(c)
	flags := c.Flags()
	flags.StringVar(&at, "archive", "", "`URL` of the archive, as the coordinator has it: file:///path or s3://bucket/prefix")
	flags.StringVar(&keys, "keys", "", "`FILE` with the public keys")
	takesFile(c, "keys")
	flags.StringVar(&until, "until", "", "last `DAY` that there must be a digest of, as 2026-11-20, or none (default yesterday, of UTC)")
	flags.StringSliceVar(&pinned, "digest", nil, "`DAY=SHA256` of a digest that was kept elsewhere; may be repeated")
	flags.BoolVar(&settled, "settled", false, "take what no digest speaks of for a problem")
	return c
}

// digestTime is how long after a day's end its digest is there at the latest, if a coordinator runs.
const digestTime = 30 * time.Minute

// custodyConfig reads the flags.
func custodyConfig(at, keys, until string, pinned []string, now time.Time) (cfg custody.Config, location object.Location, err error) {
	if at == "" || keys == "" {
		return cfg, location, errors.New("--archive and --keys are needed")
	}
	if location, err = object.ParseLocation(at); err != nil {
		return cfg, location, fmt.Errorf("--archive: %w", err)
	}
	raw, err := os.ReadFile(keys)
	if err != nil {
		return cfg, location, fmt.Errorf("--keys: %w", err)
	}
	if cfg.Keys, err = verify.ParseKeys(raw); err != nil {
		return cfg, location, fmt.Errorf("--keys: %s: %w", keys, err)
	}
	switch until {
	case "":
		cfg.Until = evidence.DayOf(now.Add(-digestTime).AddDate(0, 0, -1))
	case "none":
	default:
		if cfg.Until, err = evidence.ParseDay(until); err != nil {
			return cfg, location, fmt.Errorf("--until: %s is not a day of the form 2006-01-02", quote(until))
		}
	}
	cfg.Pinned = map[evidence.Day]string{}
	for _, pin := range pinned {
		text, sum, _ := strings.Cut(pin, "=")
		day, err := evidence.ParseDay(text)
		var kept chunk.Hash
		if err = errors.Join(err, kept.UnmarshalText([]byte(sum))); err != nil {
			return cfg, location, fmt.Errorf("--digest: %s is not of the form 2006-01-02=SHA256", quote(pin))
		}
		cfg.Pinned[day] = kept.String()
	}
	return cfg, location, nil
}

// judgeArchive opens the archive, verifies it or a part of it, and prints what was found. Problems are an error.
func (a *app) judgeArchive(ctx context.Context, location object.Location, what string, judge func(context.Context, custody.Archive, func(done, whole int64)) (custody.Report, error)) error {
	store, err := object.Open(ctx, location, object.Config{ReadOnly: true})
	if err != nil {
		return unreachable{err}
	}
	defer func() { _ = store.Close() }()
	bar := a.parts("verify")
	r, err := judge(ctx, store, bar.set)
	bar.Close()
	switch {
	case errors.Is(err, object.ErrUnavailable):
		return unreachable{err}
	case err != nil:
		return err
	}
	if err := a.print(r, func(t *tables) { custodyTable(t, r) }); err != nil || r.Verified {
		return err
	}
	more := ""
	if n := len(r.Problems); n > 1 {
		more = fmt.Sprintf(" (and %d more problems)", n-1)
	}
	return fmt.Errorf("%s is not verified: %w%s", what, r.Problems[0], more)
}

func custodyTable(t *tables, r custody.Report) {
	verdict := cell{"yes", green}
	if !r.Verified {
		verdict = cell{"no", red}
	}
	t.fields([][]cell{
		{{text: "verified"}, verdict},
		plain("days", daysOf(r)),
		plain("last digest", r.LastDigest),
		plain("sessions", fmt.Sprintf("%d, and %d deleted", r.Sessions, r.Deleted)),
		plain("objects", fmt.Sprintf("%d, %s", r.Objects, bytesText(r.Bytes))),
		plain("audit records", strconv.FormatInt(r.AuditRecords, 10)),
	})
	for _, one := range []struct {
		title string
		all   []custody.Problem
	}{{"PROBLEM", r.Problems}, {"NOTE", r.Notes}} {
		if len(one.all) == 0 {
			continue
		}
		fmt.Fprintln(&t.out)
		type p = custody.Problem
		list(t, one.all, []column[p]{
			{one.title, false, text(func(v p) string { return string(v.Kind) })},
			{"SESSION", false, name(t, func(v p) string { return v.Session })},
			{"DETAIL", false, text(func(v p) string { return escape(v.Detail) })},
		})
	}
}

// daysOf says how many days there are digests of, and which.
func daysOf(r custody.Report) string {
	if r.Days == 0 {
		return "none"
	}
	return fmt.Sprintf("%d, %s to %s", r.Days, r.FirstDay, r.LastDay)
}
