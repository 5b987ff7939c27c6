package coordinator_test

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/resolver"
	"google.golang.org/grpc/resolver/manual"

	"github.com/recfleet/recfleet/coordinator"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/bus/embedded"
	"github.com/recfleet/recfleet/internal/identity"
	"github.com/recfleet/recfleet/internal/object"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
	"github.com/recfleet/recfleet/test/postgres"
)

// childVariable names the settings of a coordinator that this program is to be, in a process of its own.
const childVariable = "RECFLEET_TEST_COORDINATOR"

// child is what such a coordinator is told.
type child struct {
	Name, Dir, Address, Catalog, Broker string
	DutyLease, Patience, GiveUp, Lease  time.Duration
}

// runChild is the main of such a process.
func runChild(settings string) error {
	var c child
	if err := json.Unmarshal([]byte(settings), &c); err != nil {
		return err
	}
	ctx, shared := context.Background(), filepath.Join(c.Dir, "identity")
	authority, err := identity.OpenAuthority(shared)
	if err != nil {
		return err
	}
	tokens, err := identity.OpenTokens(shared)
	if err != nil {
		return err
	}
	certificate, err := authority.ServerCertificate(nil)
	if err != nil {
		return err
	}
	trust, err := bus.OpenTrust(filepath.Join(c.Dir, "bus"))
	if err != nil {
		return err
	}
	broker, err := bus.DialBroker(ctx, bus.BrokerConfig{Trust: trust, URLs: []string{c.Broker}, CA: authority.CACertificate(), Logger: hclog.NewNullLogger()})
	if err != nil {
		return err
	}
	location, err := object.ParseLocation("file://" + c.Dir + "/archive/{fleet}/{session_id}/")
	if err != nil {
		return err
	}
	store, err := object.Open(ctx, location, object.Config{})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.Address)
	if err != nil {
		return err
	}
	return coordinator.Run(ctx, coordinator.Config{
		CatalogPath: c.Catalog, Name: c.Name, ManifestKey: filepath.Join(c.Dir, "manifest.key"), Broker: broker, Store: store, Location: location,
		Listener: listener, TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13}, Tokens: tokens, Authority: authority,
		DutyLease: c.DutyLease, Patience: c.Patience, GiveUp: c.GiveUp, Lease: c.Lease, UnsafeBroker: true,
		Logger: hclog.New(&hclog.LoggerOptions{Name: c.Name, Output: os.Stderr, Level: hclog.Debug}), Ready: func() { fmt.Println("ready") },
	})
}

// several is a world with coordinators that are processes of their own on one Postgres.
type several struct {
	*world
	children []child

	mu      sync.Mutex
	running []*exec.Cmd
}

func newSeveral(t *testing.T, n int, settings child) *several {
	t.Helper()
	server, err := postgres.Start(t.Context(), "-c", "fsync=off")
	if errors.Is(err, postgres.ErrAbsent) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(err)
	t.Cleanup(func() { must(server.Stop()) })
	at, err := server.Create(t.Context(), "several")
	must(err)
	w := &world{t: t, dir: t.TempDir(), log: &logged{}}
	shared := filepath.Join(w.dir, "identity")
	w.authority, err = identity.OpenAuthority(shared)
	must(err)
	w.tokens, err = identity.OpenTokens(shared)
	must(err)
	certificate, err := w.authority.ServerCertificate(nil)
	must(err)
	trust, err := bus.OpenTrust(filepath.Join(w.dir, "bus"))
	must(err)
	broker, err := embedded.Start(embedded.Config{
		Dir: filepath.Join(w.dir, "js"), Host: "127.0.0.1", Trust: trust, StoreBytes: 64 << 20, Logger: hclog.NewNullLogger(),
		TLS: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13},
	})
	must(err)
	t.Cleanup(broker.Shutdown)
	w.location, err = object.ParseLocation("file://" + w.dir + "/archive/{fleet}/{session_id}/")
	must(err)
	w.store, err = object.Open(t.Context(), w.location, object.Config{})
	must(err)
	t.Cleanup(func() { _ = w.store.Close() })
	s := &several{world: w, running: make([]*exec.Cmd, n)}
	for i := range n {
		c := settings
		c.Name, c.Dir, c.Catalog, c.Broker, c.Address = fmt.Sprint("coordinator-", i), w.dir, at, broker.URL(), freeAddress(t)
		s.children = append(s.children, c)
		s.start(i)
	}
	t.Cleanup(func() {
		for i := range s.children {
			s.kill(i)
		}
	})
	return s
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs a coordinator and waits until it serves.
func (s *several) start(i int) {
	settings, err := json.Marshal(s.children[i])
	if err != nil {
		s.t.Error(err)
		return
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+string(settings))
	cmd.Stderr = s.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		s.t.Error(err)
		return
	}
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		_ = cmd.Wait()
		s.t.Errorf("%s does not serve: %v", s.children[i].Name, err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running[i] = cmd
}

