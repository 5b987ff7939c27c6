// Encode measures what mp4s cost and how good they are, ours beside those of the command that people use today, made of the same
// lossless frames.
//
// It films desktops first: real programs on an X server, and generated scenes. Each film then goes through today's command,
// through the whole encoder, which reads it as chunks from a real broker and archives to a directory, and through a bare FFmpeg
// with the encoder's own settings. Out comes a Markdown table; with -docs it goes into the part of a document that is marked
// for it. CPU time is user and system of all processes that a way needs, the broker's work of serving chunks included.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/recfleet/recfleet/test/bench/document"
)

const (
	width, height = 1920, 1080
	rate          = 5
	interval      = time.Second / rate
	realScene     = "real"
)

type config struct {
	scenes   []string
	duration time.Duration
	docs     string
	keep     string
	preset   string
	crf      int
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("encode bench: ")
	var cfg config
	var scenes string
	flag.StringVar(&scenes, "scenes", "real,typing,mixed", "what happens on the desktop")
	flag.DurationVar(&cfg.duration, "duration", time.Minute, "how long each film is")
	flag.StringVar(&cfg.docs, "docs", "", "`FILE` whose part between the marks of this benchmark becomes the table")
	flag.StringVar(&cfg.keep, "keep", "", "`DIR` where films are kept, and found again")
	flag.StringVar(&cfg.preset, "preset", "veryfast", "x264's preset of ours")
	flag.IntVar(&cfg.crf, "crf", 23, "constant rate factor of ours")
	flag.Parse()
	cfg.scenes = strings.Split(scenes, ",")
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, cfg); err != nil {
		stop()
		log.Fatal(err)
	}
}

func run(ctx context.Context, cfg config) (err error) {
	dir, err := os.MkdirTemp("", "encode-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	films := dir
	if cfg.keep != "" {
		films = cfg.keep
	}
	b, err := openBench(ctx, dir)
	if err != nil {
		return err
	}
	defer b.close()
	var results []result
	for _, scene := range cfg.scenes {
		f, err := openFilm(ctx, films, scene, int(cfg.duration/interval))
		if err != nil {
			return err
		}
		r, err := b.compare(ctx, cfg, f)
		if err != nil {
			return fmt.Errorf("%s: %w", scene, err)
		}
		results = append(results, r)
		log.Printf("%s done", scene)
	}
	table := render(cfg, results)
	fmt.Print(table)
	if cfg.docs == "" {
		return nil
	}
	return document.Insert(cfg.docs, "bench-encode", table)
}
