// Catalog measures how long a page of sessions takes to list, on both databases that a catalog can be on.
//
// It fills each with the history of a fleet, two years of sessions with their segments and gaps, then asks for pages of 50 as people
// do, hundreds for each kind of question, and prints a Markdown table of how long they took. With -docs the table goes
// into the part of a document that is marked for it. The SQLite database is a file in a temporary directory, Postgres a server
// of its own that is gone afterwards; with -keep both stay for the next run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/test/bench/document"
	"github.com/recfleet/recfleet/test/postgres"
)

type config struct {
	sessions, samples int
	engines           []string
	docs, keep, only  string
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("catalog bench: ")
	var cfg config
	var engines string
	flag.IntVar(&cfg.sessions, "sessions", 1_000_000, "how many sessions are stored")
	flag.IntVar(&cfg.samples, "samples", 200, "how many pages are asked for of each kind")
	flag.StringVar(&engines, "engines", "sqlite,postgres", "which databases")
	flag.StringVar(&cfg.docs, "docs", "", "`FILE` whose part between the marks of this benchmark becomes the table")
	flag.StringVar(&cfg.keep, "keep", "", "`DIR` where the databases are kept, and found again")
	flag.StringVar(&cfg.only, "only", "", "ask only questions whose name holds `TEXT`")
	flag.Parse()
	cfg.engines = strings.Split(engines, ",")
	if !slices.ContainsFunc(questions(), func(q question) bool { return strings.Contains(q.name, cfg.only) }) {
		log.Fatalf("-only %q: no question's name holds it", cfg.only)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, cfg); err != nil {
		stop()
		log.Fatal(err)
	}
}

func run(ctx context.Context, cfg config) (err error) {
	var results []result
	for _, engine := range cfg.engines {
		r, err := measure(ctx, cfg, engine)
		if err != nil {
			return fmt.Errorf("%s: %w", engine, err)
		}
		results = append(results, r)
	}
	table := render(cfg, results)
	fmt.Print(table)
	if cfg.docs == "" {
		return nil
	}
	return document.Insert(cfg.docs, "bench-catalog", table)
}

// measure fills one database and asks it.
func measure(ctx context.Context, cfg config, engine string) (r result, err error) {
	dir := cfg.keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "recfleet-catalog-"); err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return r, err
	}
	location, size, stop, err := database(ctx, engine, dir)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	c, err := catalog.Open(ctx, location)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()

	r.engine = engine
	begun := time.Now()
	history := newHistory(cfg.sessions)
	err = c.Load(ctx, history.fill)
	switch {
	case errors.Is(err, catalog.ErrConflict):
		log.Printf("%s: the sessions are there", engine)
		if err := c.Tidy(ctx); err != nil { // as after each day
			return r, err
		}
	case err != nil:
		return r, err
	default:
		r.load = time.Since(begun)
		log.Printf("%s: loaded in %v", engine, r.load.Round(time.Second))
	}
	if r.bytes, err = size(ctx); err != nil {
		return r, err
	}
	r.times, err = ask(ctx, cfg, c, history)
	return r, err
}

// database starts a database and returns its location, what tells its size, and what ends it.
func database(ctx context.Context, engine, dir string) (location string, size func(context.Context) (int64, error), stop func() error, err error) {
	switch engine {
	case "sqlite":
		path := filepath.Join(dir, "catalog.db")
		return "sqlite:" + path, func(context.Context) (int64, error) {
			info, err := os.Stat(path)
			if err != nil {
				return 0, err
			}
			return info.Size(), nil
		}, func() error { return nil }, nil
	case "postgres":
		// The server runs as a user who must come through.
		if err := os.Chmod(dir, 0o711); err != nil {
			return "", nil, nil, err
		}
		// What its documentation advises for a machine of 4 GB and more; the rest is as Debian sets it.
		server, err := postgres.Open(ctx, filepath.Join(dir, "postgres"), "-c", "shared_buffers=1GB", "-c", "maintenance_work_mem=512MB", "-c", "max_wal_size=4GB")
		if err != nil {
			return "", nil, nil, err
		}
		location, err := server.Create(ctx, "bench")
		if err != nil {
			return "", nil, nil, errors.Join(err, server.Stop())
		}
		return location, func(ctx context.Context) (int64, error) { return server.Size(ctx, "bench") }, server.Stop, nil
	}
	return "", nil, nil, fmt.Errorf("no such database")
}
