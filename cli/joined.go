package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/cli/join"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// What is done with gaps in a joined video.
const (
	gapsShow = "show"
	gapsCut  = "cut"
)

const (
	// shortestShown is the shortest gap that a card is made for, and longestCard the longest time that one is seen.
	shortestShown = time.Second
	longestCard   = 5 * time.Second
)

// joined makes DIR/SESSION.mp4 of a session's recordings.
func (a *app) joined(ctx context.Context, d *downloader, s *recfleetv1.Session, gaps string) error {
	path := filepath.Join(d.dir, s.GetId()+".mp4")
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is there already and was kept", path)
	}
	if !final(s) {
		return fmt.Errorf("session %s is still %s: it can be joined when it is over", s.GetId(), stateName(s.GetState()))
	}
	wanted, missing, err := selectRecordings(s, nil)
	if err != nil {
		return err
	}
	if len(wanted) == 0 {
		return errors.Join(append(missing, fmt.Errorf("session %s has no recordings", s.GetId()))...)
	}
	work := filepath.Join(d.dir, s.GetId()+".parts")
	if err := os.MkdirAll(work, 0o700); err != nil {
		return usageError{err}
	}
	files := map[int32]string{}
	for _, r := range wanted {
		if files[r.GetSegment()], err = d.part(ctx, r, work); err != nil {
			return err
		}
	}
	part := filepath.Join(work, "joined.part")
	bar := a.parts("join")
	result, err := join.Run(ctx, join.Config{
		Pieces: pieces(s, files, gaps, a.clock()), Work: work, Path: part, Logger: hclog.NewNullLogger(),
		Progress: func(done, total time.Duration) { bar.set(done.Milliseconds(), total.Milliseconds()) },
	})
	bar.Close()
	if err != nil {
		return err
	}
	if err := a.publishJoined(part, path); err != nil {
		return fmt.Errorf("join %s: %w", path, err)
	}
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	if a.StderrTerminal {
		write(a.Stderr, "%d segments, %dx%d, %s, %s\n", len(wanted), result.Width, result.Height, durationText(result.Duration),
			map[bool]string{true: "copied", false: "encoded anew"}[result.Copied])
	}
	write(a.Stdout, "%s\n", path)
	return several(missing)
}

func (a *app) publishJoined(part, path string) error {
	f, err := os.OpenFile(part, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return publish(f, part, path)
}

// part returns where a segment's mp4 is: where an ordinary download left it, or else in the work directory.
func (d *downloader) part(ctx context.Context, r *recfleetv1.Recording, work string) (string, error) {
	if path, err := d.path(r); err == nil {
		if there, err := d.present(path, r); there && err == nil {
			return path, nil
		}
	}
	inside := *d
	inside.dir = work
	path, _, err := inside.download(ctx, r)
	return path, err
}

// pieces puts segments and the gaps that are to be shown in order.
func pieces(s *recfleetv1.Session, files map[int32]string, gaps string, c clock) []join.Piece {
	type placed struct {
		at time.Time
		join.Piece
	}
	var all []placed
	for _, g := range s.GetSegments() {
		if path := files[g.GetNumber()]; path != "" {
			all = append(all, placed{g.GetStartTime().AsTime(), join.Piece{Path: path}})
		}
	}
	for _, g := range s.GetGaps() {
		lasts := g.GetEndTime().AsTime().Sub(g.GetStartTime().AsTime())
		if gaps != gapsShow || lasts < shortestShown {
			continue
		}
		all = append(all, placed{g.GetStartTime().AsTime(), join.Piece{Lasts: min(lasts, longestCard), Lines: []string{
			"not recorded", fmt.Sprintf("%s from %s", durationText(lasts), c.exact(g.GetStartTime())), shorten(escape(g.GetCause()), longestName),
		}}})
	}
	slices.SortStableFunc(all, func(a, b placed) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.Path, b.Path)) })
	var out []join.Piece
	for _, p := range all {
		out = append(out, p.Piece)
	}
	return out
}
