package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestFilters(t *testing.T) {
	f := newFixture(t)
	exit, _, stderr := f.run(t, "sessions", "list", "--started-after", "3d", "--started-before", "2026-01-02 03:05", "--ended-after", "yesterday",
		"--ended-before", "2026-01-02T05:04:05+01:00", "--active-at", "03:00", "--text", "excel fin*", "--order-by", "end_time desc", "--show-deleted", "--limit", "1")
	if exit != exitOK {
		t.Fatalf("exit %d, %s", exit, stderr)
	}
	r := f.lists[0]
	for name, c := range map[string]struct {
		got  *timestamp
		want string
	}{
		"started after": {r.GetStartedAfter(), "2025-12-30T04:04:05Z"}, "started before": {r.GetStartedBefore(), "2026-01-02T03:05:00Z"},
		"ended after": {r.GetEndedAfter(), "2026-01-01T00:00:00Z"}, "ended before": {r.GetEndedBefore(), "2026-01-02T04:04:05Z"},
		"active at": {r.GetActiveAt(), "2026-01-02T03:00:00Z"},
	} {
		if got := (clock{style: timeUTC}).exact(c.got); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if r.GetText() != "excel fin*" || r.GetOrderBy() != "end_time desc" || !r.GetShowDeleted() {
		t.Errorf("asked for %v", r)
	}
}

func TestBadInputNamesItsPlace(t *testing.T) {
	f := newFixture(t)
	long := strings.Repeat("\x1b[31m\n", 11_000)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"sessions", "list", "--user", long}, "--user: "},
		{[]string{"sessions", "list", "--user", "a\x07"}, "--user: \"a\\a\" holds control characters"},
		{[]string{"sessions", "list", "--text", "\xff"}, "--text: "},
		{[]string{"sessions", "list", "--started-after", long}, "--started-after: "},
		{[]string{"sessions", "list", "--active-at", "noon"}, `--active-at: "noon" is no time; times look like`},
		{[]string{"sessions", "list", "--started-after", "1h", "--started-before", "2h"}, "--started-after: is not before --started-before"},
		{[]string{"sessions", "list", "--order-by", "size"}, `--order-by: "size" is none of start_time`},
		{[]string{"sessions", "list", "--limit", "many"}, `--limit: "many" is not a whole number`},
		{[]string{"sessions", "list", "--limit", "99999999999999999999"}, `--limit: "99999999999999999999" is out of bounds`},
		{[]string{"sessions", "list", "--timeout", "soon"}, `--timeout: "soon" is not a duration`},
		{[]string{"sessions", "list", "--show-deleted=maybe"}, `--show-deleted: "maybe" is neither`},
		{[]string{"sessions", "list", "--state", long}, "--state: "},
		{[]string{"sessions", "list", "--time", "local"}, `--time: "local" is none of relative, absolute, utc`},
		{[]string{"sessions", "list", "a1"}, "takes no arguments"},
		{[]string{"sessions", "get", long}, "SESSION: "},
		{[]string{"recordings", "verify", "a1", "--archive", "file:///nowhere"}, "--archive and --keys are needed"},
		{[]string{"recordings", "verify", "a1", "--archive", "ftp://x", "--keys", "none"}, "--archive: "},
		{[]string{"recordings", "verify", "a1", "--archive", "file:///nowhere", "--keys", "/nowhere"}, "--keys: "},
		{[]string{"recordings", "verify", "a1", "--archive", "file:///nowhere", "--keys", "k", "--reason", "r"}, "--public-key and --reason are for"},
		{[]string{"sessions", "get", "a1", "a2"}, "needs one argument, SESSION; 2 were given"},
		{[]string{"sessions", "delete", "A1", "--yes"}, `SESSION: "A1" cannot be`},
		{[]string{"sessions", "hold", "a1", "--reason", strings.Repeat("x", 513)}, "--reason: "},
		{[]string{"sessions", "--" + long}, "unknown flag: --\\x1b"},
		{[]string{long}, "unknown command"},
		{[]string{"sessions", long}, "unknown command"},
		{[]string{"recordings", "verify", "a1", "--public-key", long}, "--public-key: "},
		{[]string{"recordings", "download", "a1", "--segment", "one"}, `--segment: "one" is not a whole number`},
		{[]string{"jobs", "list", "--session", "a.b"}, "--session: "},
		{[]string{"jobs", "list", "--state", "lost"}, "--state: "},
		{[]string{"jobs", "retry", "a1"}, "JOB: "},
		{[]string{"encoders", "drain", "../x"}, "ENCODER: "},
		{[]string{"audit", "list", "--after", "x"}, "--after: "},
		{[]string{"audit", "list", "--actor", "\u202e\n"}, "--actor: "},
		{[]string{"sessions", "list", "--context", long}, "--context: "},
		{[]string{"sessions", "list", "--context", "/nowhere/client.json"}, `--context: there is no client file "/nowhere`},
		{[]string{"sessions", "list", "--user", ""}, `--user: "" is empty`},
		{[]string{"sessions", "list", "--state", ""}, `--state: "" is none of starting`},
		{[]string{"sessions", "list", "--state", "complete,lost"}, `--state: "complete,lost" is none of starting`},
		{[]string{"jobs", "list", "--session", ""}, `--session: "" cannot be`},
		{[]string{"audit", "list", "--actor", ""}, `--actor: "" is empty`},
		{[]string{"policy", "test", "--group", ""}, `--group: "" is empty`},
		{[]string{"sessions", "list", "--timeout", "0"}, "--timeout: 0s is not above 0"},
		{[]string{"recordings", "download", "a1", "--gaps", "cut"}, "--gaps: says what --join does"},
		{[]string{"recordings", "download", "a1", "--dir", "/proc/nowhere"}, "--dir: "},
	} {
		exit, stdout, stderr := f.run(t, c.args...)
		if exit != exitUsage || stdout != "" || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 || len(stderr) > longestLine+100 ||
			strings.ContainsAny(stderr, "\x1b\a\u202e") {
			t.Errorf("%.60q: exit %d, stdout %.60q, stderr %.300q", c.args, exit, stdout, stderr)
		}
	}
	if len(f.lists)+len(f.noted()) > 0 {
		t.Errorf("the coordinator was asked: %v %v", f.lists, f.noted())
	}
}

