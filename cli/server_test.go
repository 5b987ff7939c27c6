package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/internal/identity"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var began = time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC)

// service is a fake of all services.
type service struct {
	recfleetv1.UnimplementedSessionServiceServer
	recfleetv1.UnimplementedRecordingServiceServer
	fleet

	mu       sync.Mutex
	sessions []*recfleetv1.Session
	files    map[int32][]byte
	beside   map[recfleetv1.RecordingFile][]byte // the thumbnails of every mp4 that has any
	lists    []*recfleetv1.ListSessionsRequest
	stops    []*recfleetv1.StopSessionRequest
	offsets  []int64
	polls    int
	// refuse answers every call of a method.
	refuse map[string]error
	// endAfter is the number of GetSession calls after which a stopped session is over.
	endAfter int
	// tamper changes a download; n is its number.
	tamper func(n int, data []byte) ([]byte, error)
}

func (s *service) refusal(method string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refuse[method]
}

func (s *service) ListSessions(_ context.Context, r *recfleetv1.ListSessionsRequest) (*recfleetv1.ListSessionsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists = append(s.lists, r)
	if err := s.refuse["list"]; err != nil {
		return nil, err
	}
	var from int
	if r.GetPageToken() != "" {
		if _, err := fmt.Sscanf(r.GetPageToken(), "page-%d", &from); err != nil {
			return nil, status.Error(codes.InvalidArgument, "page_token: malformed")
		}
	}
	to := min(from+min(int(r.GetPageSize()), 2), len(s.sessions)) // small pages
	answer := &recfleetv1.ListSessionsResponse{Sessions: s.sessions[from:to]}
	if to < len(s.sessions) {
		answer.NextPageToken = fmt.Sprintf("page-%d", to)
	}
	return answer, nil
}

func (s *service) find(id string) (*recfleetv1.Session, error) {
	for _, one := range s.sessions {
		if one.GetId() == id {
			return one, nil
		}
	}
	return nil, status.Errorf(codes.NotFound, "no session %s", id)
}

func (s *service) GetSession(_ context.Context, r *recfleetv1.GetSessionRequest) (*recfleetv1.GetSessionResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refuse["get"]; err != nil {
		return nil, err
	}
	one, err := s.find(r.GetSessionId())
	if err != nil {
		return nil, err
	}
	if s.polls++; s.polls > s.endAfter && len(s.stops) > 0 {
		one.State = recfleetv1.SessionState_SESSION_STATE_FINALIZING
	}
	return &recfleetv1.GetSessionResponse{Session: one}, nil
}

func (s *service) StopSession(_ context.Context, r *recfleetv1.StopSessionRequest) (*recfleetv1.StopSessionResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refuse["stop"]; err != nil {
		return nil, err
	}
	s.stops = append(s.stops, r)
	one, err := s.find(r.GetSessionId())
	return &recfleetv1.StopSessionResponse{Session: one}, err
}

func (s *service) ListRecordings(_ context.Context, r *recfleetv1.ListRecordingsRequest) (*recfleetv1.ListRecordingsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one, err := s.find(r.GetSessionId())
	if err != nil {
		return nil, err
	}
	answer := &recfleetv1.ListRecordingsResponse{}
	for _, g := range one.GetSegments() {
		if g.GetRecording() != nil {
			answer.Recordings = append(answer.Recordings, g.GetRecording())
		}
	}
	return answer, nil
}

func (s *service) DownloadRecording(r *recfleetv1.DownloadRecordingRequest, stream grpc.ServerStreamingServer[recfleetv1.DownloadRecordingResponse]) error {
	if err := s.refusal("download"); err != nil {
		return err
	}
	s.mu.Lock()
	data, tamper, n := s.files[r.GetSegment()], s.tamper, len(s.offsets)
	if r.GetFile() != recfleetv1.RecordingFile_RECORDING_FILE_UNSPECIFIED {
		data = s.beside[r.GetFile()]
	}
	s.offsets = append(s.offsets, r.GetOffset())
	s.mu.Unlock()
	data = bytes.Clone(data[r.GetOffset():])
	var end error
	if tamper != nil {
		data, end = tamper(n, data)
	}
	for first := true; first || len(data) > 0; first = false {
		n := min(len(data), 64<<10)
		if err := stream.Send(&recfleetv1.DownloadRecordingResponse{Data: data[:n]}); err != nil {
			return err
		}
		data = data[n:]
	}
	if errors.Is(end, errHang) {
		<-stream.Context().Done()
	}
	return end
}

var errHang = status.Error(codes.Unknown, "hang")

