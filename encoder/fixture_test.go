package encoder

import (
	"bytes"
	"context"
	"errors"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/object"
	"github.com/recfleet/recfleet/internal/screencodec"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// coordinator is a fake that leases what is put into jobs and keeps what it hears.
type coordinator struct {
	recfleetv1.UnimplementedEncoderServiceServer

	mu        sync.Mutex
	changed   chan struct{} // closed and replaced when anything below changes
	available []*recfleetv1.Lease
	leased    map[string]int64 // job to generation
	lost      []string
	drain     bool
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
		c.lost, answer.Drain = nil, c.drain
		changed := c.changed
		c.mu.Unlock()
		if len(answer.Granted)+len(answer.LostJobIds) > 0 || answer.Bus != nil || answer.Drain {
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
