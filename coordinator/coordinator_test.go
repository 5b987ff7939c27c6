package coordinator_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/coordinator"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/chunk"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

func wantCode(t *testing.T, err error, want codes.Code, text string) {
	t.Helper()
	if status.Code(err) != want || !strings.Contains(status.Convert(err).Message(), text) {
		t.Errorf("%v, want %v with %q", err, want, text)
	}
}

// manifest is what a reader of manifest.json needs.
type manifest struct {
	Session struct {
		State, ID, User string
	}
	RecordedSeconds float64 `json:"recorded_seconds"`
	MissingSeconds  float64 `json:"missing_seconds"`
	Segments        []struct {
		Number     int
		State      string
		SealedBy   string `json:"sealed_by"`
		Frames     int64
		ChainStart string `json:"chain_start"`
		Broken     bool   `json:"chain_broken_before"`
		ChainEnd   string `json:"chain_end"`
		Object     *struct{ Key, SHA256 string }
	}
	Gaps []struct{ Cause string }
}

func TestSessionFromStartToEnd(t *testing.T) {
	w := newWorld(t, coordinator.Config{SegmentLength: 20 * time.Second})
	a, e := newAgent(w), newEncoder(w)
	if got := w.session(a.session).GetState(); got != recfleetv1.SessionState_SESSION_STATE_RECORDING {
		t.Errorf("state %v", got)
	}
	a.segment(10)
	seal, chunks := a.record(10)
	a.publish(chunks...)
	if got := a.sync(2); len(got.GetReceipts())+len(got.GetMissing()) != 0 {
		t.Errorf("a segment nobody has sealed got %v", got)
	}
	a.report(&recfleetv1.Event{Body: &recfleetv1.Event_MonitorsChanged{MonitorsChanged: &recfleetv1.MonitorsChanged{
		Geometry: &recfleetv1.Geometry{Width: 801, Height: 601, Monitors: []*recfleetv1.Monitor{{Name: "left", Width: 400, Height: 601, Primary: true}}},
	}}})
	a.report(sealed(seal), &recfleetv1.Event{Body: &recfleetv1.Event_MetadataChanged{MetadataChanged: &recfleetv1.MetadataChanged{Metadata: map[string]string{"k": "v"}}}})
	e.work(1)
	if got := a.sync(2, 1); len(got.GetReceipts()) != 2 || got.GetAcknowledgedThrough() != a.events {
		t.Errorf("orders %v", got)
	}
	a.end(40 * time.Second)
	e.work(1)
	s := w.await(a.session, recfleetv1.SessionState_SESSION_STATE_COMPLETE)
	if s.GetRecordedDuration().AsDuration() != 40*time.Second || s.GetGapCount() != 0 || s.GetArchivedSegmentCount() != 2 || s.GetStateReason() != "" {
		t.Errorf("%v", s)
	}
	if got := a.sync(2); len(got.GetReceipts()) != 1 {
		t.Errorf("the receipt was withdrawn: %v", got)
	}
	if held, err := w.broker.Segments(t.Context(), a.session); err != nil || len(held) != 0 {
		t.Errorf("the bus still holds %v, %v", held, err)
	}
	var m manifest
	w.document(a.prefix+"manifest.json", &m)
	if m.Session.State != "complete" || m.Session.ID != a.session || len(m.Segments) != 2 || m.RecordedSeconds != 40 || len(m.Gaps) != 0 ||
		m.Segments[0].ChainStart != chunk.Genesis(a.session).String() || m.Segments[0].ChainEnd != m.Segments[1].ChainStart ||
		m.Segments[1].Object == nil || m.Segments[1].Object.Key != a.prefix+"video-000002.mp4" {
		t.Errorf("%+v", m)
	}
	var facts map[string]any
	w.document(a.prefix+"metadata.json", &facts)
	for name, want := range map[string]string{"UserName": "ann@example.org", "StackName": "s-1", "FleetName": "f-1", "ImageArn": "arn:image", "SessionId": "platform-7"} {
		if facts[name] != want {
			t.Errorf("%s is %v, want %s", name, facts[name], want)
		}
	}
	var monitors struct {
		Changes []struct {
			Time     time.Time
			Geometry struct{ Monitors []struct{ Name string } }
		} `json:"monitor_changes"`
	}
	w.document(a.prefix+"metadata.json", &monitors)
	if c := monitors.Changes; len(c) != 1 || !c[0].Time.Equal(a.began) || len(c[0].Geometry.Monitors) != 1 || c[0].Geometry.Monitors[0].Name != "left" {
		t.Errorf("%+v", c)
	}
	w.testRecordings(a, m.Segments[1].Object.SHA256)
}

