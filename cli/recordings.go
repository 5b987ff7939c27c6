package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

func (a *app) recordings() *cobra.Command {
	return noun("recordings", "List, download and verify archived recordings", a.listRecordings(), a.downloadRecordings(), a.verifyRecordings(), a.printKey())
}

func (a *app) listRecordings() *cobra.Command {
	c := &cobra.Command{
		Use: "list SESSION", Short: "List the archived mp4s of a session", Args: one("SESSION", checkSession),
		ValidArgsFunction: first(a.completeSessions()),
		RunE: a.connected(func(ctx context.Context, conn *grpc.ClientConn, args []string) error {
			client := recfleetv1.NewRecordingServiceClient(conn)
			recordings, err := pages(0, func(_ int32, token string) ([]*recfleetv1.Recording, string, error) {
				ctx, cancel := a.deadline(ctx)
				defer cancel()
				page, err := client.ListRecordings(ctx, &recfleetv1.ListRecordingsRequest{SessionId: args[0], PageToken: token})
				return page.GetRecordings(), page.GetNextPageToken(), failed(err, "list recordings of session %s", args[0])
			})
			if err != nil {
				return err
			}
			return a.print(&recfleetv1.ListRecordingsResponse{Recordings: recordings}, func(t *tables) { list(t, recordings, recordingColumns(t)) })
		}),
	}
	a.outputFlags(c)
	return c
}

func (a *app) downloadRecordings() *cobra.Command {
	var (
		dir      string
		segments []int
		whole    bool
		gaps     = gapsShow
		reason   string
	)
	c := &cobra.Command{
		Use: "download SESSION", Short: "Download the mp4s of a session and check them", Args: one("SESSION", checkSession),
		Long: "Download the mp4s of a session as DIR/SESSION-000001.mp4 and so on. A download that was broken off goes on where it\n" +
			"stopped, every file is checked against its SHA-256 and appears whole or not at all, and a file that is there already\n" +
			"is kept: with the same content it counts as downloaded, with another the command fails.\n\n" +
			"It fails with exit code 1 where anything is missing: a segment that is not archived (yet), or the rest of a session\n" +
			"that is still being recorded. What there is, is downloaded all the same.\n\n" +
			"--join makes one mp4 of the whole session instead, DIR/SESSION.mp4, for which it needs FFmpeg. Where the desktop's size\n" +
			"never changed the pictures are copied as they are; otherwise all are encoded anew within black bars. Gaps of a second\n" +
			"and longer are shown as black with their cause, for as long as they lasted but at most 5 s, which needs encoding too;\n" +
			"--gaps cut leaves them out. What has been downloaded stays in DIR/SESSION.parts until the video is done.",
		ValidArgsFunction: first(a.completeSessions()),
	}
	fetch := a.connected(func(ctx context.Context, conn *grpc.ClientConn, args []string) error {
		s, err := a.session(ctx, conn, args[0])
		if err != nil {
			return err
		}
		wanted, missing, err := selectRecordings(s, segments)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return usageError{fmt.Errorf("--dir: %w", err)}
		}
		d := &downloader{client: recfleetv1.NewRecordingServiceClient(conn), dir: dir, idle: a.timeout, bar: a.progress, reason: reason, entire: len(segments) == 0}
		if whole {
			return a.joined(ctx, d, s, gaps)
		}
		problems := missing
		for _, r := range wanted {
			path, fetched, err := d.download(ctx, r)
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case code(err) == codes.InvalidArgument: // so are the others
				return err
			case err != nil:
				problems = append(problems, err)
			case fetched:
				write(a.Stdout, "%s\n", path)
			default:
				write(a.Stdout, "%s (was there already)\n", path)
			}
		}
		return several(problems)
	})
	c.RunE = func(c *cobra.Command, args []string) error {
		switch {
		case whole && len(segments) > 0:
			return usageError{errors.New("--join: makes one of all segments, so --segment cannot be given with it")}
		case !whole && c.Flags().Changed("gaps"):
			return usageError{errors.New("--gaps: says what --join does, and is for nothing without it")}
		}
		return fetch(c, args)
	}
	c.Flags().IntSliceVar(&segments, "segment", nil, "only segment `N`; may be repeated")
	c.Flags().StringVar(&dir, "dir", ".", "`DIR` to write to; made where it is missing")
	c.Flags().BoolVar(&whole, "join", false, "make one mp4 of the session")
	wordVar(c, &gaps, "gaps", []string{gapsShow, gapsCut}, "what --join does with gaps: show or cut")
	_ = c.RegisterFlagCompletionFunc("segment", a.completeSegments())
	_ = c.MarkFlagDirname("dir")
	textVar(c.Flags(), &reason, "reason", maxReason, "`TEXT` for the audit log")
	return c
}

// selectRecordings says which of a session's mp4s to download and, as errors, what of them is missing.
func selectRecordings(s *recfleetv1.Session, segments []int) (wanted []*recfleetv1.Recording, missing []error, err error) {
	known := map[int]bool{}
	for _, g := range s.GetSegments() {
		n := int(g.GetNumber())
		known[n] = true
		switch {
		case len(segments) > 0 && !slices.Contains(segments, n):
		case g.GetRecording() == nil:
			missing = append(missing, fmt.Errorf("segment %d of session %s is not archived", n, s.GetId()))
		default:
			wanted = append(wanted, g.GetRecording())
		}
	}
	if s.GetDeleteTime() != nil {
		return nil, nil, fmt.Errorf("session %s: its recordings were deleted", s.GetId())
	}
	for _, n := range segments {
		if !known[n] {
			return nil, nil, notFoundError{fmt.Errorf("session %s has no segment %d", s.GetId(), n)}
		}
	}
	if len(segments) == 0 && live(s) {
		missing = append(missing, fmt.Errorf("session %s is still being recorded", s.GetId()))
	}
	return wanted, missing, nil
}

// several makes one error of many, with the exit code of the first.
func several(problems []error) error {
	switch len(problems) {
	case 0:
		return nil
	case 1:
		return problems[0]
	}
	return fmt.Errorf("%d of the recordings are missing: %w", len(problems), errors.Join(problems...))
}
