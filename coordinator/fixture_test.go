package coordinator_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/coordinator"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/bus/embedded"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/identity"
	"github.com/recfleet/recfleet/internal/object"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

func TestMain(m *testing.M) {
	if settings := os.Getenv(childVariable); settings != "" {
		fmt.Fprintln(os.Stderr, runChild(settings))
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// world is everything around a coordinator: a broker, an archive, identities. Coordinators come and go in it.
type world struct {
	t         *testing.T
	dir       string
	authority *identity.Authority
	tokens    identity.Tokens
	tls       *tls.Config
	broker    *bus.Broker
	location  object.Location
	store     object.Store
	log       *logged
	settings  coordinator.Config // what a test changes

	address string
	stop    func()
	admin   *grpc.ClientConn
	agents  *grpc.ClientConn
	workers *grpc.ClientConn
}

func newWorld(t *testing.T, settings coordinator.Config) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), log: &logged{}, settings: settings}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	w.authority, err = identity.OpenAuthority(filepath.Join(w.dir, "identity"))
	must(err)
	w.tokens, err = identity.OpenTokens(filepath.Join(w.dir, "identity"))
	must(err)
	certificate, err := w.authority.ServerCertificate(nil)
	must(err)
	w.tls = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS13}
	trust, err := bus.OpenTrust(filepath.Join(w.dir, "bus"))
	must(err)
	server, err := embedded.Start(embedded.Config{
		Dir: filepath.Join(w.dir, "js"), Host: "127.0.0.1", Trust: trust, StoreBytes: 64 << 20, TLS: w.tls, Logger: hclog.NewNullLogger(),
	})
	must(err)
	t.Cleanup(server.Shutdown)
	w.broker, err = bus.DialBroker(t.Context(), bus.BrokerConfig{
		Trust: trust, URLs: []string{server.URL()}, CA: w.authority.CACertificate(), Embedded: server, Logger: hclog.NewNullLogger(),
	})
	must(err)
	t.Cleanup(w.broker.Close)
	w.location, err = object.ParseLocation("file://" + w.dir + "/archive/{fleet}/{session_id}/")
	must(err)
	w.store, err = object.Open(t.Context(), w.location, object.Config{})
	must(err)
	t.Cleanup(func() { _ = w.store.Close() })
	w.start()
	t.Cleanup(func() { w.stop() })
	return w
}

// start runs a coordinator until w.stop.
func (w *world) start() {
	w.t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	cfg := w.settings
	cfg.CatalogPath, cfg.Broker, cfg.Store, cfg.Location = filepath.Join(w.dir, "catalog.db"), w.broker, w.store, w.location
	cfg.Listener, cfg.TLS, cfg.Tokens, cfg.Authority, cfg.ManifestKey = listener, w.tls, w.tokens, w.authority, filepath.Join(w.dir, "manifest.key")
	cfg.Name = cmp.Or(cfg.Name, "test")
	cfg.Logger = hclog.New(&hclog.LoggerOptions{Output: w.log, Level: hclog.Debug})
	ready := make(chan struct{})
	cfg.Ready = func() { close(ready) }
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- coordinator.Run(ctx, cfg) }()
	select {
	case <-ready:
	case err := <-done:
		w.t.Fatalf("run: %v", err)
	}
	w.address = listener.Addr().String()
	w.admin, w.agents, w.workers = w.dial(w.tokens.Admin), w.dial(w.tokens.Agent), w.dial(w.tokens.Encoder)
	stopped := false
	w.stop = func() {
		if stopped {
			return
		}
		stopped = true
		for _, c := range []*grpc.ClientConn{w.admin, w.agents, w.workers} {
			_ = c.Close()
		}
		cancel()
		select {
		case err := <-done:
			if err != nil {
				w.t.Errorf("run: %v", err)
			}
		case <-time.After(30 * time.Second):
			w.t.Error("the coordinator does not drain")
		}
	}
}

func (w *world) dial(token string) *grpc.ClientConn {
	w.t.Helper()
	conn, err := (identity.Client{Address: w.address, CACertificate: w.authority.CACertificate(), Token: token}).Dial()
	if err != nil {
		w.t.Fatal(err)
	}
	return conn
}

func (w *world) session(id string) *recfleetv1.Session {
	w.t.Helper()
	got, err := recfleetv1.NewSessionServiceClient(w.admin).GetSession(w.t.Context(), &recfleetv1.GetSessionRequest{SessionId: id})
	if err != nil {
		w.t.Fatal(err)
	}
	return got.GetSession()
}

// await waits until the session is in a state.
func (w *world) await(id string, want recfleetv1.SessionState) *recfleetv1.Session {
	w.t.Helper()
	var got *recfleetv1.Session
	w.until("session in "+want.String(), func() bool {
		got = w.session(id)
		return got.GetState() == want
	})
	return got
}