// session returns one with two archived segments.
func session(id string, files map[int32][]byte) *recfleetv1.Session {
	at := func(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(began.Add(d)) }
	s := &recfleetv1.Session{
		Id: id, State: recfleetv1.SessionState_SESSION_STATE_COMPLETE, User: "ana", Stack: "office", Fleet: "blue", Instance: "i-1",
		Metadata: map[string]string{"ImageArn": "arn:1"}, StartTime: at(0), EndTime: at(95 * time.Second),
		RecordedDuration: durationpb.New(94 * time.Second), GapDuration: durationpb.New(time.Second),
		SegmentCount: 2, ArchivedSegmentCount: 2, GapCount: 1, ArchivedBytes: 1_234_567,
		Epochs: []*recfleetv1.Epoch{{
			Number: 1, StartTime: at(0), Cause: "start",
			Geometry: &recfleetv1.Geometry{Width: 1920, Height: 1080, Monitors: []*recfleetv1.Monitor{{Name: "a"}}},
		}},
		Gaps: []*recfleetv1.Gap{{StartTime: at(8 * time.Second), EndTime: at(9 * time.Second), Cause: "capture_restarted"}},
	}
	for n := int32(1); n <= 2; n++ {
		sum := sha256.Sum256(files[n])
		from, to := at(time.Duration(n-1)*8*time.Second), at(time.Duration(n)*8*time.Second)
		s.Segments = append(s.Segments, &recfleetv1.Segment{
			Number: n, Epoch: 1, State: recfleetv1.SegmentState_SEGMENT_STATE_ARCHIVED, StartTime: from, EndTime: to,
			Width: 1920, Height: 1080, FrameCount: 40, ChunkCount: 3, CapturedBytes: 500_000,
			Recording: &recfleetv1.Recording{
				SessionId: id, Segment: n, ObjectKey: fmt.Sprintf("k/video-%06d.mp4", n), Bytes: int64(len(files[n])), Sha256: sum[:],
				Width: 1920, Height: 1080, FrameCount: 40, StartTime: from, EndTime: to, Location: fmt.Sprintf("file:///a/k/video-%06d.mp4", n),
			},
		})
	}
	return s
}

// fixture is a server with sessions a1, a2 and a3, and a home directory with a client file for it.
type fixture struct {
	*service
	server  *grpc.Server
	home    string
	dir     string
	address string
	env     map[string]string
	color   bool
	bars    bool
	// typed is what is typed on the terminal; nil where there is none.
	typed *string
	// size is the terminal's.
	width, height int
	stdout        io.Writer
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	files := map[int32][]byte{1: bytes.Repeat([]byte("first mp4"), 40_000), 2: []byte("second mp4")}
	s := &service{files: files, refuse: map[string]error{}}
	for _, id := range []string{"a1", "a2", "a3"} {
		s.sessions = append(s.sessions, session(id, files))
	}
	authority, err := identity.OpenAuthority(filepath.Join(t.TempDir(), "identity"))
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := authority.ServerCertificate([]string{"127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	authorize := func(ctx context.Context) error {
		md, _ := metadata.FromIncomingContext(ctx)
		if got := md.Get("authorization"); len(got) != 1 || got[0] != "Bearer secret" {
			return status.Error(codes.Unauthenticated, "the token is unknown")
		}
		return nil
	}
	server := grpc.NewServer(
		grpc.Creds(credentials.NewServerTLSFromCert(&certificate)),
		grpc.UnaryInterceptor(func(ctx context.Context, r any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := authorize(ctx); err != nil {
				return nil, err
			}
			return next(ctx, r)
		}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if err := authorize(stream.Context()); err != nil {
				return err
			}
			return next(srv, stream)
		}),
	)
	s.register(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		<-served
	})
	f := &fixture{service: s, server: server, home: t.TempDir(), dir: t.TempDir(), address: listener.Addr().String()}
	f.env = map[string]string{"RECFLEET_CONTEXT": filepath.Join(f.home, "client.json")}
	client := identity.Client{Address: f.address, CACertificate: authority.CACertificate(), Token: "secret"}
	if err := client.Write(f.env["RECFLEET_CONTEXT"]); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) run(t *testing.T, args ...string) (exit int, stdout, stderr string) {
	t.Helper()
	return f.runContext(t.Context(), args...)
}

func (f *fixture) runContext(ctx context.Context, args ...string) (exit int, stdout, stderr string) {
	var out, errOut bytes.Buffer
	p := Program{
		Args: args, Getenv: func(name string) string { return f.env[name] }, Stdout: &out, Stderr: &errOut,
		StdoutTerminal: f.color, StderrTerminal: f.bars, Now: func() time.Time { return began.Add(time.Hour) }, Zone: time.UTC, Version: "v1",
	}
	if f.typed != nil {
		p.OpenTerminal = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(*f.typed)), nil }
	}
	if f.width > 0 {
		p.TerminalSize = func() (int, int) { return f.width, f.height }
	}
	if f.stdout != nil {
		p.Stdout = f.stdout
	}
	exit = p.Run(ctx)
	return exit, out.String(), errOut.String()
}
