// Package faults has encoders as processes of their own, a coordinator, a broker and an archive, and does to encoders, to
// FFmpeg and to chunks what happens in life. Whatever it was, nothing is lost, nothing overwritten, no half object visible, and
// only content is quarantined.
package faults

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/coordinator"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/bus/embedded"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/identity"
	"github.com/recfleet/recfleet/internal/object"
	"github.com/recfleet/recfleet/internal/screencodec"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

const (
	patience = time.Minute
	// lease is shorter than in life, where it is 30 s.
	lease = 3 * time.Second
)

// bin holds the encoder under test.
var bin string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	var err error
	if bin, err = os.MkdirTemp("", "recfleet-faults-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(bin)
	build := exec.Command("go", "build", "-o", bin+"/", "../../encoder/recencoder")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// world is everything around encoders.
type world struct {
	t       *testing.T
	dir     string
	archive string
	store   object.Store
	broker  *bus.Broker
	client  string // the encoders' client file
	agents  *grpc.ClientConn
	admin   *grpc.ClientConn
	seen    map[string]object.Digest // every mp4 that was ever seen in the archive
}

func newWorld(t *testing.T) *world {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	w := &world{t: t, dir: t.TempDir(), seen: map[string]object.Digest{}}
	authority, err := identity.OpenAuthority(filepath.Join(w.dir, "identity"))
	must(err)
	tokens, err := identity.OpenTokens(filepath.Join(w.dir, "identity"))
	must(err)
	certificate, err := authority.ServerCertificate(nil)
	must(err)
	config := &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13}
	trust, err := bus.OpenTrust(filepath.Join(w.dir, "bus"))
	must(err)
	server, err := embedded.Start(embedded.Config{
		Dir: filepath.Join(w.dir, "js"), Host: "127.0.0.1", Trust: trust, StoreBytes: 256 << 20, TLS: config, Logger: hclog.NewNullLogger(),
	})
	must(err)
	t.Cleanup(server.Shutdown)
	w.broker, err = bus.DialBroker(t.Context(), bus.BrokerConfig{
		Trust: trust, URLs: []string{server.URL()}, CA: authority.CACertificate(), Embedded: server, Logger: hclog.NewNullLogger(),
	})
	must(err)
	t.Cleanup(w.broker.Close)
	w.archive = filepath.Join(w.dir, "archive")
	location, err := object.ParseLocation("file://" + w.archive + "/{session_id}/")
	must(err)
	w.store, err = object.Open(t.Context(), location, object.Config{})
	must(err)
	t.Cleanup(func() { _ = w.store.Close() })

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	ready, ended := make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		ended <- coordinator.Run(ctx, coordinator.Config{
			CatalogPath: filepath.Join(w.dir, "catalog.db"), Broker: w.broker, Store: w.store, Location: location, Listener: listener, TLS: config,
			Tokens: tokens, Authority: authority, ManifestKey: filepath.Join(w.dir, "manifest.key"), Name: "test", Lease: lease, Logger: hclog.NewNullLogger(),
			Ready: func() { close(ready) },
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("coordinator: %v", err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatalf("the coordinator ended: %v", err)
	case <-time.After(patience):
		t.Fatal("the coordinator was not ready in time")
	}
	dial := func(token string) *grpc.ClientConn {
		conn, err := (identity.Client{Address: listener.Addr().String(), CACertificate: authority.CACertificate(), Token: token}).Dial()
		must(err)
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	w.agents, w.admin = dial(tokens.Agent), dial(tokens.Admin)
	w.client = filepath.Join(w.dir, "encoder.json")
	must(identity.Client{Address: listener.Addr().String(), CACertificate: authority.CACertificate(), Token: tokens.Encoder}.Write(w.client))
	return w
}

// film says what a session shows.
type film struct {
	segments, frames int
	width, height    int
	noise            bool
	// damage changes a segment's chunks before they are published.
	damage func(segment int, chunks []chunk.Chunk)
}

// record publishes a whole session as an agent does, gets its receipts, and ends it.
func (w *world) record(f film) (session string) {
	w.t.Helper()
	must := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	ctx, rpc := w.t.Context(), recfleetv1.NewAgentServiceClient(w.agents)
	key, err := bus.NewKey()
	must(err)
	began := time.Now().Add(-time.Hour).Truncate(time.Microsecond)
	geometry := &recfleetv1.Geometry{Width: int32(f.width), Height: int32(f.height)}
	started, err := rpc.StartSession(ctx, &recfleetv1.StartSessionRequest{
		RequestId: strings.ToLower(rand.Text()), User: "ann", Instance: "i-1", StartTime: timestamppb.New(began), Geometry: geometry,
		BusPublicKey: key.Public(), AgentVersion: "test",
	})
	must(err)
	session = started.GetSessionId()
	publisher, err := bus.DialPublisher(ctx, bus.ClientConfig{Key: key, Grant: bus.GrantFromProto(started.GetBus()), Logger: hclog.NewNullLogger()})
	must(err)
	defer publisher.Close()
	events := []*recfleetv1.Event{{Body: &recfleetv1.Event_EpochStarted{EpochStarted: &recfleetv1.EpochStarted{Epoch: 1, Geometry: geometry, Cause: "start"}}}}
	var awaiting []int32
	chain, length := chunk.Genesis(session), time.Duration(f.frames)*200*time.Millisecond
	for segment := 1; segment <= f.segments; segment++ {
		start := began.Add(time.Duration(segment-1) * length)
		seal := &recfleetv1.SegmentSealed{
			Segment: int32(segment), Epoch: 1, FrameCount: int64(f.frames), Width: geometry.GetWidth(), Height: geometry.GetHeight(),
			StartTime: timestamppb.New(start), EndTime: timestamppb.New(start.Add(length)), ChainStart: bytes.Clone(chain[:]),
		}
		var chunks []chunk.Chunk
		stream := f.stream(w.t, start, length)
		size := min(len(stream)/3+1, 256<<10) // several chunks even of a small stream
		for len(stream) > 0 {
			payload := stream[:min(len(stream), size)]
			stream = stream[len(payload):]
			sum := chunk.Sum(payload)
			chain = chain.Next(sum)
			chunks = append(chunks, chunk.Chunk{
				Session: session, Segment: segment, Seq: len(chunks), Epoch: 1, Offset: seal.ByteCount, Sum: sum, Chain: chain, Frames: int64(f.frames),
				Start: start, LastFrame: start.Add(length - 200*time.Millisecond), Width: f.width, Height: f.height, Bytes: len(payload), Payload: payload,
			})
			seal.ByteCount += int64(len(payload))
		}
		seal.ChunkCount, seal.ChainEnd = int32(len(chunks)), bytes.Clone(chain[:])
		if f.damage != nil {
			f.damage(segment, chunks)
		}
		for _, c := range chunks {
			must(publisher.Publish(ctx, c))
		}
		events = append(events, &recfleetv1.Event{Body: &recfleetv1.Event_SegmentSealed{SegmentSealed: seal}})
		awaiting = append(awaiting, seal.GetSegment())
	}
	for i, e := range events {
		e.Number, e.Time = int64(i+1), timestamppb.New(began)
	}
	_, err = rpc.ReportEvents(ctx, &recfleetv1.ReportEventsRequest{SessionId: session, Events: events})
	must(err)
	answer, err := rpc.Sync(ctx, &recfleetv1.AgentServiceSyncRequest{SessionId: session, FrameCount: 1, AwaitingReceipt: awaiting})
	must(err)
	if len(answer.GetReceipts()) != f.segments {
		w.t.Fatalf("receipts %v", answer)
	}
	_, err = rpc.EndSession(ctx, &recfleetv1.EndSessionRequest{
		SessionId: session, Reason: "stopped", EndTime: timestamppb.New(began.Add(time.Duration(f.segments) * length)),
		LastSegment: int32(f.segments), LastEvent: int64(len(events)),
	})
	must(err)
	return session
}

// stream is a segment as the screen codec writes it.
func (f film) stream(t *testing.T, start time.Time, length time.Duration) []byte {
	t.Helper()
	e, err := screencodec.NewEncoder(screencodec.Config{Width: f.width, Height: f.height, KeyInterval: 50})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := e.Begin(&out, start); err != nil {
		t.Fatal(err)
	}
	pix := make([]byte, f.width*f.height*4)
	for i := range f.frames {
		if f.noise {
			_, _ = rand.Read(pix)
		} else {
			for at := range pix {
				pix[at] = byte(i*40 + at/4%f.width/16*8)
			}
		}
		if _, err := e.Encode(pix, time.Duration(i)*200*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.End(length); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
