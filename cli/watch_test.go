package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// until is a stdout that ends the watch when a text has come.
type until struct {
	mu     sync.Mutex
	out    bytes.Buffer
	text   string
	cancel context.CancelFunc
}

func (u *until) Write(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.out.Write(p)
	if strings.Contains(u.out.String(), u.text) {
		u.cancel()
	}
	return len(p), nil
}

// watch runs sessions watch until text has come.
func (f *fixture) watch(t *testing.T, text string, args ...string) (int, string, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out := &until{text: text, cancel: cancel}
	f.stdout = out
	exit, _, stderr := f.runContext(ctx, append([]string{"sessions", "watch"}, args...)...)
	if !strings.Contains(out.out.String(), text) {
		t.Errorf("%q never came", text)
	}
	return exit, out.out.String(), stderr
}

func change(id string, state recfleetv1.SessionState, gone bool) *recfleetv1.WatchSessionsResponse {
	s := proto.CloneOf(session(id, nil))
	s.State, s.Epochs, s.Segments, s.Gaps = state, nil, nil, nil
	return &recfleetv1.WatchSessionsResponse{Session: s, Gone: gone}
}

const (
	recording = recfleetv1.SessionState_SESSION_STATE_RECORDING
	complete  = recfleetv1.SessionState_SESSION_STATE_COMPLETE
)

func TestWatchAppendsRows(t *testing.T) {
	f := newFixture(t)
	f.watches = []watchScript{{[]*recfleetv1.WatchSessionsResponse{change("a1", recording, false), change("a1longer", recording, false), change("a1", complete, true)}, errHang}}
	exit, stdout, stderr := f.watch(t, "gone", "--user", "ana", "--time", "utc")
	want := `SEEN                  CHANGE  ID  STATE      USER  STACK   FLEET  INSTANCE  STARTED               ENDED                 RECORDED  ARCHIVED  GAPS  SIZE
2026-01-02T04:04:05Z  is      a1  recording  ana   office  blue   i-1       2026-01-02T03:04:05Z  2026-01-02T03:05:40Z  1m34s     2/2       1     1.2 MB
2026-01-02T04:04:05Z  is      a1longer  recording  ana   office  blue   i-1       2026-01-02T03:04:05Z  2026-01-02T03:05:40Z  1m34s     2/2       1     1.2 MB
2026-01-02T04:04:05Z  gone    a1        complete   ana   office  blue   i-1       2026-01-02T03:04:05Z  2026-01-02T03:05:40Z  1m34s     2/2       1     1.2 MB
`
	if exit != exitOK || stdout != want || stderr != "" {
		t.Errorf("exit %d, stderr %q, stdout\n%s", exit, stderr, stdout)
	}
	if r := f.noted()[0].(*recfleetv1.WatchSessionsRequest); r.GetFilter().GetUser() != "ana" {
		t.Errorf("asked for %v", r)
	}
}

func TestWatchAsObjects(t *testing.T) {
	f := newFixture(t)
	sent := []*recfleetv1.WatchSessionsResponse{change("a1", recording, false), change("a2", complete, true)}
	sent[0].Session.User = "a\nb\x1b"
	f.watches = []watchScript{{sent, errHang}, {sent, errHang}}
	exit, stdout, _ := f.watch(t, `"gone":true`, "-o", "json")
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if exit != exitOK || len(lines) != 2 {
		t.Fatalf("exit %d, %q", exit, stdout)
	}
	for i, line := range lines {
		var m recfleetv1.WatchSessionsResponse
		if err := protojson.Unmarshal([]byte(line), &m); err != nil || !proto.Equal(&m, sent[i]) || !json.Valid([]byte(line)) {
			t.Errorf("%v: %q", err, line)
		}
	}
	if _, stdout, _ = f.watch(t, "gone: true", "-o", "yaml"); strings.Count(stdout, "---\n") != 2 {
		t.Errorf("yaml\n%s", stdout)
	}
}

func TestWatchIsRedrawnOnATerminal(t *testing.T) {
	f := newFixture(t)
	f.color, f.width, f.height = true, 40, 5
	f.watches = []watchScript{{[]*recfleetv1.WatchSessionsResponse{
		change("a1", recording, false), change("a2", recording, false), change("a3", recording, false), change("a2", complete, true), change("a3", complete, false),
	}, errHang}}
	exit, stdout, _ := f.watch(t, "complete")
	screens := strings.Split(stdout, "\x1b[")
	last := "4A\r" // after the three rows and the line of the rest
	if exit != exitOK || len(screens) != 2*4+1 {
		t.Fatalf("exit %d, %d screens %q", exit, len(screens), stdout)
	}
	if !strings.Contains(stdout, last) || !strings.Contains(stdout, "and 1 more\n") {
		t.Errorf("%q", stdout)
	}
	final := screens[len(screens)-1]
	if strings.Contains(final, "a2") || !strings.Contains(final, "a1") || !strings.Contains(final, "a3  complete") {
		t.Errorf("last screen %q", final)
	}
	for line := range strings.Lines(stdout) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n >= 40+len("\x1b[3A\r\x1b[J") {
			t.Errorf("%d columns: %q", n, line)
		}
	}
}

func TestWatchGoesOnAfterABreak(t *testing.T) {
	f := newFixture(t)
	one := []*recfleetv1.WatchSessionsResponse{change("a1", recording, false)}
	f.watches = []watchScript{
		{one, status.Error(codes.Unavailable, "going down\x1b")},
		{nil, nil}, // an end
		{[]*recfleetv1.WatchSessionsResponse{change("a1", complete, false)}, errHang},
	}
	exit, stdout, stderr := f.watch(t, "COMPLETE", "-o", "json")
	if exit != exitOK || strings.Count(stdout, "\n") != 2 || strings.Count(stderr, "trying again\n") != 2 || strings.Contains(stderr, "\x1b") {
		t.Errorf("exit %d, stdout %q, stderr %q", exit, stdout, stderr)
	}
}

func TestWatchEndsWhereItMust(t *testing.T) {
	one := []*recfleetv1.WatchSessionsResponse{change("a1", recording, false)}
	for name, c := range map[string]struct {
		scripts []watchScript
		refuse  error
		args    []string
		exit    int
		want    string
	}{
		"refused":             {refuse: status.Error(codes.InvalidArgument, "filter.text: too many words"), exit: exitUsage, want: "filter.text"},
		"denied":              {refuse: status.Error(codes.PermissionDenied, "not yours"), exit: exitDenied, want: "not yours"},
		"away from the start": {refuse: status.Error(codes.Unavailable, "down"), exit: exitUnavailable, want: "watch sessions: down"},
		"no retry":            {scripts: []watchScript{{one, status.Error(codes.Unavailable, "down")}}, args: []string{"--no-retry"}, exit: exitUnavailable, want: "down"},
		"token taken back":    {scripts: []watchScript{{one, status.Error(codes.Unauthenticated, "token is unknown")}}, exit: exitDenied, want: "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.watches = c.scripts
			if c.refuse != nil {
				f.refuse["watch"] = c.refuse
			}
			exit, _, stderr := f.run(t, append([]string{"sessions", "watch"}, c.args...)...)
			if exit != c.exit || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("exit %d, stderr %q", exit, stderr)
			}
		})
	}
}
