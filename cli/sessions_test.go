package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

func TestListTable(t *testing.T) {
	f := newFixture(t)
	f.sessions = f.sessions[:2]
	f.sessions[1].State, f.sessions[1].EndTime, f.sessions[1].User = recfleetv1.SessionState_SESSION_STATE_RECORDING, nil, "用户"
	exit, stdout, stderr := f.run(t, "sessions", "list", "--time", "utc")
	want := `ID  STATE      USER  STACK   FLEET  INSTANCE  STARTED               ENDED                 RECORDED  ARCHIVED  GAPS  SIZE
a1  complete   ana   office  blue   i-1       2026-01-02T03:04:05Z  2026-01-02T03:05:40Z  1m34s     2/2       1     1.2 MB
a2  recording  用户  office  blue   i-1       2026-01-02T03:04:05Z  -                     1m34s     2/2       1     1.2 MB
`
	if exit != exitOK || stdout != want || stderr != "" {
		t.Errorf("exit %d, stderr %q, stdout\n%s", exit, stderr, stdout)
	}
}

// Whoever lists sessions sees which of them are not being recorded though they should be.
func TestListTableShowsAlarms(t *testing.T) {
	f := newFixture(t)
	f.sessions = f.sessions[:2]
	f.sessions[0].StateReason = "1 of 2 segments quarantined"
	f.sessions[1].State, f.sessions[1].StateReason = recfleetv1.SessionState_SESSION_STATE_RECORDING, "user active, nothing recorded since 2026-01-02T03:04:35Z"
	exit, stdout, stderr := f.run(t, "sessions", "list")
	if exit != exitOK || !strings.Contains(stdout, "a1  complete  ") || !strings.Contains(stdout, "a2  recording (user active, nothing recorded)  ") {
		t.Errorf("exit %d, stderr %q, stdout\n%s", exit, stderr, stdout)
	}
}

func TestGetTable(t *testing.T) {
	f := newFixture(t)
	f.sessions[0].StopReason = "admin: end of shift"
	exit, stdout, stderr := f.run(t, "sessions", "get", "a1", "--time", "utc")
	want := `id                 a1
state              complete
stop reason        admin: end of shift
user               ana
stack              office
fleet              blue
instance           i-1
started            2026-01-02T03:04:05Z
ended              2026-01-02T03:05:40Z
recorded           1m34s
gaps               1.0s in 1
archived           2 of 2 segments, 1.2 MB
metadata ImageArn  arn:1

epochs
EPOCH  STARTED               SIZE       MONITORS  CAUSE
1      2026-01-02T03:04:05Z  1920x1080  1         start

segments
SEGMENT  EPOCH  STATE     STARTED               LENGTH  SIZE       FRAMES  CAPTURED  MP4
1        1      archived  2026-01-02T03:04:05Z  8.0s    1920x1080  40      500.0 kB  file:///a/k/video-000001.mp4
2        1      archived  2026-01-02T03:04:13Z  8.0s    1920x1080  40      500.0 kB  file:///a/k/video-000002.mp4

gaps
STARTED               LENGTH  CAUSE              DETAIL
2026-01-02T03:04:13Z  1.0s    capture_restarted  -
`
	if exit != exitOK || stdout != want || stderr != "" {
		t.Errorf("exit %d, stderr %q, stdout\n%s", exit, stderr, stdout)
	}
}