// kill ends a coordinator as a power cut does.
func (s *several) kill(i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running[i] != nil {
		_ = s.running[i].Process.Kill()
		_ = s.running[i].Wait()
		s.running[i] = nil
	}
}

func (s *several) signal(i int, what os.Signal) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.running[i].Process.Signal(what); err != nil {
		s.t.Fatal(err)
	}
}

// callers connects agents, encoders and people to some of the coordinators: each call goes to any of them, and to another one
// where that is gone.
func (s *several) callers(of ...int) {
	s.t.Helper()
	var addresses []resolver.Address
	for _, i := range of {
		addresses = append(addresses, resolver.Address{Addr: s.children[i].Address})
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(s.authority.CACertificate())) {
		s.t.Fatal("no certificate")
	}
	dial := func(token string) *grpc.ClientConn {
		r := manual.NewBuilderWithScheme("several")
		r.InitialState(resolver.State{Addresses: addresses})
		conn, err := grpc.NewClient("several:///", grpc.WithResolvers(r), grpc.WithAuthority("127.0.0.1"),
			grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool, ServerName: "127.0.0.1", NextProtos: []string{"h2"}})),
			grpc.WithPerRPCCredentials(bearer(token)), grpc.WithDefaultServiceConfig(`{"loadBalancingConfig": [{"round_robin": {}}], "methodConfig": [{"name": [{}],
				"waitForReady": true, "retryPolicy": {"maxAttempts": 5, "initialBackoff": "0.2s", "maxBackoff": "2s", "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}]}`))
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	s.admin, s.agents, s.workers = dial(s.tokens.Admin), dial(s.tokens.Agent), dial(s.tokens.Encoder)
}

type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return true }

// One of two coordinators is killed at random instants, again and again, while sessions are recorded, encoded and finished by
// way of both: nothing is lost, nothing is there twice.
func TestKilledCoordinatorsLoseAndRepeatNothing(t *testing.T) {
	s := newSeveral(t, 2, child{DutyLease: time.Second, Patience: 10 * time.Second, GiveUp: time.Minute, Lease: 5 * time.Second})
	s.callers(0, 1)
	const seed, agents, atLeast, chunks = 7, 3, 8, 2
	chance, over := rand.New(rand.NewPCG(seed, seed)), make(chan struct{})
	var kills atomic.Int64
	var killing sync.WaitGroup
	killing.Go(func() {
		for i := 0; ; i = 1 - i {
			select {
			case <-over:
				return
			case <-time.After(300*time.Millisecond + time.Duration(chance.Int64N(int64(1200*time.Millisecond)))):
			}
			s.kill(i)
			kills.Add(1)
			s.start(i)
		}
	})
	defer killing.Wait()
	ended := sync.OnceFunc(func() { close(over) })
	defer ended()

	e := newEncoder(s.world)
	var all []*agent
	for range agents {
		all = append(all, newAgent(s.world))
	}
	rounds := 0
	for ; kills.Load() < atLeast && rounds < 160; rounds++ {
		for _, a := range all {
			seal, made := a.record(chunks)
			a.publish(made...)
			a.report(sealed(seal))
			s.until("receipt", func() bool { return len(a.sync(seal.GetSegment()).GetReceipts()) == 1 })
		}
		e.work(agents)
	}
	for _, a := range all {
		a.end(time.Duration(rounds-1)*20*time.Second + chunks*2*time.Second)
	}
	for _, a := range all {
		got := s.await(a.session, recfleetv1.SessionState_SESSION_STATE_COMPLETE)
		if len(got.GetSegments()) != rounds || int(got.GetArchivedSegmentCount()) != rounds || int(got.GetGapCount()) != rounds-1 { // the pauses between segments
			t.Errorf("%v", got)
		}
		m, err := recfleetv1.NewRecordingServiceClient(s.admin).GetManifest(t.Context(), &recfleetv1.GetManifestRequest{SessionId: a.session})
		if err != nil || !ed25519.Verify(m.GetPublicKey(), m.GetManifest(), m.GetSignature()) {
			t.Errorf("manifest: %v", err)
		}
		var recorded manifest
		s.document(a.prefix+"manifest.json", &recorded)
		if len(recorded.Segments) != rounds || recorded.Session.State != "complete" {
			t.Errorf("%+v", recorded)
		}
	}
	ended()
	killing.Wait()
	list, err := recfleetv1.NewSessionServiceClient(s.admin).ListSessions(t.Context(), &recfleetv1.ListSessionsRequest{})
	if err != nil || len(list.GetSessions()) != agents {
		t.Errorf("%d sessions, %v", len(list.GetSessions()), err)
	}
	completed, err := recfleetv1.NewJobServiceClient(s.admin).ListJobs(t.Context(), &recfleetv1.ListJobsRequest{
		PageSize: 500, States: []recfleetv1.JobState{recfleetv1.JobState_JOB_STATE_COMPLETED},
	})
	if err != nil || len(completed.GetJobs()) != agents*rounds {
		t.Errorf("%d jobs completed, %v", len(completed.GetJobs()), err)
	}
	if kills.Load() < atLeast {
		t.Errorf("only %d kills", kills.Load())
	}
}