func (w *world) testRecordings(a *agent, sum string) {
	w.t.Helper()
	client, ctx := recfleetv1.NewRecordingServiceClient(w.admin), w.t.Context()
	list, err := client.ListRecordings(ctx, &recfleetv1.ListRecordingsRequest{SessionId: a.session})
	if err != nil || len(list.GetRecordings()) != 2 || list.GetRecordings()[0].GetLocation() != "file://"+w.dir+"/archive/"+a.prefix+"video-000001.mp4" {
		w.t.Fatalf("%v, %v", list, err)
	}
	size := list.GetRecordings()[1].GetBytes()
	load := func(offset int64) ([]byte, error) {
		stream, err := client.DownloadRecording(ctx, &recfleetv1.DownloadRecordingRequest{SessionId: a.session, Segment: 2, Offset: offset})
		if err != nil {
			return nil, err
		}
		var got []byte
		for n := 0; ; n++ {
			m, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return got, nil
			}
			if err != nil {
				return got, err
			}
			if (m.GetRecording() != nil) != (n == 0) || len(m.GetData()) > 64<<10 {
				w.t.Errorf("message %d: %v, %d bytes", n, m.GetRecording(), len(m.GetData()))
			}
			got = append(got, m.GetData()...)
		}
	}
	whole, err := load(0)
	if err != nil || int64(len(whole)) != size || chunk.Sum(whole).String() != sum {
		w.t.Fatalf("%d bytes, %v", len(whole), err)
	}
	for _, offset := range []int64{1, 100_000, size - 1, size} {
		if got, err := load(offset); err != nil || !bytes.Equal(got, whole[offset:]) {
			w.t.Errorf("from %d: %d bytes, %v", offset, len(got), err)
		}
	}
	_, err = load(size + 1)
	wantCode(w.t, err, codes.OutOfRange, "offset")
}

func TestMissingChunksAreNamedAndForksRaiseAnAlarm(t *testing.T) {
	w := newWorld(t, coordinator.Config{})
	a := newAgent(w)
	seal, chunks := a.record(5)
	a.publish(chunks[1], chunks[3])
	a.report(sealed(seal))
	got := a.sync(1)
	if m := got.GetMissing(); len(got.GetReceipts()) != 0 || len(m) != 1 || m[0].GetSegment() != 1 || !slices.Equal(m[0].GetSeqs(), []int32{0, 2, 4}) {
		t.Fatalf("%v", got)
	}
	a.publish(chunks[0], chunks[2], chunks[4])
	if got := a.sync(1); len(got.GetReceipts()) != 1 {
		t.Fatalf("%v", got)
	}
	// Segment 2 lies on the bus with another content than was sealed.
	seal, chunks = a.record(2)
	forged := chunks[1]
	forged.Payload = append(bytes.Clone(forged.Payload[:len(forged.Payload)-1]), '!')
	forged.Sum = chunk.Sum(forged.Payload)
	forged.Chain = chunks[0].Chain.Next(forged.Sum)
	a.publish(chunks[0], forged)
	a.report(sealed(seal))
	if got := a.sync(2); len(got.GetReceipts())+len(got.GetMissing()) != 0 {
		t.Errorf("a fork got %v", got)
	}
	if !strings.Contains(w.log.String(), "chunk fork seen") {
		t.Error("no alarm")
	}
}

