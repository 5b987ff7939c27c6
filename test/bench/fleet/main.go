// Fleet measures how many sessions one coordinator and one broker carry.
//
// It starts the servers in processes of their own, over TLS and with signed rights as in production, and simulates the agents
// in this one: each has a gRPC and a NATS connection, chunks with their hash chain, Syncs, events, sealed segments and their receipts.
// Encoders are stood for by one that completes jobs without encoding. It measures the agents at their own rhythm, then with as
// many chunks as go, beside what the same connections get from the same streams with nothing else going on; ends all
// sessions, and checks that every one is complete and the bus empty. With -docs its table goes into the part of a document that
// is marked for it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/recfleet/recfleet/test/bench/document"
)

type config struct {
	sessions, active              int
	inFlight, turns               int
	churn                         float64
	segment, duration, warm, turn time.Duration
	docs, dir, disk               string
	profiles, memory, logLevel    string
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("fleet bench: ")
	var cfg config
	var variants string
	flag.IntVar(&cfg.sessions, "sessions", 2000, "how many sessions live at a time")
	flag.IntVar(&cfg.active, "active", 15, "how many in a hundred of them have a user who is active")
	flag.Float64Var(&cfg.churn, "churn", 1, "how many sessions end, and begin, a second")
	flag.DurationVar(&cfg.segment, "segment", 5*time.Minute, "length of a segment")
	flag.DurationVar(&cfg.duration, "duration", time.Minute, "how long is measured at the agents' own rhythm")
	flag.DurationVar(&cfg.warm, "warm", 15*time.Second, "how long that goes on before it is measured")
	flag.DurationVar(&cfg.turn, "turn", 5*time.Second, "how long the bus alone is measured, and how long with everything else, in turns")
	flag.IntVar(&cfg.turns, "turns", 6, "how many turns each has")
	flag.IntVar(&cfg.inFlight, "in-flight", 128, "how many chunks are under way where as many are published as go")
	flag.StringVar(&variants, "variants", "disks,apart,always,1s", "how servers are set up: always and 1s, as the broker syncs, in one process; apart, which is always in two; disks, which is apart with catalog and archive elsewhere")
	flag.StringVar(&cfg.docs, "docs", "", "`FILE` whose part between the marks of this benchmark becomes the table")
	flag.StringVar(&cfg.dir, "dir", "", "`DIR` for the servers' data (default the system's for temporary files)")
	flag.StringVar(&cfg.disk, "disk", "/dev/shm", "`DIR` that is not on the broker's disk, for catalog and archive in the variant disks")
	flag.StringVar(&cfg.profiles, "profiles", "", "`DIR` for CPU profiles of the servers and the coordinator's heap")
	flag.StringVar(&cfg.memory, "memory", "", "`FILE` for what the coordinator's process holds, by class and by mapping, before the sessions begin and with all of them")
	flag.StringVar(&cfg.logLevel, "log-level", "warn", "of the servers")
	flag.Parse()
	if flag.Arg(0) == serveArgument {
		if err := serve(os.Stdin, os.Stdout); err != nil {
			log.Fatal(err)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, cfg, strings.Split(variants, ",")); err != nil {
		stop()
		log.Fatal(err)
	}
}

func run(ctx context.Context, cfg config, variants []string) error {
	if cfg.sessions < 1 || cfg.active < 0 || cfg.active > 100 || cfg.inFlight < 1 || cfg.churn < 0 || cfg.segment < time.Second {
		return errors.New("settings are out of bounds")
	}
	named := map[string]variant{
		"always": {}, "1s": {sync: time.Second}, "apart": {apart: true}, "apart-1s": {apart: true, sync: time.Second},
		"disks": {apart: true, disks: true},
	}
	var results []result
	for _, name := range variants {
		v, ok := named[name]
		if !ok {
			return fmt.Errorf("variant %q is none", name)
		}
		r, err := measure(ctx, cfg, v, log.Printf)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		results = append(results, r)
	}
	table := render(cfg, slices.Clone(results))
	fmt.Print(table)
	if cfg.docs == "" {
		return nil
	}
	return document.Insert(cfg.docs, "bench-fleet", table)
}
