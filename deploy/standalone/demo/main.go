// Demo records a virtual desktop end to end, as a user of the product would: it starts recfleet, a desktop with programs on
// it, and the session hooks of the agent; resizes the desktop once; waits until the session is complete; and shows what came
// out. It uses nothing of the product but its programs and its public API.
//
// DEMO_SECONDS (20) is how long it records, DEMO_DIR (./demo-data) where the data stays; STORAGE=s3 has it archive into a bucket of
// an S3 server that it starts, and not into a directory (STORAGE=file). It ends with 0 only where every
// second was recorded and every mp4 is in the archive.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

type config struct {
	length  time.Duration
	dir     string
	bin     string
	storage string // file or s3
}

// segmentLength makes a short demonstration change segments more than once.
const segmentLength = 8 * time.Second

func configure() (config, error) {
	c := config{length: 20 * time.Second, dir: "demo-data", bin: "bin", storage: "file"}
	if s := os.Getenv("DEMO_SECONDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 4 || n > 3600 {
			return c, fmt.Errorf("DEMO_SECONDS %q is not a number from 4 to 3600", s)
		}
		c.length = time.Duration(n) * time.Second
	}
	if s := os.Getenv("DEMO_DIR"); s != "" {
		c.dir = s
	}
	if s := os.Getenv("STORAGE"); s != "" {
		if s != "file" && s != "s3" {
			return c, fmt.Errorf("STORAGE %q is not file or s3", s)
		}
		c.storage = s
	}
	var err error
	if c.dir, err = filepath.Abs(c.dir); err != nil {
		return c, fmt.Errorf("DEMO_DIR: %w", err)
	}
	if err := os.MkdirAll(c.dir, 0o700); err != nil {
		return c, fmt.Errorf("DEMO_DIR: %w", err)
	}
	return c, nil
}

func run(ctx context.Context) (err error) {
	cfg, err := configure()
	if err != nil {
		return err
	}

	if cfg.storage == "s3" {
		step("starting an S3 server with a bucket that keeps versions")
	}
	archive, err := startStorage(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, archive.stop()) }()

	step("starting recfleet: broker, coordinator, encoder, archive and page in one process")
	server, err := startChild(cfg, "recfleet", "--data-dir", cfg.dir, "--listen", "127.0.0.1:0", "--segment-length", segmentLength.String(), "--archive", archive.url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	if _, err := server.line(ctx, time.Minute); err != nil {
		return err
	}

	step("starting a virtual desktop with programs on it")
	desk, err := startDesktop(ctx, cfg, "1280x720")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, desk.stop()) }()

	spool := filepath.Join(cfg.dir, "spool")
	step("recagent start: what the session-start hook runs")
	if err := hook(ctx, cfg, "start", "--config", filepath.Join(cfg.dir, "client.json"), "--display", desk.display,
		"--spool-dir", spool, "--user", "demo", "--meta", "stack=demo-stack", "--meta", "fleet=demo-fleet"); err != nil {
		return err
	}
	stopped := false
	defer func() {
		if !stopped { // something went wrong: leave no agent behind
			err = errors.Join(err, hook(context.WithoutCancel(ctx), cfg, "stop", "--spool-dir", spool))
		}
	}()

	begin := time.Now()
	if err := countDown(ctx, "recording at 1280x720", begin, cfg.length/2); err != nil {
		return err
	}
	step("resizing the desktop to 1024x768")
	if err := desk.resize(ctx, "1024x768"); err != nil {
		return err
	}
	if err := countDown(ctx, "recording at 1024x768", begin, cfg.length); err != nil {
		return err
	}

	id, err := sessionOf(ctx, cfg, spool)
	if err != nil {
		return err
	}
	step("recagent stop: what the session-end hook runs")
	stopped = true
	if err := hook(ctx, cfg, "stop", "--spool-dir", spool); err != nil {
		return err
	}
	session, err := waitForSession(ctx, cfg, id)
	if err != nil {
		return err
	}
	return report(ctx, cfg, archive, session)
}

// step says what happens next.
func step(text string) { fmt.Println("==>", text) }

// countDown shows progress until the given time after begin.
func countDown(ctx context.Context, what string, begin time.Time, until time.Duration) error {
	var meter meter
	defer meter.end()
	for {
		passed := time.Since(begin)
		meter.show(fmt.Sprintf("%s: %.0f s", what, passed.Seconds()))
		if passed >= until {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(time.Second, until-passed)):
		}
	}
}

// final reports whether a session stays in this state.
func final(s recfleetv1.SessionState) bool {
	switch s {
	case recfleetv1.SessionState_SESSION_STATE_COMPLETE, recfleetv1.SessionState_SESSION_STATE_INTERRUPTED,
		recfleetv1.SessionState_SESSION_STATE_EMPTY, recfleetv1.SessionState_SESSION_STATE_REFUSED:
		return true
	}
	return false
}