func TestLostAgent(t *testing.T) {
	w := newWorld(t, coordinator.Config{GiveUp: 1500 * time.Millisecond})
	a, e := newAgent(w), newEncoder(w)
	a.segment(10)
	// Segment 2 is sealed, and its receipt was never asked for; of segment 3 the bus holds four chunks with a hole.
	seal, chunks := a.record(10)
	a.publish(chunks...)
	a.report(sealed(seal))
	_, chunks = a.record(5)
	a.publish(chunks[0], chunks[1], chunks[3])

	w.until("loss noticed", func() bool { return strings.Contains(w.log.String(), "lost session closed") })
	_, err := w.rpc().Sync(t.Context(), &recfleetv1.AgentServiceSyncRequest{SessionId: a.session})
	wantCode(t, err, codes.FailedPrecondition, "ended")
	late := sealed(seal)
	late.Number, late.Time = a.events+1, timestamppb.New(a.began)
	_, err = w.rpc().ReportEvents(t.Context(), &recfleetv1.ReportEventsRequest{SessionId: a.session, Events: []*recfleetv1.Event{late}})
	wantCode(t, err, codes.FailedPrecondition, "ended")

	e.work(3)
	s := w.await(a.session, recfleetv1.SessionState_SESSION_STATE_INTERRUPTED)
	if s.GetSegmentCount() != 3 || !strings.Contains(s.GetStateReason(), "not heard of") {
		t.Errorf("%v", s)
	}
	third := s.GetSegments()[2]
	if third.GetFrameCount() != 20 || third.GetChunkCount() != 2 || !third.GetEndTime().AsTime().Equal(a.began.Add(44*time.Second)) ||
		third.GetCapturedBytes() != chunks[2].Offset {
		t.Errorf("segment 3: %v", third)
	}
	// The session began an hour before it was registered and was found lost a moment later; its own time line says that it
	// ended with what it recorded.
	if !s.GetEndTime().AsTime().Equal(third.GetEndTime().AsTime()) {
		t.Errorf("ends %v", s.GetEndTime().AsTime())
	}
	var m manifest
	w.document(a.prefix+"manifest.json", &m)
	if m.Session.State != "interrupted" || m.Segments[0].SealedBy != "agent" || m.Segments[2].SealedBy != "coordinator" {
		t.Errorf("%+v", m)
	}
}

func TestLostAgentLeavesAGap(t *testing.T) {
	w := newWorld(t, coordinator.Config{GiveUp: 2500 * time.Millisecond})
	a, e := newAgent(w), newEncoder(w)
	seal, chunks := a.record(1)
	// Its only frames are the first 200 ms, so that the rest until it is found lost is missing.
	seal.FrameCount, seal.EndTime = 1, timestamppb.New(a.began.Add(200*time.Millisecond))
	chunks[0].Frames, chunks[0].LastFrame = 1, a.began
	a.publish(chunks...)
	e.work(1)
	s := w.await(a.session, recfleetv1.SessionState_SESSION_STATE_INTERRUPTED)
	if len(s.GetGaps()) != 1 || s.GetGaps()[0].GetCause() != "agent_lost" || s.GetGapDuration().AsDuration() < 2*time.Second ||
		s.GetGapDuration().AsDuration() > 20*time.Second || !s.GetGaps()[0].GetEndTime().AsTime().Equal(s.GetEndTime().AsTime()) {
		t.Errorf("%v", s)
	}
}

// Pictures after a hole in the chain are kept, and the hole is a gap however short it is.
func TestLostAgentWithABrokenChain(t *testing.T) {
	w := newWorld(t, coordinator.Config{GiveUp: 1500 * time.Millisecond})
	a, e := newAgent(w), newEncoder(w)
	_, first := a.record(10)
	// The chunk that is missing held one frame.
	first[8].Frames, first[8].LastFrame = 99, first[9].LastFrame.Add(-200*time.Millisecond)
	_, second := a.record(5)
	a.publish(first[:9]...)
	a.publish(second...)
	e.work(2)
	s := w.await(a.session, recfleetv1.SessionState_SESSION_STATE_INTERRUPTED)
	from, to := a.began.Add(19800*time.Millisecond), a.began.Add(20*time.Second)
	if g := s.GetGaps(); len(g) != 1 || g[0].GetCause() != "agent_lost" || !g[0].GetStartTime().AsTime().Equal(from) || !g[0].GetEndTime().AsTime().Equal(to) {
		t.Errorf("%v", g)
	}
	var m manifest
	w.document(a.prefix+"manifest.json", &m)
	if len(m.Segments) != 2 || m.Segments[0].Broken || m.Segments[0].Frames != 99 || !m.Segments[1].Broken || m.Segments[1].ChainStart != "" ||
		m.Segments[1].Frames != 50 || m.Segments[1].ChainEnd != second[4].Chain.String() {
		t.Errorf("%+v", m)
	}
	if !strings.Contains(w.log.String(), "hash chain broken") {
		t.Error("no alarm")
	}
}