func TestListFiltersAndPages(t *testing.T) {
	f := newFixture(t)
	exit, stdout, stderr := f.run(t, "sessions", "list", "--state", "complete,Recording", "--state", "empty", "--user", "ana", "--stack", "office",
		"--fleet", "blue", "--instance", "i-1", "-o", "json")
	var answer recfleetv1.ListSessionsResponse
	if err := protojson.Unmarshal([]byte(stdout), &answer); exit != exitOK || err != nil || stderr != "" {
		t.Fatalf("exit %d, %v, %s", exit, err, stderr)
	}
	if len(answer.GetSessions()) != 3 || answer.GetNextPageToken() != "" || len(f.lists) != 2 {
		t.Errorf("%d sessions in %d calls, token %q", len(answer.GetSessions()), len(f.lists), answer.GetNextPageToken())
	}
	for i, r := range f.lists {
		want := &recfleetv1.ListSessionsRequest{
			States: []recfleetv1.SessionState{
				recfleetv1.SessionState_SESSION_STATE_COMPLETE, recfleetv1.SessionState_SESSION_STATE_RECORDING, recfleetv1.SessionState_SESSION_STATE_EMPTY,
			},
			User: "ana", Stack: "office", Fleet: "blue", Instance: "i-1", PageSize: pageSize, PageToken: []string{"", "page-2"}[i],
		}
		if !proto.Equal(r, want) {
			t.Errorf("call %d: %v", i, r)
		}
	}
	f.lists = nil
	_, stdout, _ = f.run(t, "sessions", "list", "--limit", "1")
	if strings.Count(stdout, "\n") != 2 || len(f.lists) != 1 || f.lists[0].GetPageSize() != 1 {
		t.Errorf("%d calls, stdout\n%s", len(f.lists), stdout)
	}
}

func TestJSONAndYAMLHoldTheMessage(t *testing.T) {
	f := newFixture(t)
	_, asJSON, _ := f.run(t, "sessions", "get", "a1", "-o", "json")
	_, again, _ := f.run(t, "sessions", "get", "a1", "-o", "json")
	_, asYAML, _ := f.run(t, "sessions", "get", "a1", "-o", "yaml")
	if asJSON != again {
		t.Error("the same session printed twice differs")
	}
	fromYAML, err := yaml.YAMLToJSON([]byte(asYAML))
	if err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string][]byte{"json": []byte(asJSON), "yaml": fromYAML} {
		var s recfleetv1.Session
		if err := protojson.Unmarshal(raw, &s); err != nil || !proto.Equal(&s, f.sessions[0]) {
			t.Errorf("%s: %v, %v", name, err, &s)
		}
	}
	_, empty, _ := (&fixture{service: f.service, env: f.env}).run(t, "recordings", "list", "a1", "-o", "json")
	if !json.Valid([]byte(empty)) {
		t.Errorf("recordings: %s", empty)
	}
	f.sessions = nil
	if _, stdout, _ := f.run(t, "sessions", "list", "-o", "json"); !strings.Contains(stdout, `"sessions": []`) {
		t.Errorf("no sessions: %s", stdout)
	}
}

func TestHostileNamesAreEscaped(t *testing.T) {
	f := newFixture(t)
	hostile := "\x1b]0;owned\x07\x9b31m\u202Eana\u2028x\ty\n" // 0x9b is invalid UTF-8 here, so it is replaced below
	f.sessions[0].User = strings.ToValidUTF8(hostile, "\u009b")
	f.sessions[0].Metadata = map[string]string{"k\r": "v\x1b[2J"}
	for _, args := range [][]string{
		{"sessions", "list"}, {"sessions", "get", "a1"}, {"sessions", "stop", "a1"},
		{"sessions", "list", "-o", "json"}, {"sessions", "get", "a1", "-o", "json"}, {"sessions", "get", "a1", "-o", "yaml"},
		{"__complete", "sessions", "get", ""},
	} {
		exit, stdout, stderr := f.run(t, args...)
		if exit != exitOK {
			t.Errorf("%v: exit %d, %s", args, exit, stderr)
		}
		for _, bad := range []string{"\x1b", "\x07", "\u009b", "\r", "\u2028"} {
			if strings.Contains(stdout, bad) {
				t.Errorf("%v: %q came through in %q", args, bad, stdout)
			}
		}
		if strings.Contains(stdout, "\u202e") {
			t.Errorf("%v: the direction of writing is turned", args)
		}
	}
	f.refuse["list"] = status.Error(codes.Internal, "two\nlines \x1b[31m")
	if exit, _, stderr := f.run(t, "sessions", "list"); exit != exitFailed || strings.Count(stderr, "\n") != 1 || strings.Contains(stderr, "\x1b") {
		t.Errorf("exit %d, stderr %q", exit, stderr)
	}
}

