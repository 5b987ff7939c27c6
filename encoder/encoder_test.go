package encoder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/object"
	"github.com/recfleet/recfleet/internal/screencodec"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// coordinator is a fake that leases what is put into jobs and keeps what it hears.
type coordinator struct {
	recfleetv1.UnimplementedEncoderServiceServer

	mu        sync.Mutex
	changed   chan struct{} // closed and replaced when anything below changes
	available []*recfleetv1.Lease
	leased    map[string]int64 // job to generation
	lost      []string
	syncs     []*recfleetv1.EncoderServiceSyncRequest
	completed []*recfleetv1.CompleteJobRequest
	failed    []*recfleetv1.FailJobRequest
	answer    func(method string) error // an error to answer with
}

func (c *coordinator) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *coordinator) refusal(method string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answer == nil {
		return nil
	}
	return c.answer(method)
}

func (c *coordinator) Sync(ctx context.Context, r *recfleetv1.EncoderServiceSyncRequest) (*recfleetv1.EncoderServiceSyncResponse, error) {
	c.change(func() { c.syncs = append(c.syncs, r) })
	if err := c.refusal("Sync"); err != nil {
		return nil, err
	}
	answer := &recfleetv1.EncoderServiceSyncResponse{NextSync: durationpb.New(100 * time.Millisecond)}
	if r.GetBusPublicKey() != "" {
		answer.Bus = &recfleetv1.BusGrant{Urls: []string{"tls://bus"}, ExpireTime: timestamppb.New(time.Now().Add(time.Hour))}
	}
	deadline := time.After(r.GetMaxWait().AsDuration())
	for {
		c.mu.Lock()
		for len(answer.Granted) < int(r.GetFreeSlots()) && len(c.available) > 0 {
			l := c.available[0]
			c.available = c.available[1:]
			c.leased[l.GetJobId()] = l.GetGeneration()
			answer.Granted = append(answer.Granted, l)
		}
		answer.LostJobIds = append(answer.LostJobIds, c.lost...)
		c.lost = nil
		changed := c.changed
		c.mu.Unlock()
		if len(answer.Granted)+len(answer.LostJobIds) > 0 || answer.Bus != nil {
			return answer, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-deadline:
			return answer, nil
		case <-changed:
		}
	}
}

func (c *coordinator) CompleteJob(_ context.Context, r *recfleetv1.CompleteJobRequest) (*recfleetv1.CompleteJobResponse, error) {
	if err := c.refusal("CompleteJob"); err != nil {
		return nil, err
	}
	c.change(func() { c.completed = append(c.completed, r) })
	return &recfleetv1.CompleteJobResponse{}, nil
}

func (c *coordinator) FailJob(_ context.Context, r *recfleetv1.FailJobRequest) (*recfleetv1.FailJobResponse, error) {
	if err := c.refusal("FailJob"); err != nil {
		return nil, err
	}
	c.change(func() { c.failed = append(c.failed, r) })
	return &recfleetv1.FailJobResponse{}, nil
}

// wait blocks until ok holds; ok is called under the lock.
func (c *coordinator) wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		c.mu.Lock()
		done, changed := ok(), c.changed
		c.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%s did not happen in time", what)
		}
	}
}

// fakeBus holds one segment for every session. While hold is open, reads wait after the first chunk.
type fakeBus struct {
	mu      sync.Mutex
	chunks  []chunk.Chunk
	hold    chan struct{}
	reading chan string // told of every session whose read has begun
	renewed int
}