func TestAgentThatEndsAndBringsNoMoreIsLost(t *testing.T) {
	w := newWorld(t, coordinator.Config{GiveUp: 1500 * time.Millisecond})
	a, e := newAgent(w), newEncoder(w)
	a.segment(10)
	seal, chunks := a.record(10)
	a.publish(chunks[:4]...)
	a.report(sealed(seal))
	a.end(40 * time.Second)
	e.work(2)
	s := w.await(a.session, recfleetv1.SessionState_SESSION_STATE_INTERRUPTED)
	if len(s.GetGaps()) != 1 || s.GetGapDuration().AsDuration() != 12*time.Second || !s.GetEndTime().AsTime().Equal(a.began.Add(40*time.Second)) {
		t.Errorf("%v", s)
	}
}

func TestRestartLosesNothing(t *testing.T) {
	w := newWorld(t, coordinator.Config{GiveUp: 4 * time.Second})
	a, e := newAgent(w), newEncoder(w)
	a.segment(10)
	lease := e.sync(1, 10*time.Second).GetGranted()[0]
	request := e.archive(lease)

	w.stop()
	w.start()
	seal, chunks := a.record(10)
	a.publish(chunks...)
	a.report(sealed(seal))
	if got := a.sync(1, 2); len(got.GetReceipts()) != 2 {
		t.Errorf("%v", got)
	}
	held := &recfleetv1.HeldLease{JobId: lease.GetJobId(), Generation: lease.GetGeneration()}
	if got := e.sync(0, 0, held); len(got.GetLostJobIds()) != 0 {
		t.Errorf("a lease was lost over the restart: %v", got)
	}
	for range 2 {
		if _, err := w.jobs().CompleteJob(t.Context(), request); err != nil {
			t.Fatal(err)
		}
	}
	a.end(40 * time.Second)
	w.stop()
	w.start()
	e.work(1)
	w.await(a.session, recfleetv1.SessionState_SESSION_STATE_COMPLETE)
}

func TestEmptySession(t *testing.T) {
	w := newWorld(t, coordinator.Config{})
	a := newAgent(w)
	a.end(3 * time.Second)
	s := w.await(a.session, recfleetv1.SessionState_SESSION_STATE_EMPTY)
	if s.GetStateReason() != "nothing was captured" || len(s.GetGaps()) != 1 || s.GetGaps()[0].GetCause() != "nothing_recorded" {
		t.Errorf("%v", s)
	}
	_, err := w.rpc().EndSession(t.Context(), &recfleetv1.EndSessionRequest{SessionId: a.session, EndTime: timestamppb.Now()})
	if err != nil {
		t.Error(err)
	}
}

func TestHolesAreDeclared(t *testing.T) {
	w := newWorld(t, coordinator.Config{})
	a, e := newAgent(w), newEncoder(w)
	a.segment(10) // 0 to 20 s
	a.segment(5)  // 20 to 30 s
	a.segment(10) // 40 to 60 s
	a.segment(10) // 60 to 80 s
	a.report(&recfleetv1.Event{Body: &recfleetv1.Event_GapDeclared{GapDeclared: &recfleetv1.GapDeclared{
		StartTime: timestamppb.New(a.began.Add(30 * time.Second)), EndTime: timestamppb.New(a.began.Add(35 * time.Second)), Cause: "capture_restarted",
	}}})
	a.end(80*time.Second + 500*time.Millisecond)
	e.work(4)
	s := w.await(a.session, recfleetv1.SessionState_SESSION_STATE_COMPLETE)
	if g := s.GetGaps(); len(g) != 2 || g[0].GetCause() != "capture_restarted" || g[1].GetCause() != "unexplained" ||
		!g[1].GetStartTime().AsTime().Equal(a.began.Add(35*time.Second)) || !g[1].GetEndTime().AsTime().Equal(a.began.Add(40*time.Second)) {
		t.Errorf("%v", g)
	}
	if !strings.Contains(w.log.String(), "unexplained gap found") {
		t.Error("no alarm")
	}
}

