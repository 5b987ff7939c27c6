package session

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/internal/bus"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var began = time.Unix(1_700_000_000, 0)

// coordinator answers as it is told to. There is no bus: nothing is published here.
type coordinator struct {
	mu       sync.Mutex
	starts   []*recfleetv1.StartSessionRequest
	start    []error // of the next calls
	settings *recfleetv1.CaptureSettings
	events   []*recfleetv1.Event
	forget   int // events that it loses before the next report
	take     int // events that it takes at once; 0 for all
	syncs    []*recfleetv1.AgentServiceSyncRequest
	answer   *recfleetv1.AgentServiceSyncResponse
	refuse   error // of Sync, events and end
	refused  int
	end      *recfleetv1.EndSessionRequest
	late     bool // an event was reported after the end
}

func (c *coordinator) StartSession(_ context.Context, q *recfleetv1.StartSessionRequest, _ ...grpc.CallOption) (*recfleetv1.StartSessionResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.starts = append(c.starts, q)
	if len(c.start) > 0 {
		err := c.start[0]
		if c.start = c.start[1:]; err != nil {
			return nil, err
		}
	}
	return &recfleetv1.StartSessionResponse{SessionId: "s1", Settings: c.settings}, nil
}

func (c *coordinator) ReportEvents(_ context.Context, q *recfleetv1.ReportEventsRequest, _ ...grpc.CallOption) (*recfleetv1.ReportEventsResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.events = c.events[:len(c.events)-min(c.forget, len(c.events))]
	c.forget = 0
	for _, e := range q.GetEvents() {
		switch n := int64(len(c.events)); {
		case c.refuse != nil:
			c.refused++
			return nil, c.refuse
		case e.GetNumber() > n+1:
			return nil, status.Error(codes.OutOfRange, "a hole")
		case c.take > 0 && n >= q.GetEvents()[0].GetNumber()-1+int64(c.take):
		case e.GetNumber() == n+1:
			c.events = append(c.events, e)
			c.late = c.late || c.end != nil
		}
	}
	return &recfleetv1.ReportEventsResponse{AcknowledgedThrough: int64(len(c.events))}, nil
}

func (c *coordinator) Sync(_ context.Context, q *recfleetv1.AgentServiceSyncRequest, _ ...grpc.CallOption) (*recfleetv1.AgentServiceSyncResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuse != nil {
		return nil, c.refuse
	}
	c.syncs = append(c.syncs, q)
	a := c.answer
	c.answer = nil
	if a == nil {
		a = &recfleetv1.AgentServiceSyncResponse{}
	}
	a.AcknowledgedThrough, a.NextSync = int64(len(c.events)), durationpb.New(10*time.Millisecond)
	return a, nil
}

func (c *coordinator) EndSession(_ context.Context, q *recfleetv1.EndSessionRequest, _ ...grpc.CallOption) (*recfleetv1.EndSessionResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end = q
	return &recfleetv1.EndSessionResponse{}, c.refuse
}

func (c *coordinator) is(what func() bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return what()
}

func await(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.After(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatal("it did not happen in time")
		case <-tick.C:
		}
	}
}

