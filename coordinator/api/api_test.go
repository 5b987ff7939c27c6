package api

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	grpcmetadata "google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/jobs"
	"github.com/recfleet/recfleet/coordinator/refusals"
	"github.com/recfleet/recfleet/coordinator/sessions"
	"github.com/recfleet/recfleet/coordinator/signer"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/identity"
	"github.com/recfleet/recfleet/internal/object"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// absentBus is a bus that is away.
type absentBus struct{}

func (absentBus) CreateSession(context.Context, string, int64) error {
	return errors.New("secret of the bus")
}
func (absentBus) GrantAgent(string, string) (bus.Grant, error)   { return bus.Grant{}, nil }
func (absentBus) GrantEncoder(string, string) (bus.Grant, error) { panic("secret of the program") }

// fixture is a server in this process with a real catalog and archive, and no bus.
type fixture struct {
	server  *grpc.Server
	catalog *catalog.Catalog
	archive object.Store
	conn    *grpc.ClientConn
	control *access.Control
	// database is the catalog's file.
	database string
	refusals *refusals.Book
	// thumbnails has sessions made with them.
	thumbnails bool
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	return newFixtureUnder(t, nil)
}

// breakAudit makes an audit log that cannot be written.
func (f *fixture) breakAudit(t *testing.T) {
	t.Helper()
	db, err := sql.Open("sqlite", f.database)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `CREATE TRIGGER disk_is_full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'disk is full'); END`); err != nil {
		t.Fatal(err)
	}
}

// newFixtureUnder has an access file.
func newFixtureUnder(t *testing.T, book *access.Book) *fixture {
	t.Helper()
	return newFixtureBy(t, func() *access.Book { return book })
}