func TestColorsOnlyOnATerminalThatWantsThem(t *testing.T) {
	f := newFixture(t)
	f.color = true
	_, colored, _ := f.run(t, "sessions", "list")
	f.env["NO_COLOR"] = "1"
	_, asked, _ := f.run(t, "sessions", "list")
	if !strings.Contains(colored, "\x1b[32mcomplete\x1b[0m") || strings.Contains(asked, "\x1b") {
		t.Errorf("colored %q, with NO_COLOR %q", colored, asked)
	}
}

func TestStop(t *testing.T) {
	f := newFixture(t)
	f.sessions[0].State, f.endAfter = recfleetv1.SessionState_SESSION_STATE_RECORDING, 1
	exit, stdout, stderr := f.run(t, "sessions", "stop", "a1", "--reason", "shift is over")
	if exit != exitOK || stderr != "" || !strings.Contains(stdout, "recording") || f.polls != 0 {
		t.Errorf("exit %d, stderr %q, %d polls, stdout\n%s", exit, stderr, f.polls, stdout)
	}
	if len(f.stops) != 1 || f.stops[0].GetSessionId() != "a1" || f.stops[0].GetReason() != "shift is over" {
		t.Errorf("stops %v", f.stops)
	}
	exit, stdout, _ = f.run(t, "sessions", "stop", "a1", "--wait", "-o", "json")
	if exit != exitOK || !strings.Contains(stdout, "SESSION_STATE_FINALIZING") || f.polls != 2 {
		t.Errorf("exit %d after %d polls, stdout\n%s", exit, f.polls, stdout)
	}
	f.sessions[0].State, f.endAfter = recfleetv1.SessionState_SESSION_STATE_RECORDING, 1000
	exit, _, stderr = f.run(t, "sessions", "stop", "a1", "--wait", "--wait-timeout", "10ms")
	if exit != exitFailed || !strings.Contains(stderr, "still recording") {
		t.Errorf("exit %d, stderr %q", exit, stderr)
	}
}

func TestExitCodes(t *testing.T) {
	for name, c := range map[string]struct {
		args   []string
		change func(*fixture)
		exit   int
		want   string
	}{
		"help":              {args: []string{"--help"}, exit: exitOK},
		"version":           {args: []string{"--version"}, exit: exitOK},
		"completion":        {args: []string{"completion", "bash"}, exit: exitOK},
		"nothing":           {exit: exitUsage, want: "needs a command"},
		"only a noun":       {args: []string{"sessions"}, exit: exitUsage, want: "needs a command"},
		"unknown command":   {args: []string{"sessions", "remove"}, exit: exitUsage, want: "unknown command"},
		"unknown flag":      {args: []string{"sessions", "list", "--color"}, exit: exitUsage, want: "unknown flag"},
		"unknown state":     {args: []string{"sessions", "list", "--state", "lost"}, exit: exitUsage, want: `--state: "lost" is none of starting, recording`},
		"unspecified state": {args: []string{"sessions", "list", "--state", "unspecified"}, exit: exitUsage, want: "is none of"},
		"unknown format":    {args: []string{"sessions", "list", "-o", "xml"}, exit: exitUsage, want: `--output: "xml" is none of table, wide, json, yaml`},
		"negative limit":    {args: []string{"sessions", "list", "--limit", "-1"}, exit: exitUsage, want: `--limit: "-1" is negative`},
		"no session":        {args: []string{"sessions", "get"}, exit: exitUsage, want: "recctl sessions get needs one argument, SESSION"},
		"hostile session":   {args: []string{"sessions", "get", "../etc"}, exit: exitUsage, want: `SESSION: "../etc" cannot be`},
		"no timeout":        {args: []string{"sessions", "list", "--timeout", "0"}, exit: exitUsage, want: "timeout"},
		"no client file":    {args: []string{"sessions", "list", "--context", "/absent"}, exit: exitUsage, want: "/absent"},
		"no home": {
			args: []string{"sessions", "list"}, exit: exitUsage, want: "give --context",
			change: func(f *fixture) { delete(f.env, "RECFLEET_CONTEXT") },
		},
		"refused argument": {
			args: []string{"sessions", "list"}, exit: exitUsage, want: "page_token",
			change: func(f *fixture) { f.refuse["list"] = status.Error(codes.InvalidArgument, "page_token: malformed") },
		},
		"unknown session":         {args: []string{"sessions", "get", "a9"}, exit: exitNotFound, want: "get session a9: no session a9"},
		"unknown session to stop": {args: []string{"sessions", "stop", "a9"}, exit: exitNotFound, want: "no session a9"},
		"unknown recordings":      {args: []string{"recordings", "list", "a9"}, exit: exitNotFound, want: "no session a9"},
		"unknown segment":         {args: []string{"recordings", "download", "a1", "--segment", "7"}, exit: exitNotFound, want: "no segment 7"},
		"denied": {
			args: []string{"sessions", "stop", "a1"}, exit: exitDenied, want: "not your role",
			change: func(f *fixture) { f.refuse["stop"] = status.Error(codes.PermissionDenied, "not your role") },
		},
		"server fault": {
			args: []string{"sessions", "get", "a1"}, exit: exitFailed, want: "catalog is broken",
			change: func(f *fixture) { f.refuse["get"] = status.Error(codes.Internal, "catalog is broken") },
		},
		"server away": {args: []string{"sessions", "list"}, exit: exitUnavailable, want: "cannot be reached", change: func(f *fixture) { f.server.Stop() }},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			if c.change != nil {
				c.change(f)
			}
			exit, _, stderr := f.run(t, c.args...)
			if exit != c.exit || !strings.Contains(stderr, c.want) || (exit != exitOK && strings.Count(stderr, "\n") != 1) || strings.Contains(stderr, "rpc error") {
				t.Errorf("exit %d, want %d; stderr %q", exit, c.exit, stderr)
			}
		})
	}
}

