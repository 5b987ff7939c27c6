// Agent measures what recording a desktop costs: the agent, whole and over a real server, beside the commands that people use
// today, one after the other on the same pictures of the same virtual desktop.
//
// In come the programs that make build leaves in bin/, and FFmpeg and Xvnc; out comes a Markdown table of CPU seconds, peak
// resident memory and bytes for each scene, with the ratios. What is counted is the recording's whole process tree and
// nothing of the server, the X server or the painter.
//
// With -soak it records one scene for longer and prints how the agent's memory goes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/recfleet/recfleet/test/content"
	"github.com/recfleet/recfleet/test/desktop"
	"github.com/recfleet/recfleet/test/desktop/office"
)

const width, height = 1920, 1080

type config struct {
	bin      string
	scenes   []string
	ways     []string
	duration time.Duration
	soak     time.Duration
	rate     int
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("agent bench: ")
	cfg := config{rate: 5}
	var scenes, ways string
	flag.StringVar(&cfg.bin, "bin", "bin", "`DIR` with recagent and recfleet")
	flag.StringVar(&scenes, "scenes", "idle,typing,mixed,real,motion", "what happens on the desktop: "+realScene+", "+strings.Join(content.Names(), ", "))
	flag.StringVar(&ways, "ways", "today,lossless,agent", "what records it")
	flag.DurationVar(&cfg.duration, "duration", time.Minute, "how long each recording is")
	flag.DurationVar(&cfg.soak, "soak", 0, "record the first scene with the agent for so long, at -soak-rate, and print its memory")
	soakRate := flag.Int("soak-rate", 30, "frames a second of -soak")
	flag.Parse()
	cfg.scenes, cfg.ways = strings.Split(scenes, ","), strings.Split(ways, ",")
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var err error
	if cfg.soak > 0 {
		cfg.rate, cfg.duration = *soakRate, cfg.soak
		err = soak(ctx, cfg, os.Stdout)
	} else {
		err = compare(ctx, cfg, os.Stdout)
	}
	if err != nil {
		stop()
		log.Fatal(err)
	}
}

// compare records every scene in every way and prints a row for each.
func compare(ctx context.Context, cfg config, out io.Writer) error {
	fmt.Fprintf(out, "%dx%d, 24-bit, %d fps, %s of each scene.\n\n", width, height, cfg.rate, cfg.duration)
	fmt.Fprintln(out, "| scene | way | CPU s | X server CPU s | peak MiB | MB | pictures | CPU / today | bytes / lossless H.264 |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|")
	for _, scene := range cfg.scenes {
		var today, lossless cost
		for _, way := range cfg.ways {
			c, err := measure(ctx, cfg, scene, way, nil)
			if err != nil {
				return fmt.Errorf("%s by %s: %w", scene, way, err)
			}
			switch way {
			case "today":
				today = c
			case "lossless":
				lossless = c
			}
			fmt.Fprintf(out, "| %s | %s | %.2f | %.2f | %.0f | %.2f | %d | %s | %s |\n", scene, way, c.cpu.Seconds(), c.server.Seconds(),
				float64(c.memory)/(1<<20), float64(c.bytes)/1e6, c.pictures,
				ratio(c.cpu.Seconds(), today.cpu.Seconds()), ratio(float64(c.bytes), float64(lossless.bytes)))
		}
	}
	return nil
}

func ratio(a, b float64) string {
	if b == 0 {
		return ""
	}
	return fmt.Sprintf("%.3f", a/b)
}

// soak records for long and prints the agent's memory every tenth of the time.
func soak(ctx context.Context, cfg config, out io.Writer) error {
	fmt.Fprintf(out, "%s at %d fps for %s.\n\n| after | resident MiB |\n|---|---|\n", cfg.scenes[0], cfg.rate, cfg.soak)
	var first, last int64
	every := cfg.soak / 10
	c, err := measure(ctx, cfg, cfg.scenes[0], "agent", func(after time.Duration, memory int64) {
		if after < every {
			return
		}
		every += cfg.soak / 10
		if first == 0 {
			first = memory
		}
		last = memory
		fmt.Fprintf(out, "| %s | %.0f |\n", after.Round(time.Second), float64(memory)/(1<<20))
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\npeak %.0f MiB, %.2f CPU s, %.2f MB, %d pictures; from the first to the last tenth %+.1f MiB\n",
		float64(c.memory)/(1<<20), c.cpu.Seconds(), float64(c.bytes)/1e6, c.pictures, float64(last-first)/(1<<20))
	return nil
}

// measure records one scene in one way on a desktop of its own. seen, where it is not nil, is told the memory in use.
func measure(ctx context.Context, cfg config, scene, way string, seen func(time.Duration, int64)) (c cost, err error) {
	dir, err := os.MkdirTemp("", "agent-bench-")
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	x, err := desktop.Launch(ctx, desktop.Config{Width: width, Height: height})
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, x.Stop()) }()
	p, err := startStage(x, scene, dir)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	r, err := newRecorder(cfg, way, dir, x.Display())
	if err != nil {
		return c, err
	}
	defer r.close()
	before := processCPU(x.Pid())
	if err := p.Begin(); err != nil {
		return c, err
	}
	if c, err = record(ctx, r, cfg.duration, seen); err != nil {
		return c, err
	}
	c.server = processCPU(x.Pid()) - before
	c.bytes, c.pictures, err = r.written(ctx)
	return c, err
}

// realScene is the one of real programs.
const realScene = "real"

// stage is what happens on a display.
type stage interface {
	// Begin returns when it happens, or fails.
	Begin() error
	Stop() error
}

// startStage shows a scene on a server; what its programs keep is in dir.
func startStage(x *desktop.Server, scene, dir string) (stage, error) {
	if scene == realScene {
		return office.Open(x, dir)
	}
	return startPainter(x.Display(), scene)
}