// newFixtureBy has an access file that may change.
func newFixtureBy(t *testing.T, books func() *access.Book) *fixture {
	t.Helper()
	dir := t.TempDir()
	store, err := catalog.Open(t.Context(), filepath.Join(dir, "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	location, err := object.ParseLocation("file://" + dir + "/archive")
	if err != nil {
		t.Fatal(err)
	}
	archive, err := object.Open(t.Context(), location, object.Config{})
	if err != nil {
		t.Fatal(err)
	}
	control := access.New(store, access.Local(identity.Tokens{Admin: "admin", Agent: "agent", Encoder: "encoder"}), access.Made(store, books, time.Now))
	control.DemandReasons(books)
	denied := refusals.New(store, time.Now, hclog.NewNullLogger())
	control.Report(denied)
	board := jobs.New(jobs.Config{Catalog: store, Archive: archive, Lease: time.Minute, Ended: func() {}, Logger: hclog.NewNullLogger()})
	keys, err := signer.Open(filepath.Join(dir, "manifest.key"))
	if err != nil {
		t.Fatal(err)
	}
	server, err := NewServer(Config{
		Catalog: store, Board: board, Grants: absentBus{}, Store: archive, Location: location, Access: control, Book: books, Credentials: insecure.NewCredentials(),
		Keys: keys, Lease: time.Minute, Deleted: func() {}, Heard: func(catalog.Beat) {}, Logger: hclog.NewNullLogger(),
		Sessions: sessions.New(sessions.Config{
			Catalog: store, Bus: absentBus{}, Settings: sessions.Settings{FrameRate: 5, SegmentLength: time.Minute, SyncEvery: time.Second, Template: location.Template},
			Space: func() error { return nil }, Seen: func(string) {}, Ended: func() {}, Logger: hclog.NewNullLogger(),
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	listener := bufconn.Listen(1 << 20)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///test", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
		if err := errors.Join(<-served, store.Close(), archive.Close()); err != nil {
			t.Error(err)
		}
	})
	return &fixture{server, store, archive, conn, control, filepath.Join(dir, "catalog.db"), denied, false}
}

func admin(t *testing.T) context.Context {
	return grpcmetadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer admin")
}

func TestEveryMethodHasARight(t *testing.T) {
	f := newFixture(t)
	if err := f.control.Covers(f.server.GetServiceInfo()); err != nil {
		t.Error(err)
	}
	methods := 0
	for service, info := range f.server.GetServiceInfo() {
		for _, m := range info.Methods {
			methods++
			name := "/" + service + "/" + m.Name
			open := service == grpc_health_v1.Health_ServiceDesc.ServiceName || joining[name] || name == recfleetv1.AccessService_GetSignIn_FullMethodName
			if err := f.control.Check(t.Context(), name); (err == nil) != open {
				t.Errorf("%s without a token: %v", name, err)
			}
		}
	}
	if methods < 15 {
		t.Errorf("only %d methods were looked at", methods)
	}
}

func TestHealthIsOpenAndTheRestIsNot(t *testing.T) {
	f := newFixture(t)
	if got, err := grpc_health_v1.NewHealthClient(f.conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{}); err != nil || got.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("%v, %v", got, err)
	}
	_, err := recfleetv1.NewSessionServiceClient(f.conn).ListSessions(t.Context(), &recfleetv1.ListSessionsRequest{})
	if status.Code(err) != codes.Unauthenticated {
		t.Error(err)
	}
	stream, err := recfleetv1.NewRecordingServiceClient(f.conn).DownloadRecording(t.Context(), &recfleetv1.DownloadRecordingRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	if status.Code(err) != codes.Unauthenticated {
		t.Error(err)
	}
}

// What is wrong inside the server is not told.
func TestInternalsStayInside(t *testing.T) {
	f := newFixture(t)
	_, err := recfleetv1.NewAgentServiceClient(f.conn).StartSession(admin(t), goodStart())
	if status.Code(err) != codes.Unavailable || strings.Contains(err.Error(), "secret") {
		t.Errorf("bus away: %v", err)
	}
	_, err = recfleetv1.NewEncoderServiceClient(f.conn).Sync(admin(t), &recfleetv1.EncoderServiceSyncRequest{
		EncoderId: strings.Repeat("e", 16), BusPublicKey: goodStart().GetBusPublicKey(),
	})
	if status.Code(err) != codes.Internal || strings.Contains(err.Error(), "secret") {
		t.Errorf("panic: %v", err)
	}
	if err := f.catalog.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = recfleetv1.NewSessionServiceClient(f.conn).ListSessions(admin(t), &recfleetv1.ListSessionsRequest{})
	if status.Code(err) != codes.Unavailable || strings.Contains(err.Error(), "sql") {
		t.Errorf("catalog away: %v", err)
	}
}

func goodStart() *recfleetv1.StartSessionRequest {
	return &recfleetv1.StartSessionRequest{
		RequestId: strings.Repeat("r", 16), User: "ann", StartTime: timestamppb.New(time.Unix(1_700_000_000, 0)),
		Geometry: &recfleetv1.Geometry{Width: 1, Height: 8192}, BusPublicKey: "U" + strings.Repeat("A", 55),
	}
}

func goodSeal() *recfleetv1.SegmentSealed {
	return &recfleetv1.SegmentSealed{
		Segment: 1, Epoch: 1, ChunkCount: 1, ByteCount: 1, FrameCount: 1, Width: 1, Height: 1, ChainStart: make([]byte, 32), ChainEnd: make([]byte, 32),
		StartTime: timestamppb.New(time.Unix(1_700_000_000, 0)), EndTime: timestamppb.New(time.Unix(1_700_000_001, 0)),
	}
}

func sealReport(s *recfleetv1.SegmentSealed) *recfleetv1.ReportEventsRequest {
	return &recfleetv1.ReportEventsRequest{SessionId: "a", Events: []*recfleetv1.Event{{
		Number: 1, Time: timestamppb.New(time.Unix(1_700_000_000, 0)), Body: &recfleetv1.Event_SegmentSealed{SegmentSealed: s},
	}}}
}

func TestWrongFieldsAreNamed(t *testing.T) {
	if err := errors.Join(checkStart(goodStart()), checkReport(sealReport(goodSeal()))); err != nil {
		t.Fatal(err)
	}
	long := strings.Repeat("x", 64<<10)
	start := func(spoil func(r *recfleetv1.StartSessionRequest)) error {
		r := goodStart()
		spoil(r)
		return checkStart(r)
	}
	seal := func(spoil func(s *recfleetv1.SegmentSealed)) error {
		s := goodSeal()
		spoil(s)
		return checkReport(sealReport(s))
	}
	monitors := func(g *recfleetv1.Geometry) error {
		return checkReport(&recfleetv1.ReportEventsRequest{SessionId: "a", Events: []*recfleetv1.Event{{
			Number: 1, Time: goodStart().GetStartTime(), Body: &recfleetv1.Event_MonitorsChanged{MonitorsChanged: &recfleetv1.MonitorsChanged{Geometry: g}},
		}}})
	}
	many := map[string]string{}
	for i := range 65 {
		many[fmt.Sprint(i)] = ""
	}
	for i, c := range []struct {
		want string
		err  error
	}{
		{"request_id: ", start(func(r *recfleetv1.StartSessionRequest) { r.RequestId = "short" })},
		{"request_id: ", start(func(r *recfleetv1.StartSessionRequest) { r.RequestId += "\n" })},
		{"user: is 65536", start(func(r *recfleetv1.StartSessionRequest) { r.User = long })},
		{"user: holds control", start(func(r *recfleetv1.StartSessionRequest) { r.User = "a\x1b[2J" })},
		{"stack: ", start(func(r *recfleetv1.StartSessionRequest) { r.Stack = "a\nb" })},
		{"fleet: is not UTF-8", start(func(r *recfleetv1.StartSessionRequest) { r.Fleet = "\xff" })},
		{"instance: ", start(func(r *recfleetv1.StartSessionRequest) { r.Instance = long })},
		{"metadata: has 65", start(func(r *recfleetv1.StartSessionRequest) { r.Metadata = many })},
		{"metadata key: is missing", start(func(r *recfleetv1.StartSessionRequest) { r.Metadata = map[string]string{"": "v"} })},
		{"metadata[\"k\"]: is 65536", start(func(r *recfleetv1.StartSessionRequest) { r.Metadata = map[string]string{"k": long} })},
		{"start_time: is missing", start(func(r *recfleetv1.StartSessionRequest) { r.StartTime = nil })},
		{"start_time: is no time", start(func(r *recfleetv1.StartSessionRequest) { r.StartTime = &timestamppb.Timestamp{Seconds: 1 << 60} })},
		{"start_time: is no time", start(func(r *recfleetv1.StartSessionRequest) { r.StartTime = &timestamppb.Timestamp{} })},
		{"geometry: is missing", start(func(r *recfleetv1.StartSessionRequest) { r.Geometry = nil })},
		{"geometry.width: ", start(func(r *recfleetv1.StartSessionRequest) { r.Geometry.Width = 0 })},
		{"geometry.height: ", start(func(r *recfleetv1.StartSessionRequest) { r.Geometry.Height = 8193 })},
		{"geometry.monitors[0].x: ", start(func(r *recfleetv1.StartSessionRequest) {
			r.Geometry.Monitors = []*recfleetv1.Monitor{{X: 1 << 30, Width: 1, Height: 1}}
		})},
		{"bus_public_key: ", start(func(r *recfleetv1.StartSessionRequest) { r.BusPublicKey = "SUAA" })},
		{"agent_version: ", start(func(r *recfleetv1.StartSessionRequest) { r.AgentVersion = long })},
		{"session_id: ", checkReport(&recfleetv1.ReportEventsRequest{SessionId: "A*"})},
		{"events: are 1001", checkReport(&recfleetv1.ReportEventsRequest{SessionId: "a", Events: make([]*recfleetv1.Event, 1001)})},
		{"events[0].number: ", checkReport(&recfleetv1.ReportEventsRequest{SessionId: "a", Events: make([]*recfleetv1.Event, 1)})},
		{"events[0].body: ", checkReport(&recfleetv1.ReportEventsRequest{SessionId: "a", Events: []*recfleetv1.Event{{Number: 1, Time: goodStart().GetStartTime()}}})},
		{"events[0].monitors_changed.geometry: is missing", monitors(nil)},
		{"monitors_changed.geometry.width: ", monitors(&recfleetv1.Geometry{Width: 8193, Height: 1})},
		{"monitors_changed.geometry.monitors[0].height: ", monitors(&recfleetv1.Geometry{Width: 1, Height: 1, Monitors: []*recfleetv1.Monitor{{Width: 1}}})},
		{"monitors_changed.geometry.monitors: are 65", monitors(&recfleetv1.Geometry{Width: 1, Height: 1, Monitors: make([]*recfleetv1.Monitor, 65)})},
		{"segment_sealed.segment: ", seal(func(s *recfleetv1.SegmentSealed) { s.Segment = 0 })},
		{"segment_sealed.chunk_count: ", seal(func(s *recfleetv1.SegmentSealed) { s.ChunkCount = 1 << 30 })},
		{"segment_sealed.byte_count: ", seal(func(s *recfleetv1.SegmentSealed) { s.ByteCount = 256<<10 + 1 })},
		{"segment_sealed.frame_count: ", seal(func(s *recfleetv1.SegmentSealed) { s.FrameCount = 0 })},
		{"segment_sealed.end_time: ", seal(func(s *recfleetv1.SegmentSealed) { s.EndTime = s.StartTime })},
		{"segment_sealed.end_time: ", seal(func(s *recfleetv1.SegmentSealed) { s.EndTime = timestamppb.New(time.Unix(1_800_000_000, 0)) })},
		{"segment_sealed.chain_end: ", seal(func(s *recfleetv1.SegmentSealed) { s.ChainEnd = make([]byte, 31) })},
		{"awaiting_receipt[0]: ", checkAgentSync(&recfleetv1.AgentServiceSyncRequest{SessionId: "a", AwaitingReceipt: []int32{0}})},
		{"bus_public_key: ", checkAgentSync(&recfleetv1.AgentServiceSyncRequest{SessionId: "a", RenewBus: true})},
		{"end_time: ", checkEnd(&recfleetv1.EndSessionRequest{SessionId: "a"})},
		{"last_segment: ", checkEnd(&recfleetv1.EndSessionRequest{SessionId: "a", EndTime: goodStart().GetStartTime(), LastSegment: -1})},
		{"encoder_id: ", checkEncoderSync(&recfleetv1.EncoderServiceSyncRequest{})},
		{"held[0].job_id: ", checkEncoderSync(&recfleetv1.EncoderServiceSyncRequest{EncoderId: strings.Repeat("e", 16), Held: []*recfleetv1.HeldLease{{JobId: "a.0"}}})},
		{"cause: ", checkFail(&recfleetv1.FailJobRequest{})},
		{"duration: ", checkComplete(&recfleetv1.CompleteJobRequest{})},
		{"states[0]: ", checkList(&recfleetv1.ListSessionsRequest{States: []recfleetv1.SessionState{99}})},
		{"page_size: ", checkList(&recfleetv1.ListSessionsRequest{PageSize: 501})},
		{"page_token: ", checkList(&recfleetv1.ListSessionsRequest{PageToken: long})},
		{"user: ", checkList(&recfleetv1.ListSessionsRequest{User: "\x00"})},
		{"user: is 65536", checkList(&recfleetv1.ListSessionsRequest{User: long})},
		{"fleet: holds control", checkList(&recfleetv1.ListSessionsRequest{Fleet: "\x1b[2J"})},
		{"text: is 65536", checkList(&recfleetv1.ListSessionsRequest{Text: long})},
		{"text: holds control", checkList(&recfleetv1.ListSessionsRequest{Text: "a\nb"})},
		{"order_by: ", checkList(&recfleetv1.ListSessionsRequest{OrderBy: "size"})},
		{"order_by: ", checkList(&recfleetv1.ListSessionsRequest{OrderBy: "user asc"})},
		{"started_after: ", checkList(&recfleetv1.ListSessionsRequest{StartedAfter: &timestamppb.Timestamp{}})},
		{"started_before: ", checkList(&recfleetv1.ListSessionsRequest{StartedBefore: &timestamppb.Timestamp{Seconds: 1 << 60}})},
		{"ended_after: ", checkList(&recfleetv1.ListSessionsRequest{EndedAfter: &timestamppb.Timestamp{Nanos: -1}})},
		{"ended_before: ", checkList(&recfleetv1.ListSessionsRequest{EndedBefore: &timestamppb.Timestamp{}})},
		{"active_at: ", checkList(&recfleetv1.ListSessionsRequest{ActiveAt: &timestamppb.Timestamp{}})},
		{"session_id: ", checkListRecordings(&recfleetv1.ListRecordingsRequest{})},
		{"page_size: ", checkListRecordings(&recfleetv1.ListRecordingsRequest{SessionId: "a", PageSize: 5001})},
		{"page_token: ", checkListRecordings(&recfleetv1.ListRecordingsRequest{SessionId: "a", PageToken: long})},
		{"reason: ", checkStop(&recfleetv1.StopSessionRequest{SessionId: "a", Reason: long})},
		{"segment: ", checkDownload(&recfleetv1.DownloadRecordingRequest{SessionId: "a"})},
		{"offset: ", checkDownload(&recfleetv1.DownloadRecordingRequest{SessionId: "a", Segment: 1, Offset: -1})},
		{"file: ", checkDownload(&recfleetv1.DownloadRecordingRequest{SessionId: "a", Segment: 1, File: 6})},
		{"segment: ", checkDownload(&recfleetv1.DownloadRecordingRequest{SessionId: "a", Segment: 1, File: recfleetv1.RecordingFile_RECORDING_FILE_EVENTS})},
	} {
		got, told := toStatus(c.err)
		message := status.Convert(got).Message()
		if status.Code(got) != codes.InvalidArgument || !told || !strings.Contains(message, c.want) || len(message) > 300 || strings.ContainsAny(message, "\n\x1b") {
			t.Errorf("%d: %v, want %q", i, got, c.want)
		}
	}
}

func TestBadQueriesOverTheWire(t *testing.T) {
	f := newFixture(t)
	client := recfleetv1.NewSessionServiceClient(f.conn)
	for _, r := range []*recfleetv1.ListSessionsRequest{{PageToken: "nonsense"}, {User: "a\nb"}, {PageSize: -1}} {
		if _, err := client.ListSessions(admin(t), r); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%v: %v", r, err)
		}
	}
	if _, err := client.GetSession(admin(t), &recfleetv1.GetSessionRequest{SessionId: "none"}); status.Code(err) != codes.NotFound {
		t.Error(err)
	}
	if _, err := client.GetSession(admin(t), &recfleetv1.GetSessionRequest{SessionId: "../etc"}); status.Code(err) != codes.InvalidArgument {
		t.Error(err)
	}
}