// What the coordinator says of a request's field is said of the flag or the argument that it came from.
func TestFieldsAreNamedAsTyped(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		args []string
		said error
		exit int
		want string
	}{
		{[]string{"sessions", "list", "--text", "ab*"}, status.Error(codes.InvalidArgument, "text: needs 3 letters"), exitUsage, "recctl: --text: needs 3 letters\n"},
		{[]string{"sessions", "list"}, status.Error(codes.InvalidArgument, "states[0]: is missing"), exitUsage, "recctl: --state: is missing\n"},
		{[]string{"sessions", "list"}, status.Error(codes.InvalidArgument, "page_token: is no token"), exitUsage, "recctl: list sessions: page_token: is no token\n"},
		{[]string{"sessions", "list"}, status.Error(codes.Unavailable, "text: is away"), exitUnavailable, "recctl: list sessions: text: is away\n"},
	} {
		f.refuse["list"] = c.said
		if exit, _, stderr := f.run(t, c.args...); exit != c.exit || stderr != c.want {
			t.Errorf("%q: exit %d, %q", c.args, exit, stderr)
		}
	}
	for want, said := range map[string]error{
		"recctl: SESSION: session a1 not found\n":   status.Error(codes.NotFound, "session_id: session a1 not found"),
		"recctl: get session a1: it is asleep\n":    status.Error(codes.FailedPrecondition, "get session a1: it is asleep"),
		"recctl: get session a1: session: asleep\n": status.Error(codes.FailedPrecondition, "session: asleep"),
	} {
		f.refuse["get"] = said
		if exit, _, stderr := f.run(t, "sessions", "get", "a1"); exit == exitOK || stderr != want {
			t.Errorf("exit %d, %q, want %q", exit, stderr, want)
		}
	}
}

// Where a file cannot be meant, none is offered.
func TestFilesAreOfferedOnlyWhereAFlagTakesOne(t *testing.T) {
	f := newFixture(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"sessions", "list", "--user", ""}, ":4\n"},
		{[]string{"audit", "list", "--action", ""}, ":4\n"},
		{[]string{"recordings", "verify", "a1", "--public-key", ""}, ":0\n"},
		{[]string{"recordings", "download", "a1", "--dir", ""}, ":16\n"},
	} {
		if _, stdout, _ := f.run(t, append([]string{"__complete"}, c.args...)...); stdout != c.want && !strings.HasSuffix(stdout, "\n"+c.want) {
			t.Errorf("%q: %q", c.args, stdout)
		}
	}
}

