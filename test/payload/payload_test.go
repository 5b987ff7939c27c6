package payload

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	"github.com/recfleet/recfleet/internal/bus"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// fields are those of StartSession that an agent fills with text.
func fields() map[string]func(r *recfleetv1.StartSessionRequest, s string) {
	return map[string]func(r *recfleetv1.StartSessionRequest, s string){
		"user":         func(r *recfleetv1.StartSessionRequest, s string) { r.User = s },
		"stack":        func(r *recfleetv1.StartSessionRequest, s string) { r.Stack = s },
		"fleet":        func(r *recfleetv1.StartSessionRequest, s string) { r.Fleet = s },
		"instance":     func(r *recfleetv1.StartSessionRequest, s string) { r.Instance = s },
		"metadata":     func(r *recfleetv1.StartSessionRequest, s string) { r.Metadata = map[string]string{"k": s} },
		"metadata key": func(r *recfleetv1.StartSessionRequest, s string) { r.Metadata = map[string]string{s: "v"} },
		"geometry.monitors[0].name": func(r *recfleetv1.StartSessionRequest, s string) {
			r.Geometry.Monitors[0].Name = s
		},
	}
}

func TestPayloads(t *testing.T) {
	s := startServer(t)
	refused(t, s)
	invalid(t, s)

	plainly := s.begin(t, func(*recfleetv1.StartSessionRequest) {})
	sent := map[string]string{plainly.session: "plain"} // session to payload
	plainly.tell(t, "plain")
	plainly.record(t)
	plainly.end(t, "plain")
	for name, payload := range corpus() {
		if refusable(payload) {
			continue
		}
		a := s.begin(t, func(r *recfleetv1.StartSessionRequest) {
			for field, set := range fields() {
				if field == "metadata key" || field == "geometry.monitors[0].name" {
					set(r, clip(payload, 128))
				} else {
					set(r, payload)
				}
			}
			r.Metadata = map[string]string{clip(payload, 128): payload}
			r.AgentVersion = payload
		})
		sent[a.session] = payload
		a.tell(t, payload)
		if slices.Contains([]string{"option", "options", "protocol", "format verbs", "path"}, name) {
			a.record(t)
		}
		a.end(t, payload)
		if _, err := recfleetv1.NewSessionServiceClient(s.people).HoldSession(t.Context(), &recfleetv1.HoldSessionRequest{SessionId: a.session, Reason: payload}); err != nil {
			t.Fatal(err)
		}
	}
	if len(sent) < 40 {
		t.Fatalf("only %d payloads were taken", len(sent))
	}
	until(t, "all sessions over", func() bool {
		for id := range sent {
			got, err := recfleetv1.NewSessionServiceClient(s.people).GetSession(t.Context(), &recfleetv1.GetSessionRequest{SessionId: id})
			if state := got.GetSession().GetState(); err != nil || state != recfleetv1.SessionState_SESSION_STATE_COMPLETE && state != recfleetv1.SessionState_SESSION_STATE_EMPTY {
				return false
			}
		}
		return true
	})
	t.Run("recctl", func(t *testing.T) { onTheCommandLine(t, s, sent) })
	t.Run("page", func(t *testing.T) { onThePage(t, s, plainly.session, sent) })
	t.Run("browser", func(t *testing.T) { inABrowser(t, s, sent) })
	t.Run("log", func(t *testing.T) { inTheLog(t, s) })
	t.Run("archive", func(t *testing.T) { inTheArchive(t, s) })
	t.Run("ffmpeg", func(t *testing.T) { inCommands(t, s) })
}

// refused checks that what a field does not take is refused with its name, and everything else passes. No session is made: the
// bus key is wrong, and checked last.
func refused(t *testing.T, s *server) {
	t.Helper()
	agents := recfleetv1.NewAgentServiceClient(s.agents)
	key, err := bus.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, payload := range corpus() {
		for field, set := range fields() {
			if !refusable(payload) && len(payload) > 128 {
				continue // some fields are shorter than others
			}
			r := request(key)
			set(r, payload)
			r.BusPublicKey = "none"
			_, err := agents.StartSession(t.Context(), r)
			got, want := status.Convert(err), "bus_public_key:"
			if refusable(payload) {
				want = field
			}
			if got.Code() != codes.InvalidArgument || !strings.HasPrefix(got.Message(), want) {
				t.Errorf("%s as %s: %v %.200q", name, field, got.Code(), got.Message())
			}
			if strings.ContainsFunc(got.Message(), unicode.IsControl) || len(got.Message()) > 512 {
				t.Errorf("%s as %s is in the answer: %.200q", name, field, got.Message())
			}
		}
		for _, id := range []func(*recfleetv1.StartSessionRequest){
			func(r *recfleetv1.StartSessionRequest) { r.RequestId = payload },
			func(r *recfleetv1.StartSessionRequest) { r.BusPublicKey = payload },
		} {
			r := request(key)
			id(r)
			if _, err := agents.StartSession(t.Context(), r); status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), "_") {
				t.Errorf("%s as an id: %v", name, err)
			}
		}
		_, err := agents.Sync(t.Context(), &recfleetv1.AgentServiceSyncRequest{SessionId: payload})
		if status.Code(err) != codes.InvalidArgument && payload != "no" && payload != "0x10" || payload == "no" && status.Code(err) != codes.NotFound {
			t.Errorf("%s as a session: %v", name, err)
		}
	}
}

// asIs sends bytes that no protobuf library writes.
type asIs struct{}

func (asIs) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (asIs) Unmarshal(b []byte, v any) error {
	*v.(*[]byte) = b
	return nil
}

func (asIs) Name() string { return "proto" }

