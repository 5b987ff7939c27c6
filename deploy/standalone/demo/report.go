package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/recfleet/recfleet/internal/identity"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// Encoding a short recording takes about as long as the recording; a busy machine takes longer.
const completionTimeout = 5 * time.Minute

// frameInterval is what may lie between two segments without being a gap, where the size changes.
const frameInterval = 200 * time.Millisecond

// waitForSession shows how far the session is until it is final.
func waitForSession(ctx context.Context, cfg config, id string) (*recfleetv1.Session, error) {
	client, err := identity.LoadClient(filepath.Join(cfg.dir, "client.json"))
	if err != nil {
		return nil, err
	}
	conn, err := client.Dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	sessions := recfleetv1.NewSessionServiceClient(conn)
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	var meter meter
	defer meter.end()
	for {
		got, err := sessions.GetSession(ctx, &recfleetv1.GetSessionRequest{SessionId: id})
		if err != nil {
			return nil, fmt.Errorf("wait for session %s: %w", id, err)
		}
		s := got.GetSession()
		meter.show(fmt.Sprintf("session %s: %s, %d of %d segments archived", id, stateName(s), s.GetArchivedSegmentCount(), s.GetSegmentCount()))
		if final(s.GetState()) {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for session %s: %w", id, ctx.Err())
		case <-time.After(250 * time.Millisecond):
		}
	}
}

func stateName(s *recfleetv1.Session) string {
	return strings.ToLower(strings.TrimPrefix(s.GetState().String(), "SESSION_STATE_"))
}

// report prints what came out and fails where anything is missing.
func report(ctx context.Context, cfg config, archive *storage, s *recfleetv1.Session) error {
	var wrong []error
	fmt.Println()
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SEGMENT\tFROM\tTO\tSIZE\tFRAMES\tBYTES\tMP4")
	for _, g := range s.GetSegments() {
		r := g.GetRecording()
		path := strings.TrimPrefix(r.GetLocation(), "file://")
		fmt.Fprintf(table, "%d\t%s\t%s\t%dx%d\t%d\t%d\t%s\n", g.GetNumber(), clock(g.GetStartTime().AsTime()), clock(g.GetEndTime().AsTime()),
			r.GetWidth(), r.GetHeight(), r.GetFrameCount(), r.GetBytes(), shorten(path))
	}
	others, err := archive.archived(ctx, s)
	if err != nil {
		wrong = append(wrong, err)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, g := range s.GetGaps() {
		fmt.Printf("gap     %s  %s  %s %s\n", clock(g.GetStartTime().AsTime()), clock(g.GetEndTime().AsTime()), g.GetCause(), g.GetDetail())
	}

	fmt.Printf("beside them: %s\n", strings.Join(others, ", "))

	whole := s.GetEndTime().AsTime().Sub(s.GetStartTime().AsTime())
	fmt.Printf("\nsession %s is %s\n", s.GetId(), stateName(s))
	fmt.Printf("recorded %.1f s of %.1f s, %d gaps\n", s.GetRecordedDuration().AsDuration().Seconds(), whole.Seconds(), s.GetGapCount())
	if archive.child != nil {
		fmt.Printf("\nThe S3 server ends with the demonstration; its bucket lies in %s, its versions and its key pair beside that.\n",
			shorten(filepath.Join(cfg.dir, "s3", "buckets", bucketName)))
	} else {
		fmt.Printf("\nThe page: start it again with\n  bin/recfleet --data-dir %s --listen 127.0.0.1:7443\nand open https://127.0.0.1:7443/sessions/%s with the token in %s\n",
			shorten(cfg.dir), s.GetId(), shorten(filepath.Join(cfg.dir, "client.json")))
	}

	if s.GetState() != recfleetv1.SessionState_SESSION_STATE_COMPLETE {
		wrong = append(wrong, fmt.Errorf("the session is %s: %s", stateName(s), s.GetStateReason()))
	}
	fewest := 2 // for the resize
	if cfg.length > 2*segmentLength {
		fewest++
	}
	if len(s.GetSegments()) < fewest {
		wrong = append(wrong, fmt.Errorf("%d segments are too few for a resize and a change of segments", len(s.GetSegments())))
	}
	if s.GetGapCount() > 0 {
		wrong = append(wrong, fmt.Errorf("%d gaps", s.GetGapCount()))
	}
	if missing := (whole - s.GetRecordedDuration().AsDuration() - s.GetGapDuration().AsDuration()).Abs(); missing > frameInterval {
		wrong = append(wrong, fmt.Errorf("%s of the session are unaccounted for", missing))
	}
	return errors.Join(wrong...)
}

func clock(t time.Time) string { return t.Local().Format("15:04:05.000") }

// shorten writes a path as it is reached from here.
func shorten(path string) string {
	here, err := os.Getwd()
	if err != nil {
		return path
	}
	if short, err := filepath.Rel(here, path); err == nil && !strings.HasPrefix(short, "..") {
		return short
	}
	return path
}

// quiet is how often a meter speaks where it cannot replace its line.
const quiet = 5 * time.Second

// meter shows progress: in one line on a terminal, in a line every few seconds elsewhere.
type meter struct{ spoke time.Time }

func (m *meter) show(text string) {
	switch {
	case term.IsTerminal(int(os.Stdout.Fd())):
		fmt.Printf("\r\x1b[K    %s", text)
	case time.Since(m.spoke) >= quiet:
		m.spoke = time.Now()
		fmt.Println("   ", text)
	}
}

func (m *meter) end() {
	if term.IsTerminal(int(os.Stdout.Fd())) {
		fmt.Println()
	}
}