func TestUnreachedCoordinatorIsToldWithoutItsLibrary(t *testing.T) {
	for message, want := range map[string]string{
		`connection error: desc = "transport: Error while dialing: dial tcp 127.0.0.1:1: connect: connection refused"`: "list: the coordinator cannot be reached: dial tcp 127.0.0.1:1: connect: connection refused",
		`connection error: desc = "transport: authentication handshake failed: x509: unknown"`:                         "list: the coordinator cannot be reached: x509: unknown",
		"error reading from server: EOF": "list: the coordinator cannot be reached: error reading from server: EOF",
		"the archive is not available":   "list: the archive is not available",
	} {
		if got := (&callError{"list", status.New(codes.Unavailable, message)}).Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestEverythingIsCompleted(t *testing.T) {
	f := newFixture(t)
	f.sessions[2].Id = "zz9"
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"sessions", "hold", "a"}, "a1\ta2\t"},
		{[]string{"sessions", "delete", "zz9"}, "zz9\t"},
		{[]string{"recordings", "verify", ""}, "a1\ta2\tzz9\t"},
		{[]string{"recordings", "download", "a1", "--segment", ""}, "1\t2\t"},
		{[]string{"jobs", "retry", ""}, "a1.2\ta2.1\ta3.1\t"},
		{[]string{"jobs", "list", "--session", "a"}, "a1\ta2\t"},
		{[]string{"encoders", "drain", ""}, "encoder000000001\tencoder000000002\t"},
		{[]string{"sessions", "get", "a1", ""}, ""},
	} {
		exit, stdout, _ := f.run(t, append([]string{"__complete"}, c.args...)...)
		var got string
		for line := range strings.Lines(stdout) {
			if word, _, ok := strings.Cut(line, "\t"); ok {
				got += word + "\t"
			}
		}
		if exit != exitOK || got != c.want || strings.Contains(stdout, "\x1b") {
			t.Errorf("%v: exit %d, %q of %q", c.args, exit, got, stdout)
		}
	}
	for _, c := range [][2]string{{"sessions list --order-by ", "start_time\nstart_time desc\n"}, {"jobs list -o ", "table\nwide\njson\nyaml\n"}, {"jobs list --state ", "available\nrunning\n"}} {
		if _, stdout, _ := f.run(t, append([]string{"__complete"}, strings.Split(c[0], " ")...)...); !strings.HasPrefix(stdout, c[1]) {
			t.Errorf("%s: %q", c[0], stdout)
		}
	}
}

func TestWordsAreLookedForWhereNoNewSessionBeginsSo(t *testing.T) {
	f := newFixture(t)
	f.run(t, "__complete", "sessions", "get", "qqq")
	if n := len(f.lists); n == 0 || f.lists[n-1].GetText() != "qqq*" {
		t.Errorf("asked for %v", f.lists)
	}
}

// JSON is a promise: fields may be added to what the golden file has, none goes away or is written otherwise.
func TestJSONIsStable(t *testing.T) {
	f := newFixture(t)
	all := map[string]any{}
	for _, args := range [][]string{
		{"sessions", "list", "--limit", "1"}, {"sessions", "get", "a1"}, {"recordings", "list", "a1"}, {"jobs", "list", "--limit", "1"}, {"encoders", "list"},
		{"agents", "list", "--limit", "1"}, {"audit", "list", "--limit", "1"}, {"policy", "test", "--user", "ana"},
	} {
		exit, stdout, stderr := f.run(t, append(args, "-o", "json")...)
		var answer any
		if err := json.Unmarshal([]byte(stdout), &answer); err != nil || exit != exitOK {
			t.Fatalf("%v: exit %d, %v, %s", args, exit, err, stderr)
		}
		all[strings.Join(args, " ")] = answer
	}
	const golden = "testdata/answers.golden.json"
	if os.Getenv("RECFLEET_WRITE_GOLDEN") != "" {
		raw, err := json.MarshalIndent(all, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, append(raw, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	var want map[string]any
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	within(t, "", want, all)
}

// within expects everything of want in got.
func within(t *testing.T, path string, want, got any) {
	t.Helper()
	switch want := want.(type) {
	case map[string]any:
		there, _ := got.(map[string]any)
		for name, v := range want {
			if _, ok := there[name]; !ok {
				t.Errorf("%s has no %s", path, name)
				continue
			}
			within(t, path+"/"+name, v, there[name])
		}
	case []any:
		there, _ := got.([]any)
		if len(there) != len(want) {
			t.Errorf("%s has %d items, not %d", path, len(there), len(want))
			return
		}
		for i, v := range want {
			within(t, fmt.Sprintf("%s/%d", path, i), v, there[i])
		}
	default:
		if want != got {
			t.Errorf("%s is %v, not %v", path, got, want)
		}
	}
}
