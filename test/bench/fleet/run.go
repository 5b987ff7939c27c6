package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/identity"
	"github.com/recfleet/recfleet/internal/object"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// variant is how the server is set up.
type variant struct {
	apart bool          // broker and coordinator in a process each
	disks bool          // catalog and archive on another disk than the broker's
	sync  time.Duration // 0 is always
}

func (v variant) String() string {
	sync, where := "always", "one process"
	if v.sync > 0 {
		sync = v.sync.String()
	}
	if v.apart {
		where = "two processes"
	}
	if v.disks {
		where += ", two disks"
	}
	return sync + ", " + where
}

// result is what one variant did.
type result struct {
	variant variant

	offered, delivered  float64 // chunks a second at the agents' own rhythm
	acks, receipts      spread
	syncs, starts       spread
	server, broker      float64 // CPU, in cores; server is the coordinator's where it is apart
	clients             float64
	started, segments   int64
	limits, driven      []float64  // as much as goes, in turns: the bus alone, with everything else going on
	limitCPU, drivenCPU [3]float64 // coordinator, broker, clients meanwhile
	drivenReceipts      spread
	resident, anonymous float64 // bytes a session in the process with the coordinator: all, and without pages of files
	inUse               float64 // bytes a session that live objects and stacks have
	goroutines          float64 // a session
	complaints          int64
	fillTook, emptyTook time.Duration
}

// servers are the processes of a variant.
type servers struct {
	coordinator, broker *process // the same where they are not apart
}

func (s servers) each() []*process {
	if s.broker == s.coordinator || s.broker == nil {
		return []*process{s.coordinator}
	}
	return []*process{s.coordinator, s.broker}
}

func startServers(ctx context.Context, v variant, o order) (s servers, err error) {
	o.SyncInterval = v.sync
	if !v.apart {
		o.Broker, o.Coordinator = true, true
		s.coordinator, err = startServer(ctx, o)
		s.broker = s.coordinator
		return s, err
	}
	o.Broker = true
	if s.broker, err = startServer(ctx, o); err != nil {
		return s, err
	}
	o.Broker, o.Coordinator, o.BusURL = false, true, s.broker.busURL
	if s.coordinator, err = startServer(ctx, o); err != nil {
		err = errors.Join(err, s.broker.stop())
	}
	return s, err
}

func (s servers) stop() error {
	var failed error
	for _, p := range s.each() {
		failed = errors.Join(failed, p.stop())
	}
	return failed
}

// times reads what all processes have taken: the coordinator's, the broker's where it is apart, and this one's.
func (s servers) times() (u [3]time.Duration, err error) {
	if u[0], err = s.coordinator.cpu(); err != nil {
		return u, err
	}
	if s.broker != s.coordinator {
		if u[1], err = s.broker.cpu(); err != nil {
			return u, err
		}
	}
	u[2], err = cpuOf(os.Getpid())
	return u, err
}

// during runs f and returns how many cores each process took meanwhile.
func (s servers) during(f func()) (cores [3]float64, err error) {
	before, err := s.times()
	if err != nil {
		return cores, err
	}
	begun := time.Now()
	f()
	took := time.Since(begun)
	after, err := s.times()
	for i := range cores {
		cores[i] = float64(after[i]-before[i]) / float64(took)
	}
	return cores, err
}

// measure does one variant from an empty directory to an empty bus.
func measure(ctx context.Context, cfg config, v variant, say func(string, ...any)) (r result, err error) {
	r.variant = v
	dir, err := os.MkdirTemp(cfg.dir, "recfleet-fleet-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	o := order{Dir: dir, Records: dir, Segment: cfg.segment, LogLevel: cfg.logLevel}
	if v.disks {
		if o.Records, err = os.MkdirTemp(cfg.disk, "recfleet-fleet-"); err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(o.Records)) }()
	}
	s, err := startServers(ctx, v, o)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	client, err := identity.LoadClient(filepath.Join(dir, "agent.json"))
	if err != nil {
		return r, err
	}
	f := newFleet(cfg, client, say)
	stopEncoder, err := f.encode(ctx, o)
	if err != nil {
		return r, err
	}
	life, kill := context.WithCancel(ctx)
	defer f.running.Wait()
	defer kill()
	err = f.measure(ctx, life, s, &r)
	if err == nil {
		begun := time.Now()
		err = errors.Join(f.empty(), f.left(ctx, o, s))
		r.emptyTook = time.Since(begun)
	}
	r.complaints = f.complaints.Load()
	return r, errors.Join(err, stopEncoder())
}