func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("no %s; log:\n%s", what, w.log.String())
		}
	}
}

func (w *world) document(key string, into any) {
	w.t.Helper()
	body, _, err := w.store.Get(w.t.Context(), key, 0, -1)
	if err != nil {
		w.t.Fatal(err)
	}
	defer body.Close()
	raw, err := io.ReadAll(body)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := json.Unmarshal(raw, into); err != nil {
		w.t.Fatalf("%s: %v\n%s", key, err, raw)
	}
}

// agent does what agents do, by hand.
type agent struct {
	w         *world
	session   string
	key       *bus.Key
	publisher *bus.Publisher
	began     time.Time
	chain     chunk.Hash
	events    int64
	segments  int
	prefix    string
}

func (w *world) rpc() recfleetv1.AgentServiceClient {
	return recfleetv1.NewAgentServiceClient(w.agents)
}

func newAgent(w *world, change ...func(*recfleetv1.StartSessionRequest)) *agent {
	w.t.Helper()
	key, err := bus.NewKey()
	if err != nil {
		w.t.Fatal(err)
	}
	a := &agent{w: w, key: key, began: time.Now().Add(-time.Hour).Truncate(time.Microsecond)}
	request := startRequest(key.Public(), a.began)
	for _, f := range change {
		f(request)
	}
	got, err := w.rpc().StartSession(w.t.Context(), request)
	if err != nil {
		w.t.Fatal(err)
	}
	again, err := w.rpc().StartSession(w.t.Context(), request)
	if err != nil || again.GetSessionId() != got.GetSessionId() {
		w.t.Fatalf("a second try got %q, %v", again.GetSessionId(), err)
	}
	a.session, a.chain = got.GetSessionId(), chunk.Genesis(got.GetSessionId())
	a.prefix = request.GetFleet() + "/" + a.session + "/"
	a.publisher, err = bus.DialPublisher(w.t.Context(), bus.ClientConfig{Key: key, Grant: bus.GrantFromProto(got.GetBus()), Logger: hclog.NewNullLogger()})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(a.publisher.Close)
	a.report(&recfleetv1.Event{Body: &recfleetv1.Event_EpochStarted{EpochStarted: &recfleetv1.EpochStarted{
		Epoch: 1, Geometry: request.GetGeometry(), Cause: "start",
	}}})
	return a
}

func startRequest(publicKey string, at time.Time) *recfleetv1.StartSessionRequest {
	return &recfleetv1.StartSessionRequest{
		RequestId: strings.ToLower(rand.Text()), User: "ann", Stack: "s-1", Fleet: "f-1", Instance: "i-1",
		Metadata:  map[string]string{"AppStream_UserName": "ann@example.org", "AppStream_Image_Arn": "arn:image", "AppStream_Session_ID": "platform-7"},
		StartTime: timestamppb.New(at), Geometry: &recfleetv1.Geometry{Width: 801, Height: 601}, BusPublicKey: publicKey, AgentVersion: "test",
	}
}

func (a *agent) report(events ...*recfleetv1.Event) {
	a.w.t.Helper()
	for _, e := range events {
		a.events++
		e.Number, e.Time = a.events, timestamppb.New(a.began)
	}
	got, err := a.w.rpc().ReportEvents(a.w.t.Context(), &recfleetv1.ReportEventsRequest{SessionId: a.session, Events: events})
	if err != nil || got.GetAcknowledgedThrough() != a.events {
		a.w.t.Fatalf("report: %v, %v", got, err)
	}
}

// record makes the chunks of the next segment: two seconds at 5 fps in each. It begins where the one before ended.
func (a *agent) record(count int) (*recfleetv1.SegmentSealed, []chunk.Chunk) {
	a.segments++
	start := a.began.Add(time.Duration(a.segments-1) * 20 * time.Second)
	seal := &recfleetv1.SegmentSealed{
		Segment: int32(a.segments), Epoch: 1, ChunkCount: int32(count), FrameCount: int64(10 * count), Width: 801, Height: 601,
		StartTime: timestamppb.New(start), EndTime: timestamppb.New(start.Add(time.Duration(count) * 2 * time.Second)), ChainStart: bytes.Clone(a.chain[:]),
	}
	var chunks []chunk.Chunk
	for seq := range count {
		payload := []byte(fmt.Sprintf("%s/%d/%d", a.session, a.segments, seq))
		sum := chunk.Sum(payload)
		a.chain = a.chain.Next(sum)
		chunks = append(chunks, chunk.Chunk{
			Session: a.session, Segment: a.segments, Seq: seq, Epoch: 1, Offset: seal.ByteCount, Sum: sum, Chain: a.chain,
			Frames: int64(10 * (seq + 1)), Start: start, LastFrame: start.Add(time.Duration(seq+1)*2*time.Second - 200*time.Millisecond),
			Width: 801, Height: 601, Bytes: len(payload), Payload: payload,
		})
		seal.ByteCount += int64(len(payload))
	}
	seal.ChainEnd = bytes.Clone(a.chain[:])
	return seal, chunks
}

