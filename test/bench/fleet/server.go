package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"

	"github.com/recfleet/recfleet/coordinator"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/bus/embedded"
	"github.com/recfleet/recfleet/internal/identity"
	"github.com/recfleet/recfleet/internal/object"
	"github.com/recfleet/recfleet/internal/program"
)

// serveArgument, as the first argument, makes a process of this program a server instead of the benchmark.
const serveArgument = "serve"

const (
	loopback   = "127.0.0.1"
	storeBytes = 20 << 30
)

// order is what a server is told at its start, on a line of its standard input.
type order struct {
	Dir string
	// Records is where catalog and archive are: Dir, or a directory on another disk than the broker's.
	Records string
	// Broker and Coordinator say what runs in the process; a coordinator without a broker uses the one at BusURL.
	Broker, Coordinator bool
	BusURL              string
	SyncInterval        time.Duration
	Segment             time.Duration
	LogLevel            string
}

// question is what a server is asked later.
type question struct {
	Profile string        // take a CPU profile into this file for as long as Length
	Length  time.Duration // 0 ends at once
	Heap    string        // write the heap's profile into this file, and what goroutines wait for beside it
}

// answer is a server's line for its start and for every question.
type answer struct {
	BusURL, Error string
	// Memory is how many bytes Go's runtime has, by its classes; Collected is the same after a garbage collection.
	Memory, Collected map[string]int64
	Goroutines        int
}

// serve is a server: it does as its first line says and answers questions until its input ends.
func serve(in io.Reader, out io.Writer) error {
	// A signal to the whole group is for the benchmark, which then ends the input.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM)
	lines := bufio.NewScanner(in)
	answers := json.NewEncoder(out)
	var o order
	if !lines.Scan() {
		return errors.New("no orders")
	}
	if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
		return err
	}
	// As recfleet and reccoordinator do where the environment says nothing.
	silent := func(string) string { return "" }
	if o.Broker {
		program.RoomForSyncs(silent)
	} else {
		program.SpareMemory(silent)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	ready := make(chan answer, 1)
	ended := make(chan error, 1)
	go func() { ended <- o.run(ctx, func(url string) { ready <- answer{BusURL: url} }) }()
	select {
	case err := <-ended:
		return errors.Join(err, answers.Encode(answer{Error: fmt.Sprint(err)}))
	case a := <-ready:
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
	for lines.Scan() {
		var q question
		err := json.Unmarshal(lines.Bytes(), &q)
		if err == nil {
			err = q.profile()
		}
		a := look()
		if err != nil {
			a.Error = err.Error()
		}
		if err := answers.Encode(a); err != nil {
			return err
		}
	}
	stop()
	return <-ended
}

// profile writes what was asked for. It blocks for as long as that takes.
func (q question) profile() error {
	if q.Profile != "" {
		f, err := os.Create(q.Profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		<-time.After(q.Length)
		pprof.StopCPUProfile()
	}
	if q.Heap != "" {
		f, err := os.Create(q.Heap)
		if err != nil {
			return err
		}
		defer f.Close()
		waiting, err := os.Create(q.Heap + ".goroutines")
		if err != nil {
			return err
		}
		defer waiting.Close()
		if err := pprof.Lookup("goroutine").WriteTo(waiting, 1); err != nil {
			return err
		}
		runtime.GC()
		return pprof.Lookup("heap").WriteTo(f, 0)
	}
	return nil
}

func (o order) path(name string) string { return filepath.Join(o.Dir, name) }

// archive is where the recordings go.
func (o order) archive() (object.Location, error) {
	return object.ParseLocation("file://" + filepath.Join(o.Records, "archive"))
}

// run runs the parts until ctx is done, as recfleet and reccoordinator do, and calls ready with the broker's address.
func (o order) run(ctx context.Context, ready func(busURL string)) error {
	logger := hclog.New(&hclog.LoggerOptions{Name: "server", Level: hclog.LevelFromString(o.LogLevel), Output: os.Stderr})
	authority, err := identity.OpenAuthority(o.path("identity"))
	if err != nil {
		return err
	}
	trust, err := bus.OpenTrust(o.path("bus"))
	if err != nil {
		return err
	}
	certificate, err := authority.ServerCertificate([]string{loopback})
	if err != nil {
		return err
	}
	serverTLS := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13}
	cfg := bus.BrokerConfig{Trust: trust, URLs: []string{o.BusURL}, CA: authority.CACertificate(), Logger: logger.Named("bus")}
	if o.Broker {
		server, err := embedded.Start(embedded.Config{
			Dir: o.path("bus"), Host: loopback, TLS: serverTLS, Trust: trust, StoreBytes: storeBytes, SyncInterval: o.SyncInterval, Logger: logger.Named("broker"),
		})
		if err != nil {
			return err
		}
		defer server.Shutdown()
		cfg.URLs, cfg.Embedded = []string{server.URLFor(loopback)}, server
	}
	if !o.Coordinator {
		ready(cfg.URLs[0])
		<-ctx.Done()
		return nil
	}
	broker, err := bus.DialBroker(ctx, cfg)
	if err != nil {
		return err
	}
	defer broker.Close()
	return o.coordinate(ctx, logger, broker, authority, serverTLS, func() { ready(cfg.URLs[0]) })
}

func (o order) coordinate(ctx context.Context, logger hclog.Logger, broker *bus.Broker, authority *identity.Authority, serverTLS *tls.Config, ready func()) error {
	tokens, err := identity.OpenTokens(o.path("identity"))
	if err != nil {
		return err
	}
	location, err := o.archive()
	if err != nil {
		return err
	}
	store, err := object.Open(ctx, location, object.Config{})
	if err != nil {
		return err
	}
	defer store.Close() //nolint:errcheck // what was put is durable already
	listener, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return err
	}
	if err := tokens.WriteClients(o.Dir, listener.Addr().String(), authority.CACertificate()); err != nil {
		return errors.Join(err, listener.Close())
	}
	var group errgroup.Group
	group.Go(func() error {
		return coordinator.Run(ctx, coordinator.Config{
			CatalogPath: filepath.Join(o.Records, "catalog.db"), ManifestKey: filepath.Join(o.path("identity"), "manifest.key"), Broker: broker, Store: store, Location: location, Listener: listener, TLS: serverTLS, Tokens: tokens, Authority: authority,
			SegmentLength: o.Segment, FreeBytes: coordinator.DiskSpace(o.Dir), UnsafeBroker: o.SyncInterval > 0,
			Logger: logger.Named("coordinator"), Ready: ready,
		})
	})
	return group.Wait()
}