// encode starts what stands for the encoders. The function that it returns ends it.
func (f *fleet) encode(ctx context.Context, o order) (stop func() error, err error) {
	client, err := identity.LoadClient(o.path("encoder.json"))
	if err != nil {
		return nil, err
	}
	location, err := o.archive()
	if err != nil {
		return nil, err
	}
	store, err := object.Open(ctx, location, object.Config{})
	if err != nil {
		return nil, err
	}
	conn, err := client.Dial()
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	e := &encoder{fleet: f, client: recfleetv1.NewEncoderServiceClient(conn), store: store}
	go func() { ended <- e.run(ctx) }()
	return func() error {
		cancel()
		return errors.Join(<-ended, conn.Close(), store.Close())
	}, nil
}

// measure takes the fleet through the phases. The agents live on after it.
func (f *fleet) measure(ctx, life context.Context, s servers, r *result) error {
	empty, err := s.memory()
	if err != nil {
		return err
	}
	f.pace.Store(paceStill)
	begun := time.Now()
	if err := f.fill(life); err != nil {
		return err
	}
	r.fillTook = time.Since(begun)
	f.say("%s: %d sessions started in %v", r.variant, f.cfg.sessions, r.fillTook.Round(time.Millisecond))

	churning, stopChurn := context.WithCancel(ctx)
	defer stopChurn()
	churned := make(chan error, 1)
	f.pace.Store(paceOwn)
	go func() { churned <- f.churn(churning, life) }()
	pause(ctx, f.cfg.warm)
	if err := f.own(ctx, s, r); err != nil {
		return err
	}
	full, err := s.memory()
	if err != nil {
		return err
	}
	more := func(of func(memory) int64) float64 { return float64(of(full)-of(empty)) / float64(f.cfg.sessions) }
	r.resident, r.anonymous = more(func(m memory) int64 { return m.resident }), more(func(m memory) int64 { return m.anonymous })
	r.inUse, r.goroutines = more(func(m memory) int64 { return m.inUse }), more(func(m memory) int64 { return int64(m.goroutines) })
	if f.cfg.memory != "" {
		if err := writeMemory(f.cfg.memory, empty, full); err != nil {
			return err
		}
	}
	f.say("%s: %.0f of %.0f chunks a second, receipts p99 %v; %.1f KiB a session, %.1f of them its own, %.1f in use", r.variant, r.delivered, r.offered,
		r.receipts.percentile(99).Round(time.Millisecond), r.resident/1024, r.anonymous/1024, r.inUse/1024)

	if err := f.compare(ctx, s, r); err != nil {
		return err
	}
	f.say("%s: %.0f chunks a second driven, %.0f by the bus alone", r.variant, mean(r.driven), mean(r.limits))
	stopChurn()
	return errors.Join(<-churned, f.err(), ctx.Err())
}

// own lets the agents go at their own rhythm, and measures that.
func (f *fleet) own(ctx context.Context, s servers, r *result) error {
	var profiled chan error
	if f.cfg.profiles != "" {
		profiled = make(chan error, 1)
		go func() {
			path := filepath.Join(f.cfg.profiles, "own.pprof")
			_, err := s.coordinator.say(question{Profile: path, Length: f.cfg.duration / 2, Heap: filepath.Join(f.cfg.profiles, "heap.pprof")})
			profiled <- err
		}()
	}
	for _, of := range []*samples{&f.acks, &f.receipts, &f.syncs, &f.starts} {
		of.take()
	}
	due, published, started, segments := f.due.Load(), f.published.Load(), len(f.known), f.received.Load()
	cores, err := s.during(func() { pause(ctx, f.cfg.duration) })
	r.offered, r.delivered = float64(f.due.Load()-due)/f.cfg.duration.Seconds(), float64(f.published.Load()-published)/f.cfg.duration.Seconds()
	f.mu.Lock()
	r.started = int64(len(f.known) - started)
	f.mu.Unlock()
	r.segments = f.received.Load() - segments
	r.server, r.broker, r.clients = cores[0], cores[1], cores[2]
	r.acks, r.receipts, r.syncs, r.starts = f.acks.take(), f.receipts.take(), f.syncs.take(), f.starts.take()
	if profiled != nil {
		err = errors.Join(err, <-profiled)
	}
	return err
}

// compare measures in turns what the bus takes with nothing else going on and what it takes with everything, so that what
// else the machine does falls on both. Neither always comes first: what one leaves in caches and on the disk's way is the other's.
func (f *fleet) compare(ctx context.Context, s servers, r *result) error {
	f.receipts.take()
	for i := range f.cfg.turns {
		for _, alone := range []bool{i%2 == 0, i%2 != 0} {
			rates, cpu, pace, name := &r.driven, &r.drivenCPU, paceDriven, "driven"
			if alone {
				rates, cpu, pace, name = &r.limits, &r.limitCPU, paceStill, "alone"
			}
			f.pace.Store(pace)
			pause(ctx, breath) // what is under way ends
			profiled := s.profile(f.cfg, name)
			cores, err := s.during(func() { *rates = append(*rates, f.drive(ctx, f.cfg.turn, alone)) })
			if err = errors.Join(err, profiled()); err != nil {
				return err
			}
			for i := range cores {
				cpu[i] += cores[i] / float64(f.cfg.turns)
			}
		}
	}
	f.pace.Store(paceOwn)
	r.drivenReceipts = f.receipts.take()
	return nil
}