func TestUnknownTokenIsExitCode4(t *testing.T) {
	f := newFixture(t)
	path := f.env["RECFLEET_CONTEXT"]
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strings.Replace(string(raw), "secret", "guessed", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	exit, _, stderr := f.run(t, "sessions", "list")
	if exit != exitDenied || strings.Contains(stderr, "guessed") {
		t.Errorf("exit %d, stderr %q", exit, stderr)
	}
}

func TestContextFileIsFound(t *testing.T) {
	f := newFixture(t)
	config := filepath.Join(f.home, ".config", "recfleet")
	if err := os.MkdirAll(config, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(f.env["RECFLEET_CONTEXT"], filepath.Join(config, "client.json")); err != nil {
		t.Fatal(err)
	}
	if exit, _, _ := f.run(t, "sessions", "list"); exit != exitUsage {
		t.Errorf("exit %d with a variable that names nothing", exit)
	}
	if exit, _, stderr := f.run(t, "sessions", "list", "--context", filepath.Join(config, "client.json")); exit != exitOK {
		t.Errorf("the flag does not win: %s", stderr)
	}
	f.env = map[string]string{"HOME": f.home}
	if exit, _, stderr := f.run(t, "sessions", "list"); exit != exitOK {
		t.Errorf("the default is not found: %s", stderr)
	}
}

func TestSilentServerIsGivenUp(t *testing.T) {
	f := newFixture(t)
	f.mu.Lock() // every call waits for it
	began := time.Now()
	exit, _, stderr := f.run(t, "sessions", "list", "--timeout", "200ms")
	f.mu.Unlock()
	if exit != exitUnavailable || time.Since(began) > 10*time.Second || !strings.Contains(stderr, "in time") {
		t.Errorf("exit %d after %v, stderr %q", exit, time.Since(began), stderr)
	}
}

func TestSessionIDsAreCompleted(t *testing.T) {
	f := newFixture(t)
	f.sessions[2].Id = "bad id; rm"
	for _, command := range []string{"sessions get", "sessions stop", "recordings list", "recordings download"} {
		exit, stdout, _ := f.run(t, append(append([]string{"__complete"}, strings.Fields(command)...), "")...)
		want := "a1\t2026-01-02T03:04:05Z complete ana\na2\t2026-01-02T03:04:05Z complete ana\n:36\n"
		if exit != exitOK || stdout != want {
			t.Errorf("%s: exit %d, %q", command, exit, stdout)
		}
	}
	_, stdout, _ := f.run(t, "__complete", "sessions", "list", "--state", "")
	if !strings.HasPrefix(stdout, "starting\nrecording\n") {
		t.Errorf("states: %q", stdout)
	}
}