func TestSettingsAreAnswered(t *testing.T) {
	start := func(w *world) *recfleetv1.CaptureSettings {
		t.Helper()
		key, err := bus.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		got, err := w.rpc().StartSession(t.Context(), startRequest(key.Public(), time.Now()))
		if err != nil {
			t.Fatal(err)
		}
		return got.GetSettings()
	}
	w := newWorld(t, coordinator.Config{})
	if s := start(w); s.GetFrameRate() != 5 || s.GetSegmentLength().AsDuration() != 5*time.Minute || s.GetSegmentBytes() != 512<<20 || s.GetChunkBytes() != 256<<10 {
		t.Errorf("defaults: %v", s)
	}
	w.stop()
	w.settings = coordinator.Config{FrameRate: 7, SegmentLength: time.Minute, SegmentBytes: 3 << 20}
	w.start()
	if s := start(w); s.GetFrameRate() != 7 || s.GetSegmentLength().AsDuration() != time.Minute || s.GetSegmentBytes() != 3<<20 {
		t.Errorf("%v", s)
	}
}

func TestStopOrder(t *testing.T) {
	w := newWorld(t, coordinator.Config{})
	a := newAgent(w)
	if got := a.sync(); got.GetStop() != nil || got.GetNextSync().AsDuration() != 5*time.Second {
		t.Errorf("%v", got)
	}
	people := recfleetv1.NewSessionServiceClient(w.admin)
	for _, reason := range []string{"audit", "second"} {
		got, err := people.StopSession(t.Context(), &recfleetv1.StopSessionRequest{SessionId: a.session, Reason: reason})
		if err != nil || got.GetSession().GetStopReason() != "audit" {
			t.Fatalf("%v, %v", got, err)
		}
	}
	if got := a.sync(); got.GetStop().GetReason() != "audit" {
		t.Errorf("%v", got)
	}
	a.end(time.Second)
	if got := a.sync(); got.GetStop() != nil {
		t.Errorf("stopped twice: %v", got)
	}
	_, err := people.StopSession(t.Context(), &recfleetv1.StopSessionRequest{SessionId: "none"})
	wantCode(t, err, codes.NotFound, "not found")
}

func TestFullDiskRefusesNewSessions(t *testing.T) {
	free := uint64(499_000_000)
	w := newWorld(t, coordinator.Config{FreeBytes: func() (uint64, error) { return free, nil }})
	key, err := bus.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.rpc().StartSession(t.Context(), startRequest(key.Public(), time.Now()))
	wantCode(t, err, codes.FailedPrecondition, "499 MB")
}

func TestRoles(t *testing.T) {
	w := newWorld(t, coordinator.Config{})
	_, err := recfleetv1.NewSessionServiceClient(w.agents).ListSessions(t.Context(), &recfleetv1.ListSessionsRequest{})
	wantCode(t, err, codes.PermissionDenied, "")
	_, err = recfleetv1.NewEncoderServiceClient(w.agents).Sync(t.Context(), &recfleetv1.EncoderServiceSyncRequest{})
	wantCode(t, err, codes.PermissionDenied, "")
	stranger := w.dial("nobody")
	defer stranger.Close()
	_, err = recfleetv1.NewAgentServiceClient(stranger).Sync(t.Context(), &recfleetv1.AgentServiceSyncRequest{})
	wantCode(t, err, codes.Unauthenticated, "")
	_, err = recfleetv1.NewAgentServiceClient(w.admin).Sync(t.Context(), &recfleetv1.AgentServiceSyncRequest{})
	wantCode(t, err, codes.InvalidArgument, "session_id")
}

func TestPageIsOnTheSamePort(t *testing.T) {
	w := newWorld(t, coordinator.Config{})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(w.authority.CACertificate()))
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	answer, err := client.Get("https://" + w.address + "/login")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK || !bytes.Contains(body, []byte("<html")) {
		t.Errorf("%s: %s, %v", answer.Status, body, err)
	}
}

func TestBadSettings(t *testing.T) {
	for _, cfg := range []coordinator.Config{{FrameRate: 61}, {SegmentLength: time.Millisecond}, {GiveUp: time.Millisecond}, {SegmentBytes: 1}, {}} {
		if err := coordinator.Run(t.Context(), cfg); !errors.Is(err, coordinator.ErrConfig) {
			t.Errorf("%v", err)
		}
	}
}
