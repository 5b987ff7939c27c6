package decode

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"
	protobuf "google.golang.org/protobuf/proto"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// asIs sends bytes as they are.
type asIs struct{}

func (asIs) Marshal(v any) ([]byte, error) { return v.([]byte), nil }

func (asIs) Unmarshal([]byte, any) error { return nil }

func (asIs) Name() string { return "proto" }

// service notes what reaches it.
type service struct {
	recfleetv1.UnimplementedAgentServiceServer
	recfleetv1.UnimplementedSessionServiceServer
	started chan *recfleetv1.StartSessionRequest
}

func (s service) StartSession(_ context.Context, r *recfleetv1.StartSessionRequest) (*recfleetv1.StartSessionResponse, error) {
	s.started <- r
	return &recfleetv1.StartSessionResponse{SessionId: "s"}, nil
}

func (s service) WatchSessions(r *recfleetv1.WatchSessionsRequest, _ grpc.ServerStreamingServer[recfleetv1.WatchSessionsResponse]) error {
	return status.Error(codes.Aborted, "reached")
}

func serve(t *testing.T) (service, *grpc.ClientConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, s := grpc.NewServer(grpc.ForceServerCodecV2(Codec()), grpc.StreamInterceptor(Stream)), service{started: make(chan *recfleetv1.StartSessionRequest, 1)}
	recfleetv1.RegisterAgentServiceServer(Services{server}, s)
	recfleetv1.RegisterSessionServiceServer(Services{server}, s)
	go func() { _ = server.Serve(l) }() // until Stop, which waits for it
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:///"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return s, conn
}

// spoil encodes a message and makes what a mark stands for no UTF-8.
func spoil(t *testing.T, m protobuf.Message) []byte {
	t.Helper()
	raw, err := protobuf.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.ReplaceAll(raw, []byte("~~"), []byte("\xff\xfe"))
}

func TestTheFieldThatIsNotUTF8IsNamed(t *testing.T) {
	s, conn := serve(t)
	for want, r := range map[string]*recfleetv1.StartSessionRequest{
		"user: is not UTF-8":                      {User: "~~"},
		"user: is not UTF-8 ":                     {User: "a~~", Stack: "~~"}, // the first one
		"metadata key: is not UTF-8":              {Metadata: map[string]string{"~~": "v"}},
		`metadata["k"]: is not UTF-8`:             {Metadata: map[string]string{"k": "~~"}},
		`metadata["k\x1b"]: is not UTF-8`:         {Metadata: map[string]string{"k\x1b": "~~"}},
		"metadata: is not UTF-8":                  {Metadata: map[string]string{strings.Repeat("k", 129): "~~"}},
		"geometry.monitors[1].name: is not UTF-8": {Geometry: &recfleetv1.Geometry{Monitors: []*recfleetv1.Monitor{{Name: "a"}, {Name: "~~"}}}},
	} {
		var answer recfleetv1.StartSessionResponse
		err := conn.Invoke(t.Context(), recfleetv1.AgentService_StartSession_FullMethodName, spoil(t, r), &answer, grpc.ForceCodec(asIs{}))
		if got := status.Convert(err); got.Code() != codes.InvalidArgument || got.Message() != strings.TrimSpace(want) {
			t.Errorf("want %s, got %v %q", want, got.Code(), got.Message())
		}
	}
	for name, raw := range map[string][]byte{"a tag": {0xff}, "a length": {0x0a, 0xff, 0x01}, "another type": protowire.AppendTag(nil, 1, protowire.EndGroupType)} {
		var answer recfleetv1.StartSessionResponse
		err := conn.Invoke(t.Context(), recfleetv1.AgentService_StartSession_FullMethodName, raw, &answer, grpc.ForceCodec(asIs{}))
		if got := status.Convert(err); got.Code() != codes.InvalidArgument || got.Message() != "request: is malformed" {
			t.Errorf("%s: %v %q", name, got.Code(), got.Message())
		}
	}
	if len(s.started) > 0 {
		t.Fatalf("the service was reached by %v", <-s.started)
	}
	sound := &recfleetv1.StartSessionRequest{User: "Zoë", Metadata: map[string]string{"k": "v"}}
	if _, err := recfleetv1.NewAgentServiceClient(conn).StartSession(t.Context(), sound); err != nil {
		t.Fatal(err)
	}
	if got := <-s.started; !protobuf.Equal(got, sound) {
		t.Errorf("got %v", got)
	}
}

func TestAStreamsRequestIsRefusedAlike(t *testing.T) {
	_, conn := serve(t)
	for text, want := range map[string]codes.Code{"~~": codes.InvalidArgument, "a": codes.Aborted} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, recfleetv1.SessionService_WatchSessions_FullMethodName, grpc.ForceCodec(asIs{}))
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.SendMsg(spoil(t, &recfleetv1.WatchSessionsRequest{Filter: &recfleetv1.ListSessionsRequest{User: text}})); err != nil {
			t.Fatal(err)
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		var answer []byte
		err = stream.RecvMsg(&answer)
		if status.Code(err) != want || want == codes.InvalidArgument && !strings.Contains(err.Error(), "filter.user: is not UTF-8") {
			t.Errorf("%q: %v", text, err)
		}
		cancel()
	}
}

// What is decoded is what gRPC's codec decodes; of what is not, the answer names a field and is one short line.
func FuzzCodec(f *testing.F) {
	for _, m := range []*recfleetv1.StartSessionRequest{
		{User: "a", Metadata: map[string]string{"k": "v"}}, {User: "~~"}, {Metadata: map[string]string{"k": "~~"}},
		{Geometry: &recfleetv1.Geometry{Monitors: []*recfleetv1.Monitor{{Name: "~~"}}}},
	} {
		raw, err := protobuf.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.ReplaceAll(raw, []byte("~~"), []byte("\xff\xfe")))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var plain, ours recfleetv1.StartSessionRequest
		want := protobuf.Unmarshal(raw, &plain)
		r := &request{into: &ours}
		if err := Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(raw)}, r); err != nil {
			t.Fatal(err)
		}
		if (want == nil) != (r.problem == nil) || want == nil && !protobuf.Equal(&plain, &ours) {
			t.Fatalf("%q: %v, gRPC's own says %v", raw, r.problem, want)
		}
		if r.problem == nil {
			return
		}
		text := r.problem.Error()
		if !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) || len(text) > 1024 {
			t.Errorf("%q: %q", raw, text)
		}
	})
}