// registered returns a session of a spool with a segment that is sealed, and one that is published.
func registered(t *testing.T, id string) *spool.Session {
	t.Helper()
	p, err := spool.Open(spool.Config{Dir: t.TempDir() + "/spool", ReserveBytes: 4096, Logger: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	s, err := p.Create(spool.Registration{RequestID: NewRequestID(), SessionID: id, Start: began, User: "ann", Metadata: map[string]string{"k": "v"},
		Settings: spool.DefaultSettings()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for n := range 2 {
		start := began.Add(time.Duration(n) * time.Second)
		w, err := s.NewSegment(spool.SegmentConfig{Epoch: 1, Width: 1, Height: 1, Start: start})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("frame")); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.FrameEnd(start), w.Seal(start.Add(time.Second)), s.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.MarkPublished(1); err != nil {
		t.Fatal(err)
	}
	return s
}

// begin runs a session until the test ends or stop is called, which returns what Run did.
func begin(t *testing.T, c *coordinator, s *spool.Session) (link *Session, stop func() error) {
	t.Helper()
	key, err := bus.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	link = New(Config{Spool: s, Client: c, Key: key, Logger: hclog.NewNullLogger()})
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() { over <- link.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-over
	})
	t.Cleanup(func() { _ = stop() })
	return link, stop
}

func end(t *testing.T, s *spool.Session) {
	t.Helper()
	if err := s.Update(func(r *spool.Registration) { r.End, r.EndReason = began.Add(2*time.Second), "because" }); err != nil {
		t.Fatal(err)
	}
}

func TestModes(t *testing.T) {
	for name, want := range map[string]Mode{"": Strict, "strict": Strict, "grace": Grace, "best-effort": BestEffort} {
		if m, err := ParseMode(name); m != want || err != nil {
			t.Errorf("%q is %q, %v", name, m, err)
		}
	}
	for _, name := range []string{"Strict", "best effort", " ", strings.Repeat("x", 1000)} {
		if m, err := ParseMode(name); err == nil || len(err.Error()) > 120 {
			t.Errorf("%.20q is %q, %v", name, m, err)
		}
	}
	if Strict.Offline() || !Grace.Offline() || !BestEffort.Offline() || Mode("").Offline() {
		t.Error("who records before the session is registered")
	}
	for d, ok := range map[time.Duration]bool{time.Second: true, 24 * time.Hour: true, 0: false, -time.Second: false, 25 * time.Hour: false} {
		if err := CheckGrace(d); (err == nil) != ok {
			t.Errorf("%s: %v", d, err)
		}
	}
}

func TestSettingsAreCheckedBeforeTheyAreUsed(t *testing.T) {
	good := func() *recfleetv1.StartSessionResponse {
		return &recfleetv1.StartSessionResponse{SessionId: "s1", Settings: &recfleetv1.CaptureSettings{FrameRate: 5, SegmentLength: durationpb.New(time.Minute)}}
	}
	s, err := settingsOf(good())
	if err != nil || s.ChunkBytes != 256<<10 || s.SegmentBytes != spool.DefaultSegmentBytes {
		t.Errorf("%+v, %v", s, err)
	}
	for name, spoil := range map[string]func(a *recfleetv1.StartSessionResponse){
		"no id":          func(a *recfleetv1.StartSessionResponse) { a.SessionId = "" },
		"subject as id":  func(a *recfleetv1.StartSessionResponse) { a.SessionId = "a.>" },
		"no settings":    func(a *recfleetv1.StartSessionResponse) { a.Settings = nil },
		"frame rate":     func(a *recfleetv1.StartSessionResponse) { a.Settings.FrameRate = 61 },
		"segment length": func(a *recfleetv1.StartSessionResponse) { a.Settings.SegmentLength = durationpb.New(2 * time.Hour) },
		"chunk size":     func(a *recfleetv1.StartSessionResponse) { a.Settings.ChunkBytes = 1 << 30 },
		"segment size":   func(a *recfleetv1.StartSessionResponse) { a.Settings.SegmentBytes = -1 },
	} {
		a := good()
		spoil(a)
		if s, err := settingsOf(a); err == nil {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func unregistered(t *testing.T) (*spool.Session, Registrar, *coordinator, *spool.Settings) {
	t.Helper()
	c := &coordinator{settings: &recfleetv1.CaptureSettings{FrameRate: 7, SegmentLength: durationpb.New(time.Minute)}}
	key, err := bus.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	var remembered spool.Settings
	r := Registrar{Client: c, Key: key, AgentVersion: "test", Logger: hclog.NewNullLogger(),
		Remember: func(s spool.Settings) error {
			remembered = s
			return nil
		}}
	return registered(t, ""), r, c, &remembered
}

func TestModeIsTakenFromTheCoordinator(t *testing.T) {
	for order, want := range map[recfleetv1.RecordingMode]spool.Settings{
		recfleetv1.RecordingMode_RECORDING_MODE_UNSPECIFIED: {},
		recfleetv1.RecordingMode_RECORDING_MODE_STRICT:      {Mode: "strict"},
		recfleetv1.RecordingMode_RECORDING_MODE_GRACE:       {Mode: "grace", Grace: time.Minute},
		recfleetv1.RecordingMode_RECORDING_MODE_BEST_EFFORT: {Mode: "best-effort"},
		77: {},
	} {
		s, err := settingsOf(&recfleetv1.StartSessionResponse{SessionId: "s1", Settings: &recfleetv1.CaptureSettings{
			FrameRate: 5, SegmentLength: durationpb.New(time.Minute), Mode: order, Grace: durationpb.New(time.Minute),
		}})
		if err != nil || s.Mode != want.Mode || s.Grace != want.Grace {
			t.Errorf("%v: %+v, %v", order, s, err)
		}
	}
}

func TestRegisterTriesUntilThereIsAnAnswer(t *testing.T) {
	s, r, c, remembered := unregistered(t)
	away := status.Error(codes.Unavailable, "away")
	c.start = []error{away, status.Error(codes.DeadlineExceeded, "slow"), nil}
	if _, err := r.Register(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	reg := s.Registration()
	if reg.SessionID != "s1" || reg.Settings.FrameRate != 7 || *remembered != reg.Settings {
		t.Errorf("registration %+v, remembered %+v", reg, remembered)
	}
	for _, q := range c.starts {
		if q.GetRequestId() != reg.RequestID || !q.GetStartTime().AsTime().Equal(began) || q.GetUser() != "ann" || q.GetMetadata()["k"] != "v" {
			t.Errorf("asked %v", q)
		}
	}
	if len(c.starts) != 3 {
		t.Errorf("asked %d times", len(c.starts))
	}
}

func TestRegisterEnds(t *testing.T) {
	refused := status.Error(codes.FailedPrecondition, "not this user")
	for name, test := range map[string]struct {
		answers []error
		want    error
		calls   int
	}{
		"refused":                   {[]error{refused}, ErrRefused, 1},
		"wrong field":               {[]error{status.Error(codes.InvalidArgument, "user: is long")}, ErrRefused, 1},
		"unknown token":             {[]error{status.Error(codes.Unauthenticated, "who")}, ErrCredentials, 1},
		"token without the right":   {[]error{status.Error(codes.PermissionDenied, "no")}, ErrCredentials, 1},
		"refused after an outage":   {[]error{status.Error(codes.Unavailable, "away"), refused, refused}, ErrRefused, 3},
		"given up after an outage":  {[]error{status.Error(codes.Unavailable, "away"), refused, nil}, nil, 3},
		"credentials after a while": {[]error{status.Error(codes.Unavailable, "away"), status.Error(codes.Unauthenticated, "who")}, ErrCredentials, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s, r, c, _ := unregistered(t)
			c.start = test.answers
			_, err := r.Register(t.Context(), s)
			if !errors.Is(err, test.want) || len(c.starts) != test.calls || (err == nil) != (s.Registration().SessionID != "") {
				t.Errorf("%v after %d calls, session %q", err, len(c.starts), s.Registration().SessionID)
			}
			// Only a session that the coordinator may have made and given up is asked for under another id.
			var ids []string
			for _, q := range c.starts {
				if !slices.Contains(ids, q.GetRequestId()) {
					ids = append(ids, q.GetRequestId())
				}
			}
			if want := 1 + btoi(test.calls == 3); len(ids) != want {
				t.Errorf("asked under %q", ids)
			}
		})
	}
	s, r, c, _ := unregistered(t)
	c.start = slices.Repeat([]error{status.Error(codes.Unavailable, "away")}, 1000)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.Register(ctx, s); err == nil || s.Registration().SessionID != "" || !s.Registration().Tried {
		t.Errorf("%v, %+v", err, s.Registration())
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// The end is told after every event, and the session is done only with every receipt.
func TestEndComesAfterTheEventsAndReceiptsAfterTheEnd(t *testing.T) {
	s, c := registered(t, "s1"), &coordinator{}
	link, stop := begin(t, c, s)
	await(t, func() bool { return c.is(func() bool { return len(c.events) == 2 && len(c.syncs) > 0 }) })
	if c.is(func() bool { return c.end != nil }) {
		t.Fatal("ended while it is recorded")
	}
	end(t, s)
	await(t, func() bool { return s.Registration().Ended })
	if q := c.end; q.GetReason() != "because" || q.GetLastSegment() != 2 || q.GetLastEvent() != 2 || !q.GetEndTime().AsTime().Equal(began.Add(2*time.Second)) {
		t.Errorf("end %v", q)
	}
	if link.Complete() || c.is(func() bool { return c.late }) {
		t.Error("complete without receipts, or events after the end")
	}
	last := c.syncs[len(c.syncs)-1]
	if !slices.Equal(last.GetAwaitingReceipt(), []int32{1}) || last.GetSpooledBytes() != 10 {
		t.Errorf("sync %v", last)
	}
	if err := s.MarkPublished(2); err != nil {
		t.Fatal(err)
	}
	_, first, err := s.Chain(1)
	if err != nil {
		t.Fatal(err)
	}
	_, second, err := s.Chain(2)
	if err != nil {
		t.Fatal(err)
	}
	// A receipt for another chain frees nothing.
	c.is(func() bool {
		c.answer = &recfleetv1.AgentServiceSyncResponse{Receipts: []*recfleetv1.Receipt{
			{Segment: 1, ChunkCount: 1, ChainEnd: first[:]}, {Segment: 2, ChunkCount: 1, ChainEnd: first[:]},
			{Segment: 2, ChunkCount: 2, ChainEnd: second[:]}, {Segment: 9, ChunkCount: 1, ChainEnd: second[:]}, {Segment: 2, ChainEnd: []byte("x")},
		}}
		return true
	})
	await(t, func() bool { return s.Segments()[0].State == spool.StateFreed })
	if s.Segments()[1].State != spool.StatePublished {
		t.Fatalf("segment 2 is %s", s.Segments()[1].State)
	}
	c.is(func() bool {
		c.answer = &recfleetv1.AgentServiceSyncResponse{Receipts: []*recfleetv1.Receipt{{Segment: 2, ChunkCount: 1, ChainEnd: second[:]}}}
		return true
	})
	await(t, link.Complete)
	if err := stop(); err != nil {
		t.Error(err)
	}
}

func TestEndWaitsForEventsThatWereNotTaken(t *testing.T) {
	s, c := registered(t, "s1"), &coordinator{take: 1}
	end(t, s)
	_, stop := begin(t, c, s)
	await(t, func() bool { return s.Registration().Ended })
	if err := stop(); err != nil || len(c.events) != 2 || c.late {
		t.Errorf("%v, %d events, after the end: %v", err, len(c.events), c.late)
	}
}

func TestEventsThatTheCoordinatorLostAreToldAgain(t *testing.T) {
	s, c := registered(t, "s1"), &coordinator{}
	link, _ := begin(t, c, s)
	await(t, func() bool { return link.Reported() == 2 })
	c.is(func() bool { c.forget = 2; return true })
	if _, err := s.Append(spool.Event{Time: began, MetadataChanged: map[string]string{"a": "b"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return c.is(func() bool { return len(c.events) == 3 }) })
	for i, e := range c.events {
		if e.GetNumber() != int64(i+1) {
			t.Errorf("event %d is number %d", i+1, e.GetNumber())
		}
	}
}

func TestStopOrderIsDeliveredOnce(t *testing.T) {
	s, c := registered(t, "s1"), &coordinator{answer: &recfleetv1.AgentServiceSyncResponse{Stop: &recfleetv1.StopOrder{Reason: "enough"}}}
	link, stop := begin(t, c, s)
	if reason := <-link.Stop(); reason != "enough" {
		t.Errorf("reason %q", reason)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	select {
	case reason := <-link.Stop():
		t.Errorf("ordered again: %q", reason)
	default:
	}
}

// Which refusals leave something that can go on as another session.
func TestRefusals(t *testing.T) {
	for code, givenUp := range map[codes.Code]bool{codes.FailedPrecondition: true, codes.NotFound: true, codes.InvalidArgument: false} {
		s, c := registered(t, "s1"), &coordinator{refuse: status.Error(code, "no")}
		_, stop := begin(t, c, s)
		await(t, func() bool { return s.Registration().Refused != "" })
		if err := stop(); !errors.Is(err, ErrRefused) || errors.Is(err, ErrGivenUp) != givenUp {
			t.Errorf("%s: %v", code, err)
		}
	}
	// One that says nothing of the session does not end it.
	for _, code := range []codes.Code{codes.Unavailable, codes.DeadlineExceeded, codes.Internal, codes.Unauthenticated, codes.ResourceExhausted} {
		s, c := registered(t, "s1"), &coordinator{refuse: status.Error(code, "later")}
		link, stop := begin(t, c, s)
		await(t, func() bool { return c.is(func() bool { return c.refused >= 2 }) })
		c.is(func() bool { c.refuse = nil; return true })
		await(t, func() bool { return link.Reported() == 2 })
		if err := stop(); err != nil || s.Registration().Refused != "" {
			t.Errorf("%s: %v, %s", code, err, s.Registration().Refused)
		}
	}
}

// A right to publish is asked for where there is none.
func TestGrantIsAskedFor(t *testing.T) {
	s, c := registered(t, "s1"), &coordinator{}
	_, stop := begin(t, c, s)
	await(t, func() bool { return c.is(func() bool { return len(c.syncs) > 1 }) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for i, q := range c.syncs {
		if !q.GetRenewBus() || !strings.HasPrefix(q.GetBusPublicKey(), "U") {
			t.Errorf("sync %d: %v", i, q)
		}
	}
}

// Whoever starts a session reads why it may not be, in the coordinator's words.
func TestARefusalIsToldInTheCoordinatorsWords(t *testing.T) {
	answer := status.Error(codes.FailedPrecondition, "not to be recorded: test accounts")
	_, err := call(t.Context(), &struct{}{}, func(context.Context, *struct{}, ...grpc.CallOption) (*struct{}, error) { return nil, answer })
	if !errors.Is(err, ErrRefused) || status.Code(err) != codes.FailedPrecondition || err.Error() != "session refused by the coordinator: not to be recorded: test accounts" {
		t.Errorf("%v", err)
	}
}