func (b *fakeBus) Read(ctx context.Context, session string, segment, count int, yield func(chunk.Chunk) error) error {
	for i, c := range b.chunks {
		c.Session = session
		if err := yield(c); err != nil {
			return err
		}
		if i == 0 {
			select {
			case b.reading <- session:
			default:
			}
			select {
			case <-b.hold:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

func (b *fakeBus) Close() error { return nil }

func (b *fakeBus) Renew(bus.Grant) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.renewed++
}

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// segment records three gray frames and returns their chunks and the lease for them. The chain starts from nothing, so that
// the same chunks do for every session.
func segment(t *testing.T) ([]chunk.Chunk, *recfleetv1.Lease) {
	t.Helper()
	e, err := screencodec.NewEncoder(screencodec.Config{Width: 64, Height: 48, KeyInterval: 50})
	if err != nil {
		t.Fatal(err)
	}
	var stream bytes.Buffer
	if err := e.Begin(&stream, start); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if _, err := e.Encode(bytes.Repeat([]byte{byte(i * 100)}, 64*48*4), time.Duration(i)*200*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.End(600 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	var chunks []chunk.Chunk
	chain, offset := chunk.Hash{}, 0
	for _, piece := range [][]byte{stream.Bytes()[:40], stream.Bytes()[40:]} {
		sum := chunk.Sum(piece)
		chain = chain.Next(sum)
		chunks = append(chunks, chunk.Chunk{Segment: 1, Seq: len(chunks), Offset: int64(offset), Sum: sum, Chain: chain, Payload: piece})
		offset += len(piece)
	}
	return chunks, &recfleetv1.Lease{
		Generation: 7, Duration: durationpb.New(20 * time.Second), Attempt: 1,
		Source: &recfleetv1.SegmentSource{
			Segment: 1, ChunkCount: 2, ByteCount: int64(offset), FrameCount: 3, Width: 64, Height: 48,
			StartTime: timestamppb.New(start), Duration: durationpb.New(600 * time.Millisecond),
			ChainStart: make([]byte, 32), ChainEnd: chain[:],
		},
		Settings: &recfleetv1.EncodeSettings{FrameRate: 5, Preset: "veryfast", Crf: 23, KeyframeInterval: durationpb.New(10 * time.Second)},
	}
}

// fixture is an encoder with everything around it.
type fixture struct {
	coordinator *coordinator
	bus         *fakeBus
	lease       *recfleetv1.Lease
	cfg         Config
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	c := &coordinator{changed: make(chan struct{}), leased: map[string]int64{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	recfleetv1.RegisterEncoderServiceServer(server, c)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		<-served
	})
	conn, err := grpc.NewClient("passthrough:///"+listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	location, err := object.ParseLocation("file://" + t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	store, err := object.Open(t.Context(), location, object.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	chunks, lease := segment(t)
	b := &fakeBus{chunks: chunks, hold: make(chan struct{}), reading: make(chan string, 10)}
	return &fixture{coordinator: c, bus: b, lease: lease, cfg: Config{
		Client: conn, Store: store, WorkDir: filepath.Join(t.TempDir(), "work"), Slots: 2, Logger: hclog.NewNullLogger(),
		Host: "h", Version: "v", DrainTime: 20 * time.Second, Stall: time.Minute,
		dialBus: func(context.Context, bus.ClientConfig) (busReader, error) { return b, nil },
	}}
}

// offer makes a job available.
func (f *fixture) offer(session string) *recfleetv1.Lease {
	l := proto.CloneOf(f.lease)
	l.JobId, l.Source.SessionId, l.ObjectKey = session+".1", session, session+"/video-000001.mp4"
	f.coordinator.change(func() { f.coordinator.available = append(f.coordinator.available, l) })
	return l
}

// run starts the encoder; the returned function stops it and returns its error.
func (f *fixture) run(t *testing.T) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, f.cfg) }()
	stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(30 * time.Second):
			return errors.New("the encoder did not end")
		}
	})
	t.Cleanup(func() { _ = stop() })
	return stop
}

func (f *fixture) archived(t *testing.T) (keys []string) {
	t.Helper()
	for info, err := range f.cfg.Store.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func TestJobsAreDoneAndReported(t *testing.T) {
	f := newFixture(t)
	close(f.bus.hold)
	stop := f.run(t)
	for i := range 5 {
		f.offer(fmt.Sprintf("s%d", i))
	}
	c := f.coordinator
	c.wait(t, "five completions", func() bool { return len(c.completed) == 5 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if keys := f.archived(t); len(keys) != 5 {
		t.Errorf("archived %v", keys)
	}
	for _, r := range c.completed {
		info, err := f.cfg.Store.Stat(t.Context(), r.GetObjectKey())
		if err != nil || info.Bytes != r.GetBytes() || !bytes.Equal(info.SHA256[:], r.GetSha256()) {
			t.Errorf("object %+v, %v for %v", info, err, r)
		}
		if r.GetGeneration() != 7 || r.GetFrameCount() != 3 || r.GetWidth() != 64 || r.GetHeight() != 48 || r.GetCodec() != "libx264" ||
			r.GetDuration().AsDuration() != 600*time.Millisecond || r.GetEncoderId() != c.syncs[0].GetEncoderId() ||
			r.GetFfmpegVersion() == "" || r.GetEncoderVersion() != "v" {
			t.Errorf("completion %v", r)
		}
	}
	for i, s := range c.syncs {
		if n := int(s.GetFreeSlots()) + len(s.GetHeld()); n > 2 || s.GetEncoderId() != c.syncs[0].GetEncoderId() {
			t.Errorf("sync %d: %v", i, s)
		}
		if key := s.GetBusPublicKey(); (key != "") != (i == 0) {
			t.Errorf("sync %d asks for the bus with %q", i, key)
		}
	}
	if last := c.syncs[len(c.syncs)-1]; !last.GetDraining() || len(last.GetHeld()) != 0 || last.GetFreeSlots() != 0 {
		t.Errorf("last sync %v", last)
	}
}

func TestHeldLeasesAreRenewed(t *testing.T) {
	f := newFixture(t)
	f.cfg.Slots = 1
	f.run(t)
	f.offer("s1")
	f.offer("s2")
	c := f.coordinator
	c.wait(t, "three syncs that name the job", func() bool {
		n := 0
		for _, s := range c.syncs {
			if len(s.GetHeld()) == 1 && s.GetHeld()[0].GetJobId() == "s1.1" && s.GetHeld()[0].GetGeneration() == 7 && s.GetFreeSlots() == 0 {
				n++
			}
		}
		return n == 3
	})
	close(f.bus.hold)
	c.wait(t, "both completions", func() bool { return len(c.completed) == 2 })
}

func TestLostLeaseStopsTheWorkAndIsNotReported(t *testing.T) {
	f := newFixture(t)
	stop := f.run(t)
	f.offer("s1")
	<-f.bus.reading
	c := f.coordinator
	c.change(func() { c.lost = []string{"s1.1", "unknown"} })
	c.wait(t, "a sync with both slots free again", func() bool {
		last := c.syncs[len(c.syncs)-1]
		return last.GetFreeSlots() == 2 && len(c.syncs) > 3
	})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if len(c.completed)+len(c.failed)+len(f.archived(t)) != 0 {
		t.Errorf("after the loss: %v, %v, %v", c.completed, c.failed, f.archived(t))
	}
}

func TestALeaseThatCannotBeRenewedIsGivenUp(t *testing.T) {
	f := newFixture(t)
	f.lease.Duration = durationpb.New(2 * time.Second)
	stop := f.run(t)
	f.offer("s1")
	<-f.bus.reading
	c := f.coordinator
	c.change(func() { c.answer = func(string) error { return status.Error(codes.Unavailable, "away") } })
	// Its work directory goes when the work has stopped.
	waitFor(t, func() bool { return len(workFiles(t, f.cfg.WorkDir)) == 0 })
	close(f.bus.hold)
	c.change(func() { c.answer = nil })
	f.lease.Duration = durationpb.New(time.Minute)
	f.offer("s2")
	c.wait(t, "the next job", func() bool { return len(c.completed) == 1 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if c.completed[0].GetJobId() != "s2.1" || len(c.failed) != 0 {
		t.Errorf("completed %v, failed %v", c.completed, c.failed)
	}
}

func workFiles(t *testing.T, dir string) (jobs []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			jobs = append(jobs, e.Name())
		}
	}
	return jobs
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatal("it did not happen in time")
		case <-tick.C:
		}
	}
}

func TestDrainFinishesWhatIsHeld(t *testing.T) {
	f := newFixture(t)
	stop := f.run(t)
	f.offer("s1")
	<-f.bus.reading
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	c := f.coordinator
	c.wait(t, "a draining sync that renews", func() bool {
		last := c.syncs[len(c.syncs)-1]
		return last.GetDraining() && len(last.GetHeld()) == 1 && last.GetFreeSlots() == 0
	})
	f.offer("s2")
	close(f.bus.hold)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if len(c.completed) != 1 || c.completed[0].GetJobId() != "s1.1" || len(c.available) != 1 {
		t.Errorf("completed %v", c.completed)
	}
}

func TestDrainGivesBackWhatTakesTooLong(t *testing.T) {
	f := newFixture(t)
	f.cfg.DrainTime = 100 * time.Millisecond
	stop := f.run(t)
	f.offer("s1")
	<-f.bus.reading
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	c := f.coordinator
	if len(c.failed) != 1 || c.failed[0].GetCause() != recfleetv1.FailureCause_FAILURE_CAUSE_ENCODER || c.failed[0].GetGeneration() != 7 {
		t.Errorf("failed %v", c.failed)
	}
	if keys := f.archived(t); len(keys) != 0 {
		t.Errorf("archived %v", keys)
	}
}

func TestFailuresCarryTheirCause(t *testing.T) {
	f := newFixture(t)
	close(f.bus.hold)
	f.run(t)
	f.lease.Source.ChainEnd = bytes.Repeat([]byte{1}, 32)
	f.offer("s1")
	f.lease.Source.ChainEnd = []byte("short")
	f.offer("s2")
	c := f.coordinator
	c.wait(t, "both failures", func() bool { return len(c.failed) == 2 })
	for _, r := range c.failed {
		if r.GetCause() != recfleetv1.FailureCause_FAILURE_CAUSE_CONTENT || !strings.Contains(r.GetDetail(), "chain") || r.GetEncoderId() == "" {
			t.Errorf("failure %v", r)
		}
	}
}

func TestCompletionIsToldAgainUntilHeard(t *testing.T) {
	f := newFixture(t)
	close(f.bus.hold)
	f.run(t)
	c, tries := f.coordinator, 0
	c.change(func() {
		c.answer = func(method string) error {
			if method == "CompleteJob" && tries < 3 {
				tries++
				return status.Error(codes.Unavailable, "away")
			}
			return nil
		}
	})
	f.offer("s1")
	c.wait(t, "the completion", func() bool { return len(c.completed) == 1 })
	if tries != 3 || len(c.failed) != 0 {
		t.Errorf("%d tries, failed %v", tries, c.failed)
	}
}

func TestACompletionThatCameTooLateIsDropped(t *testing.T) {
	f := newFixture(t)
	close(f.bus.hold)
	stop := f.run(t)
	c, refused := f.coordinator, make(chan struct{}, 10)
	c.change(func() {
		c.answer = func(method string) error {
			if method == "CompleteJob" {
				refused <- struct{}{}
				return status.Error(codes.FailedPrecondition, "lease lost")
			}
			return nil
		}
	})
	f.offer("s1")
	<-refused
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if len(c.failed) != 0 || len(refused) != 0 {
		t.Errorf("failed %v, asked %d times more", c.failed, len(refused))
	}
}

func TestCoordinatorAwayAtTheStart(t *testing.T) {
	f := newFixture(t)
	close(f.bus.hold)
	c := f.coordinator
	c.answer = func(string) error { return status.Error(codes.Unavailable, "away") }
	f.run(t)
	c.wait(t, "three tries", func() bool { return len(c.syncs) >= 3 })
	c.change(func() { c.answer = nil })
	f.offer("s1")
	c.wait(t, "the completion", func() bool { return len(c.completed) == 1 })
}

func TestBusAwayAtTheStart(t *testing.T) {
	f := newFixture(t)
	close(f.bus.hold)
	tries := 0
	dial := f.cfg.dialBus
	f.cfg.dialBus = func(ctx context.Context, cfg bus.ClientConfig) (busReader, error) {
		if tries++; tries < 3 {
			return nil, errors.New("away")
		}
		return dial(ctx, cfg)
	}
	ready := 0
	f.cfg.Ready = func() { ready++ }
	stop := f.run(t)
	f.offer("s1")
	c := f.coordinator
	c.wait(t, "the completion", func() bool { return len(c.completed) == 1 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if ready != 1 {
		t.Errorf("ready %d times", ready)
	}
	for i, s := range c.syncs[:3] {
		if s.GetFreeSlots() != 0 || s.GetBusPublicKey() == "" {
			t.Errorf("sync %d: %v", i, s)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *fixture){
		"a refused caller": func(_ *testing.T, f *fixture) {
			f.coordinator.answer = func(string) error { return status.Error(codes.Unauthenticated, "unknown token") }
		},
		"no slots":             func(_ *testing.T, f *fixture) { f.cfg.Slots = 0 },
		"no work directory":    func(_ *testing.T, f *fixture) { f.cfg.WorkDir = "/dev/null/work" },
		"no store":             func(_ *testing.T, f *fixture) { f.cfg.Store = nil },
		"no FFmpeg on machine": func(t *testing.T, _ *fixture) { t.Setenv("PATH", "/nowhere") },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			change(t, f)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := Run(ctx, f.cfg); !errors.Is(err, ErrUnusable) || ctx.Err() != nil {
				t.Errorf("error %v", err)
			}
		})
	}
}
