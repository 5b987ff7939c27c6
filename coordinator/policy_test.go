package coordinator_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/recfleet/recfleet/coordinator"
	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/policy"
	"github.com/recfleet/recfleet/internal/bus"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

const testPolicy = `
version: first
defaults: {mode: strict, notice: You are recorded., retention: 30d}
rules:
- {name: guests, match: {user: guest-*}, record: false, reason: Guests are not recorded.}
- {name: builders, match: {fleet: build-*}, mode: grace, grace: 90s, frame_rate: 2, segment_length: 1m, encode: {preset: fast, crf: 30}}
`

// governed is a world with a policy file, and a request to start a session there.
type governed struct {
	*world
	path   string
	reload chan os.Signal
}

func newGoverned(t *testing.T) governed {
	t.Helper()
	path := filepath.Join(t.TempDir(), "policy.yaml")
	g := governed{path: path, reload: make(chan os.Signal, 1)}
	g.write(t, testPolicy)
	file, err := policy.Open(path, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	g.world = newWorld(t, coordinator.Config{Policy: file, Reload: g.reload})
	return g
}

func (g governed) write(t *testing.T, text string) {
	t.Helper()
	if err := os.WriteFile(g.path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (g governed) start(t *testing.T, change func(*recfleetv1.StartSessionRequest)) (*recfleetv1.StartSessionResponse, error) {
	t.Helper()
	key, err := bus.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	r := startRequest(key.Public(), time.Now())
	change(r)
	return g.rpc().StartSession(t.Context(), r)
}

func TestPolicyIsAppliedToSessions(t *testing.T) {
	g := newGoverned(t)
	var request string
	answer, err := g.start(t, func(r *recfleetv1.StartSessionRequest) { r.Fleet, request = "build-7", r.GetRequestId() })
	if err != nil {
		t.Fatal(err)
	}
	s := answer.GetSettings()
	if s.GetFrameRate() != 2 || s.GetSegmentLength().AsDuration() != time.Minute || s.GetMode() != recfleetv1.RecordingMode_RECORDING_MODE_GRACE ||
		s.GetGrace().AsDuration() != 90*time.Second || s.GetNotice() != "You are recorded." {
		t.Errorf("settings %v", s)
	}
	kept := g.session(answer.GetSessionId()).GetPolicy()
	if kept.GetRule() != "builders" || kept.GetVersion() != "first" || len(kept.GetHash()) != 64 || kept.GetRetention().AsDuration() != 30*24*time.Hour {
		t.Errorf("the session keeps %v", kept)
	}
	if log := g.log.String(); !strings.Contains(log, "session began in a mode that is not strict") || !strings.Contains(log, "rule=builders") ||
		!strings.Contains(log, "policy_hash="+kept.GetHash()) {
		t.Errorf("log\n%s", log)
	}
	if again, err := g.start(t, func(r *recfleetv1.StartSessionRequest) { r.Fleet, r.RequestId = "build-7", request }); err != nil || again.GetSessionId() != answer.GetSessionId() {
		t.Errorf("the same request: %v, %v", again, err)
	}
	strict, err := g.start(t, func(*recfleetv1.StartSessionRequest) {})
	if err != nil || strict.GetSettings().GetMode() != recfleetv1.RecordingMode_RECORDING_MODE_STRICT || strict.GetSettings().GetFrameRate() != coordinator.DefaultFrameRate {
		t.Errorf("by the defaults %v, %v", strict, err)
	}
	records := g.audited(t)
	if len(records) != 1 || records[0].Action != "session.begin_not_strict" || records[0].Object != answer.GetSessionId() || records[0].Who != "agent" ||
		records[0].Reason != "mode grace for 1m30s by rule builders, policy "+kept.GetHash() {
		t.Errorf("audited %+v", records)
	}
}

// audited returns what is in the audit once the coordinator has stopped.
func (g governed) audited(t *testing.T) []catalog.AuditRecord {
	t.Helper()
	g.stop()
	c, err := catalog.Open(t.Context(), filepath.Join(g.dir, "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	records, _, err := c.ListAudit(t.Context(), catalog.AuditFilter{}, 100, "")
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(records, func(r catalog.AuditRecord) bool { return r.Action == "session.view" }) // the test's own looks
}

// An encoder is told what the session's policy says of mp4s.
func TestPolicyReachesEncoders(t *testing.T) {
	g := newGoverned(t)
	file := `rules: [{name: all, encode: {preset: fast, crf: 30}}]`
	g.write(t, file)
	g.reload <- syscall.SIGHUP
	g.until("the policy is read again", func() bool { return g.test(t, &recfleetv1.TestPolicyRequest{}).GetRule() == "all" })
	a := newAgent(g.world)
	a.segment(1)
	e := newEncoder(g.world)
	var leases []*recfleetv1.Lease
	g.until("a job", func() bool {
		leases = e.sync(1, time.Second).GetGranted()
		return len(leases) > 0
	})
	if s := leases[0].GetSettings(); s.GetPreset() != "fast" || s.GetCrf() != 30 {
		t.Errorf("encode settings %v", s)
	}
}

// What policy puts into a pool only the encoders of that pool get.
func TestPolicyChoosesThePool(t *testing.T) {
	g := newGoverned(t)
	g.write(t, `rules: [{name: gold, match: {fleet: build-*}, pool: gold}, {name: all}]`)
	g.reload <- syscall.SIGHUP
	g.until("the policy is read again", func() bool {
		return g.test(t, &recfleetv1.TestPolicyRequest{Fleet: "build-1"}).GetSettings().GetPool() == "gold"
	})
	pooled, open := newAgent(g.world, func(r *recfleetv1.StartSessionRequest) { r.Fleet = "build-1" }), newAgent(g.world)
	pooled.segment(1)
	open.segment(1)
	var granted []*recfleetv1.Lease
	sync := func(e *encoder) func() bool {
		return func() bool {
			granted = e.sync(9, time.Second).GetGranted()
			return len(granted) > 0
		}
	}
	g.until("both jobs", func() bool { return len(g.jobsOf(pooled.session)) == 1 && len(g.jobsOf(open.session)) == 1 })
	g.until("a job for anybody", sync(newEncoder(g.world)))
	if len(granted) != 1 || granted[0].GetSource().GetSessionId() != open.session {
		t.Errorf("anybody got %v", granted)
	}
	g.until("a job of the pool", sync(newEncoder(g.world, "gold")))
	if len(granted) != 1 || granted[0].GetSource().GetSessionId() != pooled.session {
		t.Errorf("the pool got %v", granted)
	}
}

func TestPolicyRefusesSessions(t *testing.T) {
	g := newGoverned(t)
	key, err := bus.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	request := startRequest(key.Public(), time.Now())
	request.User = "guest-1"
	var id string
	for range 2 {
		_, err := g.rpc().StartSession(t.Context(), request)
		st := status.Convert(err)
		if st.Code() != codes.FailedPrecondition || st.Message() != "not to be recorded: Guests are not recorded." || len(st.Details()) != 1 {
			t.Fatalf("status %v", st)
		}
		d, ok := st.Details()[0].(*recfleetv1.NotRecorded)
		if !ok || d.GetReason() != "Guests are not recorded." || d.GetRule() != "guests" || len(d.GetPolicyHash()) != 64 || id != "" && d.GetSessionId() != id {
			t.Fatalf("detail %v", st.Details()[0])
		}
		id = d.GetSessionId()
	}
	s := g.session(id)
	if s.GetState() != recfleetv1.SessionState_SESSION_STATE_REFUSED || s.GetStateReason() != "Guests are not recorded." || s.GetPolicy().GetRule() != "guests" {
		t.Errorf("session %v", s)
	}
	// A policy that is read again does not change what was answered.
	g.write(t, "version: second\nrules: []")
	g.reload <- syscall.SIGHUP
	g.until("the policy is read again", func() bool { return g.test(t, &recfleetv1.TestPolicyRequest{}).GetPolicyVersion() == "second" })
	if _, err := g.rpc().StartSession(t.Context(), request); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("the same request: %v", err)
	}
	if _, err := g.start(t, func(r *recfleetv1.StartSessionRequest) { r.User = "guest-1" }); err != nil {
		t.Errorf("a new one: %v", err)
	}
}

func (g governed) test(t *testing.T, r *recfleetv1.TestPolicyRequest) *recfleetv1.TestPolicyResponse {
	t.Helper()
	answer, err := recfleetv1.NewPolicyServiceClient(g.admin).TestPolicy(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestPolicyIsTested(t *testing.T) {
	g := newGoverned(t)
	answer := g.test(t, &recfleetv1.TestPolicyRequest{User: "ann", Fleet: "build-1"})
	s := answer.GetSettings()
	if answer.GetRule() != "builders" || answer.GetPolicyVersion() != "first" || !s.GetRecord() || s.GetMode() != recfleetv1.RecordingMode_RECORDING_MODE_GRACE ||
		s.GetFrameRate() != 2 || s.GetEncode().GetCrf() != 30 || s.GetEncode().GetPreset() != "fast" || s.GetRetention().AsDuration() != 30*24*time.Hour {
		t.Errorf("%v", answer)
	}
	if trials := answer.GetTrials(); len(trials) != 2 || trials[0].GetMismatch() != "user" || !trials[1].GetMatched() {
		t.Errorf("trials %v", trials)
	}
	none := g.test(t, &recfleetv1.TestPolicyRequest{User: "ann"})
	if s := none.GetSettings(); none.GetRule() != "" || s.GetFrameRate() != coordinator.DefaultFrameRate || s.GetSegmentLength().AsDuration() != coordinator.DefaultSegmentLength ||
		s.GetEncode().GetCrf() != 23 || s.GetEncode().GetPreset() != "veryfast" {
		t.Errorf("by the defaults %v", none)
	}
	if no := g.test(t, &recfleetv1.TestPolicyRequest{User: "guest-2"}).GetSettings(); no.GetRecord() || no.GetReason() == "" {
		t.Errorf("guests %v", no)
	}
	client := recfleetv1.NewPolicyServiceClient(g.admin)
	for field, r := range map[string]*recfleetv1.TestPolicyRequest{
		"user": {User: "a\nb"}, "groups[0]": {Groups: []string{""}}, "fleet": {Fleet: strings.Repeat("x", 64<<10)}, "metadata": {Metadata: map[string]string{"a": "\x00"}},
	} {
		if _, err := client.TestPolicy(t.Context(), r); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := recfleetv1.NewPolicyServiceClient(g.agents).TestPolicy(t.Context(), &recfleetv1.TestPolicyRequest{}); status.Code(err) != codes.PermissionDenied {
		t.Errorf("an agent asked: %v", err)
	}
	if got, err := client.GetPolicySchema(t.Context(), &recfleetv1.GetPolicySchemaRequest{}); err != nil || !strings.Contains(string(got.GetSchema()), `"$schema"`) {
		t.Errorf("schema: %v", err)
	}
}

// Without a policy nothing is different from before.
func TestNoPolicy(t *testing.T) {
	w := newWorld(t, coordinator.Config{})
	answer, err := governed{world: w}.start(t, func(*recfleetv1.StartSessionRequest) {})
	if err != nil {
		t.Fatal(err)
	}
	if s := answer.GetSettings(); s.GetMode() != recfleetv1.RecordingMode_RECORDING_MODE_UNSPECIFIED || s.GetGrace() != nil || s.GetNotice() != "" {
		t.Errorf("settings %v", s)
	}
	if w.session(answer.GetSessionId()).GetPolicy() != nil {
		t.Error("the session has a policy")
	}
	if p := (governed{world: w}).test(t, &recfleetv1.TestPolicyRequest{}); p.GetPolicyHash() != "" || !p.GetSettings().GetRecord() {
		t.Errorf("tested %v", p)
	}
}