// A coordinator that watches the sessions is frozen for longer than agents may be silent, and goes on. The other one has watched
// meanwhile; what the first one believes to have seen counts for nothing.
func TestAFrozenCoordinatorDoesNoHarm(t *testing.T) {
	s := newSeveral(t, 2, child{DutyLease: time.Second, Patience: time.Second, GiveUp: 3 * time.Second, Lease: 5 * time.Second})
	s.until("watching coordinator", func() bool { return strings.Contains(s.log.String(), "duty=watch") })
	frozen := 0
	if strings.Contains(s.log.String(), "coordinator-1.duty: duty taken: duty=watch") {
		frozen = 1
	}
	s.callers(1 - frozen)
	a, e := newAgent(s.world), newEncoder(s.world)
	for range 3 {
		s.until("turn", func() bool { a.sync(); return true })
		s.signal(frozen, syscall.SIGSTOP)
		for began := time.Now(); time.Since(began) < 4*time.Second; time.Sleep(200 * time.Millisecond) {
			a.sync()
		}
		s.signal(frozen, syscall.SIGCONT)
		for began := time.Now(); time.Since(began) < 2*time.Second; time.Sleep(200 * time.Millisecond) {
			a.sync()
		}
		if got := s.session(a.session); got.GetState() != recfleetv1.SessionState_SESSION_STATE_RECORDING {
			t.Fatalf("%v; log:\n%s", got, s.log.String())
		}
	}
	a.segment(2)
	e.work(1)
	a.end(4 * time.Second)
	if got := s.await(a.session, recfleetv1.SessionState_SESSION_STATE_COMPLETE); got.GetGapCount() != 0 {
		t.Errorf("%v", got)
	}
	if strings.Contains(s.log.String(), "session interrupted") {
		t.Errorf("it was given up for lost; log:\n%s", s.log.String())
	}
}

// A job that one coordinator makes wakes an encoder that waits at another one.
func TestEncodersAreWokenAcrossCoordinators(t *testing.T) {
	s := newSeveral(t, 2, child{DutyLease: time.Second, Patience: 10 * time.Second, GiveUp: time.Minute, Lease: 5 * time.Second})
	s.callers(0)
	a, e := newAgent(s.world), newEncoder(s.world)
	agents := s.agents
	s.callers(1)
	s.agents = agents
	woken := make(chan time.Time, 1)
	go func() {
		e.sync(1, 20*time.Second)
		woken <- time.Now()
	}()
	a.segment(1)
	began := time.Now()
	if took := (<-woken).Sub(began); took > 3*time.Second {
		t.Errorf("woken after %v", took)
	}
	s.until("the agent, heard of by the other one", func() bool {
		got, err := recfleetv1.NewFleetServiceClient(s.admin).ListAgents(t.Context(), &recfleetv1.ListAgentsRequest{})
		return err == nil && len(got.GetAgents()) == 1 && got.GetAgents()[0].GetLastSyncTime() != nil
	})
}