func (a *agent) publish(chunks ...chunk.Chunk) {
	a.w.t.Helper()
	for _, c := range chunks {
		if err := a.publisher.Publish(a.w.t.Context(), c); err != nil {
			a.w.t.Fatal(err)
		}
	}
}

func sealed(s *recfleetv1.SegmentSealed) *recfleetv1.Event {
	return &recfleetv1.Event{Body: &recfleetv1.Event_SegmentSealed{SegmentSealed: s}}
}

func (a *agent) sync(awaiting ...int32) *recfleetv1.AgentServiceSyncResponse {
	a.w.t.Helper()
	got, err := a.w.rpc().Sync(a.w.t.Context(), &recfleetv1.AgentServiceSyncRequest{SessionId: a.session, FrameCount: 1, AwaitingReceipt: awaiting})
	if err != nil {
		a.w.t.Fatal(err)
	}
	return got
}

// segment records, publishes and reports a whole segment and gets its receipt.
func (a *agent) segment(chunks int) {
	a.w.t.Helper()
	seal, made := a.record(chunks)
	a.publish(made...)
	a.report(sealed(seal))
	got := a.sync(seal.GetSegment())
	if r := got.GetReceipts(); len(r) != 1 || !bytes.Equal(r[0].GetChainEnd(), seal.GetChainEnd()) || r[0].GetChunkCount() != int32(chunks) {
		a.w.t.Fatalf("receipts %v", r)
	}
}

func (a *agent) end(after time.Duration) {
	a.w.t.Helper()
	if _, err := a.w.rpc().EndSession(a.w.t.Context(), &recfleetv1.EndSessionRequest{
		SessionId: a.session, Reason: "stopped by hook", EndTime: timestamppb.New(a.began.Add(after)), LastSegment: int32(a.segments), LastEvent: a.events,
	}); err != nil {
		a.w.t.Fatal(err)
	}
}

// encoder does what encoders do, by hand.
type encoder struct {
	w      *world
	id     string
	labels []string
}

func newEncoder(w *world, labels ...string) *encoder {
	return &encoder{w, strings.ToLower(rand.Text()), labels}
}

func (w *world) jobs() recfleetv1.EncoderServiceClient {
	return recfleetv1.NewEncoderServiceClient(w.workers)
}

func (e *encoder) sync(free int32, wait time.Duration, held ...*recfleetv1.HeldLease) *recfleetv1.EncoderServiceSyncResponse {
	e.w.t.Helper()
	got, err := e.w.jobs().Sync(e.w.t.Context(), &recfleetv1.EncoderServiceSyncRequest{
		EncoderId: e.id, FreeSlots: free, MaxWait: durationpb.New(wait), Held: held, Labels: e.labels,
	})
	if err != nil {
		e.w.t.Fatal(err)
	}
	return got
}

// archive puts an "mp4" and describes it truly. No two encoders make the same bytes.
func (e *encoder) archive(l *recfleetv1.Lease) *recfleetv1.CompleteJobRequest {
	e.w.t.Helper()
	content := []byte(strings.Repeat("mp4 of "+l.GetJobId()+" by "+e.id+"\n", 5000))
	sum := chunk.Sum(content)
	if _, err := e.w.store.Put(e.w.t.Context(), l.GetObjectKey(), bytes.NewReader(content), object.PutOptions{}); err != nil {
		e.w.t.Fatal(err)
	}
	s := l.GetSource()
	return &recfleetv1.CompleteJobRequest{
		JobId: l.GetJobId(), Generation: l.GetGeneration(), ObjectKey: l.GetObjectKey(), Bytes: int64(len(content)), Sha256: sum[:],
		FrameCount: s.GetFrameCount(), Duration: s.GetDuration(), Width: s.GetWidth() + s.GetWidth()%2, Height: s.GetHeight() + s.GetHeight()%2,
		Codec: "libx264", FfmpegVersion: "5.1.9", EncoderVersion: "test", EncoderId: e.id,
	}
}

// work encodes what there is.
func (e *encoder) work(count int) {
	e.w.t.Helper()
	began := time.Now()
	for done := 0; done < count; {
		if time.Since(began) > 30*time.Second {
			e.w.t.Fatalf("%d of %d jobs came; log:\n%s", done, count, e.w.log.String())
		}
		for _, l := range e.sync(int32(count-done), 10*time.Second).GetGranted() {
			if _, err := e.w.jobs().CompleteJob(e.w.t.Context(), e.archive(l)); err != nil {
				e.w.t.Fatal(err)
			}
			done++
		}
	}
}
