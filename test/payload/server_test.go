package payload

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/recfleet/recfleet/cli"
	"github.com/recfleet/recfleet/deploy/standalone"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/identity"
	"github.com/recfleet/recfleet/internal/screencodec"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

// logged keeps what is logged.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// server is everything of recfleet's server side, as one host runs it.
type server struct {
	dir, address   string
	admin          identity.Client
	people, agents *grpc.ClientConn
	// json and text are its log.
	json, text *logged
	commands   *logged // FFmpeg's command lines, an argument a line
}

const width, height = 64, 48

func startServer(t *testing.T) *server {
	t.Helper()
	s := &server{dir: t.TempDir(), json: &logged{}, text: &logged{}, commands: &logged{}}
	s.watchCommands(t)
	logger := hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: s.json, JSONFormat: true, Level: hclog.Trace})
	logger.RegisterSink(hclog.NewSinkAdapter(&hclog.LoggerOptions{Output: s.text, Level: hclog.Trace}))
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan string, 1), make(chan error, 1)
	go func() {
		done <- standalone.Run(ctx, standalone.Config{
			DataDir: filepath.Join(s.dir, "data"), Listen: "127.0.0.1:0", Slots: 1, Logger: logger, Ready: func(a string) { ready <- a },
			Archive: "file://" + s.dir + "/archive/{username}/{stack}/{fleet}/{instance}/{session_id}/",
		})
	}()
	select {
	case s.address = <-ready:
	case err := <-done:
		t.Fatalf("run: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	open := func(role string) (identity.Client, *grpc.ClientConn) {
		c, err := identity.LoadClient(filepath.Join(s.dir, "data", role+".json"))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := c.Dial()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return c, conn
	}
	s.admin, s.people = open("client")
	_, s.agents = open("agent")
	return s
}