// profile has the servers write CPU profiles of a turn, where there is a directory for them; the last turn's stay. The function that
// it returns waits for them.
func (s servers) profile(cfg config, turn string) (wait func() error) {
	if cfg.profiles == "" {
		return func() error { return nil }
	}
	var group errgroup.Group
	for i, p := range s.each() {
		path := filepath.Join(cfg.profiles, turn+"-"+[]string{"coordinator", "broker"}[i]+".pprof")
		group.Go(func() error {
			_, err := p.say(question{Profile: path, Length: cfg.turn})
			return err
		})
	}
	return group.Wait
}

// breath is how long is waited between turns.
const breath = time.Second

func mean(of []float64) (m float64) {
	for _, x := range of {
		m += x / float64(len(of))
	}
	return m
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// left waits until every session is complete and the bus holds nothing of any, and says what is not as it must be.
func (f *fleet) left(ctx context.Context, o order, s servers) error {
	client, err := identity.LoadClient(o.path("client.json"))
	if err != nil {
		return err
	}
	conn, err := client.Dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := f.settled(ctx, recfleetv1.NewSessionServiceClient(conn)); err != nil {
		return err
	}
	if sealed, received, archived := f.sealed.Load(), f.received.Load(), f.archived.Load(); sealed != received || received != archived {
		return fmt.Errorf("%d segments sealed, %d receipts, %d archived", sealed, received, archived)
	}
	if ended := f.ended.Load(); ended != int64(len(f.known)) {
		return fmt.Errorf("%d of %d sessions ended", ended, len(f.known))
	}
	authority, err := identity.OpenAuthority(o.path("identity"))
	if err != nil {
		return err
	}
	trust, err := bus.OpenTrust(o.path("bus"))
	if err != nil {
		return err
	}
	broker, err := bus.DialBroker(ctx, bus.BrokerConfig{Trust: trust, URLs: []string{s.broker.busURL}, CA: authority.CACertificate(), Logger: hclog.NewNullLogger()})
	if err != nil {
		return err
	}
	defer broker.Close()
	for _, id := range f.known {
		if held, err := broker.Segments(ctx, id); err != nil || held != nil {
			return fmt.Errorf("the stream of session %s is left with %v: %w", id, held, err)
		}
	}
	return nil
}

// settled waits until no session is unfinished, and says of the finished ones what is not as it must be.
func (f *fleet) settled(ctx context.Context, sessions recfleetv1.SessionServiceClient) error {
	ctx, cancel := context.WithTimeout(ctx, endingDeadline)
	defer cancel()
	unfinished := []recfleetv1.SessionState{
		recfleetv1.SessionState_SESSION_STATE_STARTING, recfleetv1.SessionState_SESSION_STATE_RECORDING, recfleetv1.SessionState_SESSION_STATE_FINALIZING,
	}
	for {
		answer, err := sessions.ListSessions(ctx, &recfleetv1.ListSessionsRequest{States: unfinished, PageSize: 1}, grpc.WaitForReady(true))
		if err != nil {
			return fmt.Errorf("wait for sessions to be complete: %w", err)
		}
		if len(answer.GetSessions()) == 0 {
			break
		}
		pause(ctx, 500*time.Millisecond)
	}
	complete := 0
	for token := ""; ; {
		answer, err := sessions.ListSessions(ctx, &recfleetv1.ListSessionsRequest{PageSize: 500, PageToken: token})
		if err != nil {
			return err
		}
		for _, s := range answer.GetSessions() {
			if s.GetState() != recfleetv1.SessionState_SESSION_STATE_COMPLETE || s.GetGapCount() > 0 || s.GetArchivedSegmentCount() != s.GetSegmentCount() {
				return fmt.Errorf("session %s is %v (%s) with %d gaps, %d of %d segments archived", s.GetId(), s.GetState(), s.GetStateReason(),
					s.GetGapCount(), s.GetArchivedSegmentCount(), s.GetSegmentCount())
			}
			complete++
		}
		if token = answer.GetNextPageToken(); token == "" {
			break
		}
	}
	if complete != len(f.known) {
		return fmt.Errorf("%d of %d sessions are complete", complete, len(f.known))
	}
	return nil
}