// invalid checks that what is no UTF-8 is refused, and by which field.
func invalid(t *testing.T, s *server) {
	t.Helper()
	key, err := bus.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, payload := range broken() {
		for field, set := range fields() {
			r := request(key)
			mark := strings.Repeat("~", len(payload))
			set(r, mark)
			raw, err := proto.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			raw = bytes.Replace(raw, []byte(mark), []byte(payload), 1)
			var answer []byte
			err = s.agents.Invoke(t.Context(), recfleetv1.AgentService_StartSession_FullMethodName, &raw, &answer, grpc.ForceCodec(asIs{}))
			if got := status.Convert(err); got.Code() != codes.InvalidArgument || !strings.HasPrefix(got.Message(), field) || !strings.HasSuffix(got.Message(), ": is not UTF-8") {
				t.Errorf("%s as %s: %v %q", name, field, got.Code(), got.Message())
			}
		}
	}
}

// hidden finds what a terminal would obey or not show.
func hidden(s string) string {
	for _, r := range s {
		if r != '\n' && !strconv.IsPrint(r) {
			return strconv.QuoteRuneToASCII(r)
		}
	}
	return ""
}

var colors = regexp.MustCompile("\x1b\\[[0-9;]*m")

func onTheCommandLine(t *testing.T, s *server, sent map[string]string) {
	for id, payload := range sent {
		for _, format := range []string{"table", "wide", "json", "yaml"} {
			out := s.recctl(t, "sessions", "get", id, "-o", format)
			if found := hidden(colors.ReplaceAllString(out, "")); found != "" {
				t.Errorf("%s of %q lets %s through", format, payload, found)
			}
			raw := []byte(out)
			switch format {
			case "yaml":
				var err error
				if raw, err = yaml.YAMLToJSON(raw); err != nil {
					t.Errorf("%q: %v", payload, err)
					continue
				}
			case "json":
			default:
				continue
			}
			var got recfleetv1.Session
			if err := protojson.Unmarshal(raw, &got); err != nil || payload != "plain" && (got.GetUser() != payload || got.GetMetadata()["AppStream_UserName"] != payload) {
				t.Errorf("%s of %q: %v, user %q", format, payload, err, got.GetUser())
			}
		}
	}
	for _, args := range [][]string{
		{"sessions", "list"}, {"sessions", "list", "-o", "wide"}, {"sessions", "list", "-o", "json"}, {"sessions", "list", "-o", "yaml"},
		{"agents", "list"}, {"audit", "list"}, {"audit", "list", "-o", "json"}, {"audit", "export"}, {"audit", "export", "--format", "csv"}, {"jobs", "list"},
	} {
		out := colors.ReplaceAllString(s.recctl(t, args...), "")
		if found := hidden(out); found != "" {
			t.Errorf("%v lets %s through", args, found)
		}
		if args[len(args)-1] == "csv" {
			inASpreadsheet(t, out, sent)
		}
	}
}

func inASpreadsheet(t *testing.T, out string, sent map[string]string) {
	t.Helper()
	lines, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) < len(sent) {
		t.Errorf("%d lines for %d payloads", len(lines), len(sent))
	}
	for _, line := range lines {
		for _, cell := range line {
			if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
				t.Errorf("%q is a formula", cell)
			}
		}
	}
}

// inTheLog checks that a record is a line.
func inTheLog(t *testing.T, s *server) {
	lines := strings.Split(strings.TrimSuffix(s.json.String(), "\n"), "\n")
	for _, line := range lines {
		var record map[string]any
		if err := json.Unmarshal([]byte(line), &record); err != nil || record["@message"] == nil || strings.ContainsFunc(line, unicode.IsControl) {
			t.Errorf("%v: %q", err, line)
		}
	}
	begins := regexp.MustCompile(`^\d{4}-\d\d-\d\dT[0-9:.+Z-]+ \[(TRACE|DEBUG|INFO|WARN|ERROR)\] `)
	texts := strings.Split(strings.TrimSuffix(s.text.String(), "\n"), "\n")
	for _, line := range texts {
		if !begins.MatchString(line) || hidden(line) != "" {
			t.Errorf("log line %q", line)
		}
	}
	if len(lines) < 100 || len(lines) != len(texts) {
		t.Errorf("%d records are %d lines of text", len(lines), len(texts))
	}
}

// inTheArchive checks that keys hold nothing but harmless characters, and all files are below the archive.
func inTheArchive(t *testing.T, s *server) {
	harmless := regexp.MustCompile(`^[A-Za-z0-9_=~.-]{1,200}$`)
	files := 0
	root := filepath.Join(s.dir, "archive")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == root {
			return err
		}
		if name := d.Name(); !harmless.MatchString(name) || strings.HasPrefix(name, "-") || strings.Trim(name, ".") == "" {
			t.Errorf("key %q", strings.TrimPrefix(path, root))
		}
		if !d.IsDir() {
			files++
		}
		return nil
	})
	if err != nil || files < 40 {
		t.Errorf("%d files, %v", files, err)
	}
	here, err := os.ReadDir(s.dir)
	if err != nil || len(here) != 4 { // archive, bin, data, told
		t.Errorf("%v, %v", here, err)
	}
}

// inCommands checks that FFmpeg is told nothing that came from a desktop.
func inCommands(t *testing.T, s *server) {
	told := s.commands.String()
	arguments := strings.Split(told, "\n")
	payloads := slices.Collect(maps.Values(corpus()))
	for _, a := range arguments {
		for _, p := range payloads {
			// These are FFmpeg's own as well.
			if p != "no" && p != "-y" && p != ".." && len(p) > 2 && strings.Contains(a, p) {
				t.Errorf("%q is in FFmpeg's command line", p)
			}
		}
	}
	if n := strings.Count(told, "ffmpeg\n"); n < 6 {
		t.Errorf("FFmpeg was started %d times", n)
	}
}