// watchCommands puts programs before FFmpeg and ffprobe that note how they are called.
func (s *server) watchCommands(t *testing.T) {
	t.Helper()
	bin := filepath.Join(s.dir, "bin")
	told := filepath.Join(s.dir, "told") // a pipe: FFmpeg's limits let it write no file
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(told, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe, err := os.OpenFile(told, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	copied := make(chan error, 1)
	go func() {
		_, err := io.Copy(s.commands, pipe)
		copied <- err
	}()
	t.Cleanup(func() {
		pipe.Close()
		<-copied // it says that the pipe is closed
	})
	for _, name := range []string{"ffmpeg", "ffprobe"} {
		real, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		script := fmt.Sprintf("#!/bin/sh\nprintf '%%s\\n' %s \"$@\" >>'%s'\nexec '%s' \"$@\"\n", name, told, real)
		if err := os.WriteFile(filepath.Join(bin, name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
}

// recctl runs a command and returns what it prints; it must succeed.
func (s *server) recctl(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := cli.Program{
		Args: append([]string{"--context", filepath.Join(s.dir, "data", "client.json")}, args...), Stdout: &stdout, Stderr: &stderr,
		Getenv: func(string) string { return "" }, Zone: time.UTC, Now: time.Now, StdoutTerminal: true,
	}.Run(t.Context())
	if code != 0 {
		t.Fatalf("recctl %q: exit %d, %s", args, code, &stderr)
	}
	return stdout.String()
}

// request begins a session of a well-behaved agent.
func request(key *bus.Key) *recfleetv1.StartSessionRequest {
	return &recfleetv1.StartSessionRequest{
		RequestId: strings.ToLower(rand.Text()), User: "ann", Stack: "s", Fleet: "f", Instance: "i", Metadata: map[string]string{"k": "v"},
		StartTime: timestamppb.New(time.Now().Add(-time.Minute)), BusPublicKey: key.Public(), AgentVersion: "v",
		Geometry: &recfleetv1.Geometry{Width: width, Height: height, Monitors: []*recfleetv1.Monitor{{Name: "m", Width: width, Height: height}}},
	}
}

// agent is an agent whose session began.
type agent struct {
	s       *server
	session string
	start   time.Time
	key     *bus.Key
	grant   *recfleetv1.BusGrant
	events  int64
	seals   int32
}

func (s *server) begin(t *testing.T, change func(*recfleetv1.StartSessionRequest)) *agent {
	t.Helper()
	key, err := bus.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	r := request(key)
	change(r)
	got, err := recfleetv1.NewAgentServiceClient(s.agents).StartSession(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return &agent{s: s, session: got.GetSessionId(), start: r.GetStartTime().AsTime(), key: key, grant: got.GetBus()}
}

func (a *agent) report(t *testing.T, e *recfleetv1.Event) {
	t.Helper()
	a.events++
	e.Number, e.Time = a.events, timestamppb.New(a.start)
	if _, err := recfleetv1.NewAgentServiceClient(a.s.agents).ReportEvents(t.Context(), &recfleetv1.ReportEventsRequest{SessionId: a.session, Events: []*recfleetv1.Event{e}}); err != nil {
		t.Fatal(err)
	}
}

// tell reports a payload wherever an event has room for one.
func (a *agent) tell(t *testing.T, payload string) {
	t.Helper()
	a.report(t, &recfleetv1.Event{Body: &recfleetv1.Event_EpochStarted{EpochStarted: &recfleetv1.EpochStarted{
		Epoch: 1, Cause: payload, Geometry: &recfleetv1.Geometry{Width: width, Height: height, Monitors: []*recfleetv1.Monitor{{Name: clip(payload, 128), Width: width, Height: height}}},
	}}})
	a.report(t, &recfleetv1.Event{Body: &recfleetv1.Event_MetadataChanged{MetadataChanged: &recfleetv1.MetadataChanged{
		Metadata: map[string]string{clip(payload, 128): payload, "AppStream_UserName": payload, "AppStream_Image_Arn": payload},
	}}})
	a.report(t, &recfleetv1.Event{Body: &recfleetv1.Event_GapDeclared{GapDeclared: &recfleetv1.GapDeclared{
		StartTime: timestamppb.New(a.start.Add(10 * time.Second)), EndTime: timestamppb.New(a.start.Add(11 * time.Second)), Cause: clip(payload, 64), Detail: payload,
	}}})
}

func clip(s string, limit int) string {
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit], "")
	}
	return s
}

// record publishes a segment of two seconds.
func (a *agent) record(t *testing.T) {
	t.Helper()
	var stream bytes.Buffer
	e, err := screencodec.NewEncoder(screencodec.Config{Width: width, Height: height})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Begin(&stream, a.start); err != nil {
		t.Fatal(err)
	}
	pixels := make([]byte, 4*width*height)
	for i := range 10 {
		for j := range pixels {
			pixels[j] = byte(j * i) // a picture that changes
		}
		if _, err := e.Encode(pixels, time.Duration(i)*200*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.End(2 * time.Second); err != nil {
		t.Fatal(err)
	}
	p, err := bus.DialPublisher(t.Context(), bus.ClientConfig{Key: a.key, Grant: bus.GrantFromProto(a.grant), Logger: hclog.NewNullLogger()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	before := chunk.Genesis(a.session)
	sum := chunk.Sum(stream.Bytes())
	after := before.Next(sum)
	if err := p.Publish(t.Context(), chunk.Chunk{
		Session: a.session, Segment: 1, Epoch: 1, Sum: sum, Chain: after, Frames: 10, Start: a.start, LastFrame: a.start.Add(1800 * time.Millisecond),
		Width: width, Height: height, Bytes: stream.Len(), Payload: stream.Bytes(),
	}); err != nil {
		t.Fatal(err)
	}
	a.report(t, &recfleetv1.Event{Body: &recfleetv1.Event_SegmentSealed{SegmentSealed: &recfleetv1.SegmentSealed{
		Segment: 1, Epoch: 1, StartTime: timestamppb.New(a.start), EndTime: timestamppb.New(a.start.Add(2 * time.Second)), Width: width, Height: height,
		FrameCount: 10, ChunkCount: 1, ByteCount: int64(stream.Len()), ChainStart: before[:], ChainEnd: after[:],
	}}})
	a.seals = 1
	agents := recfleetv1.NewAgentServiceClient(a.s.agents)
	until(t, "receipt", func() bool {
		got, err := agents.Sync(t.Context(), &recfleetv1.AgentServiceSyncRequest{SessionId: a.session, AwaitingReceipt: []int32{1}})
		return err == nil && len(got.GetReceipts()) == 1
	})
}

func (a *agent) end(t *testing.T, reason string) {
	t.Helper()
	if _, err := recfleetv1.NewAgentServiceClient(a.s.agents).EndSession(t.Context(), &recfleetv1.EndSessionRequest{
		SessionId: a.session, Reason: reason, EndTime: timestamppb.New(a.start.Add(11 * time.Second)), LastSegment: a.seals, LastEvent: a.events,
	}); err != nil {
		t.Fatal(err)
	}
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("no %s in time", what)
		}
	}
}
