package appstream

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service speaks the platform's JSON protocol.
type service struct {
	url string

	mu        sync.Mutex
	sessions  []map[string]any
	throttled int    // calls that are refused at first
	broken    string // the error of every call
	expired   []string
	calls     int
	asked     []string // ways of authentication
}

func newService(t *testing.T) *service {
	t.Helper()
	s := &service{}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	s.url = server.URL
	t.Setenv("AWS_ACCESS_KEY_ID", "id")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_REGION", "")
	return s
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("Connection", "close")
	refuse := func(kind string) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, `{"__type":"com.amazonaws.appstream#%s","message":"because\nof this"}`, kind)
	}
	if s.throttled > 0 {
		s.throttled--
		refuse("ThrottlingException")
		return
	}
	if s.broken != "" {
		refuse(s.broken)
		return
	}
	var in struct{ SessionId, StackName, FleetName, AuthenticationType, NextToken string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || !strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/appstream/") {
		refuse("BadRequestException")
		return
	}
	switch r.Header.Get("X-Amz-Target") {
	case "PhotonAdminProxyService.ExpireSession":
		if in.SessionId == "unknown" {
			refuse("ResourceNotFoundException")
			return
		}
		s.expired = append(s.expired, in.SessionId)
		fmt.Fprint(w, "{}")
	case "PhotonAdminProxyService.DescribeSessions":
		s.asked = append(s.asked, in.AuthenticationType)
		var mine []map[string]any
		for _, one := range s.sessions {
			if one["StackName"] == in.StackName && one["FleetName"] == in.FleetName && one["AuthenticationType"] == in.AuthenticationType {
				mine = append(mine, one)
			}
		}
		// A page holds one session.
		page := 0
		if in.NextToken != "" {
			fmt.Sscan(in.NextToken, &page)
		}
		answer := map[string]any{"Sessions": []any{}}
		if page < len(mine) {
			answer["Sessions"] = mine[page : page+1]
		}
		if page+1 < len(mine) {
			answer["NextToken"] = fmt.Sprint(page + 1)
		}
		_ = json.NewEncoder(w).Encode(answer)
	default:
		refuse("UnknownOperationException")
	}
}

// set changes what the service does.
func (s *service) set(change func(*service)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *service) ended() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string{}, s.expired...)
}

func visit(id, user, connection string, start time.Time) map[string]any {
	return map[string]any{
		"Id": id, "UserId": user, "StackName": "stack", "FleetName": "fleet", "State": "ACTIVE", "AuthenticationType": "SAML",
		"ConnectionState": connection, "StartTime": float64(start.UnixMilli()) / 1000,
	}
}

// fixture is a Watch over a real catalog and a platform on a port, with a clock that tests move.
type fixture struct {
	*Watch
	t       *testing.T
	catalog *catalog.Catalog
	service *service
	log     *logged
	clock   time.Time
}

type logged struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), text)
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, service: newService(t), log: &logged{}, clock: time.Now()}
	store, err := catalog.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	f.catalog = store
	p, err := policy.Parse(fmt.Appendf(nil, `
defaults: {enforce: expire_session}
rules: [{name: guests, match: {user: guest}, record: false}]
appstream: {region: eu-west-1, endpoint: %q, expire_after: 60s, alarm_after: 60s, watch: [{stack: stack, fleet: fleet}]}`, f.service.url))
	if err != nil {
		t.Fatal(err)
	}
	f.Watch = New(Config{
		Catalog: store, Policy: func() *policy.Policy { return p }, Logger: hclog.New(&hclog.LoggerOptions{Output: f.log}),
		Dial: func(ctx context.Context, region, endpoint string) (Platform, error) {
			return dial(ctx, region, endpoint, time.Millisecond)
		},
	})
	f.now = func() time.Time { return f.clock }
	return f
}

// session makes one that is being recorded and that belongs to a session of the platform.
func (f *fixture) session(id, platform string, change func(*catalog.Session)) {
	f.t.Helper()
	s := catalog.Session{
		ID: id, RequestID: "request-" + id, User: "ann", Stack: "stack", Fleet: "fleet", Instance: "i", Metadata: map[string]string{sessionKey: platform},
		FrameRate: 5, SegmentLength: time.Minute, SegmentBytes: 1 << 30, Start: f.clock, Created: f.clock,
		Policy: catalog.Policy{Hash: "h", Mode: "strict", PolicyTerms: catalog.PolicyTerms{Enforce: "expire_session"}},
	}
	change(&s)
	if _, _, err := f.catalog.CreateSession(f.t.Context(), s); err != nil {
		f.t.Fatal(err)
	}
	if s.State == "" {
		f.must(f.catalog.MarkRecording(f.t.Context(), id))
	}
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// pass lets time pass in steps of five seconds, with both duties at each; agents speak and take pictures all the while.
func (f *fixture) pass(d time.Duration, recorded ...string) (failed error) {
	f.t.Helper()
	for end := f.clock.Add(d); f.clock.Before(end); {
		f.clock = f.clock.Add(every)
		for _, id := range recorded {
			f.Framed(id, f.clock.UnixNano())
		}
		if err := f.Enforce(f.t.Context()); err != nil {
			failed = err
		}
		if err := f.Look(f.t.Context()); err != nil {
			failed = err
		}
	}
	return failed
}

func same(*catalog.Session) {}
