package agent

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/recfleet/recfleet/agent/control"
	"github.com/recfleet/recfleet/internal/chunk"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
	"github.com/recfleet/recfleet/test/desktop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func seqs(chunks []chunk.Chunk) []int {
	var s []int
	for _, c := range chunks {
		s = append(s, c.Seq)
	}
	return s
}

func missing(segment int32, count int, have []int) *recfleetv1.MissingChunks {
	m := &recfleetv1.MissingChunks{Segment: segment}
	for seq := range count {
		if !slices.Contains(have, seq) {
			m.Seqs = append(m.Seqs, int32(seq))
		}
	}
	return m
}

func await(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatal("it did not happen in time")
		case <-tick.C:
		}
	}
}

// running is an agent that runs for one test.
type running struct {
	*Agent
	t    *testing.T
	end  context.CancelFunc
	over chan error
}

func runAgent(t *testing.T, c *coordinator, display, dir string, change ...func(*Config)) *running {
	t.Helper()
	log := hclog.NewNullLogger()
	if testing.Verbose() {
		log = hclog.New(&hclog.LoggerOptions{Level: hclog.Info, Output: os.Stderr})
	}
	cfg := Config{Coordinator: c.client, Display: display, User: "ann", SpoolDir: dir, Metadata: map[string]string{"k": "v"},
		MinFreeBytes: 1, Version: "test", Logger: log}
	for _, c := range change {
		c(&cfg)
	}
	a := New(cfg)
	ctx, end := context.WithCancel(context.Background())
	r := &running{Agent: a, t: t, end: end, over: make(chan error, 1)}
	go func() { r.over <- a.Run(ctx) }()
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *running) await(what <-chan struct{}) {
	r.t.Helper()
	select {
	case <-what:
	case err := <-r.over:
		r.over <- err
		r.t.Fatalf("the agent ended: %v", err)
	case <-time.After(30 * time.Second):
		r.t.Fatal("it did not happen in time")
	}
}

func (r *running) stop() error {
	r.Stop("stopped by test", 20*time.Second)
	err := <-r.over
	r.over <- err
	r.end()
	return err
}

func leftFiles(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "sessions", "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestRecordsHandsOverAndEnds(t *testing.T) {
	x := desktop.Start(t, 400, 300)
	counter, err := desktop.StartCounter(x, 300*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	c := startCoordinator(t)
	dir := t.TempDir()
	a := runAgent(t, c, x.Display(), dir)
	a.await(a.Durable())
	await(t, func() bool { return a.Status().Frames >= 16 })
	if err := x.Resize(500, 350); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return a.Status().Width == 500 })
	st, err := control.Query(t.Context(), dir)
	if err != nil || st.State != control.StateRecording || st.SessionID == "" || st.Display != x.Display() || st.PublishedChunks == 0 {
		t.Errorf("status %+v, %v", st, err)
	}
	n := a.Status().Frames
	await(t, func() bool { return a.Status().Frames >= n+5 })
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	_ = counter.Stop()
	if left := leftFiles(t, dir); len(left) != 0 {
		t.Errorf("left in the spool: %v", left)
	}
	s := c.all()[0]
	if s.idle < time.Second || s.idle > time.Minute {
		t.Errorf("a user who did nothing was idle for %v", s.idle)
	}
	if s.end.GetReason() != "stopped by test" || s.receipts < 3 || s.gaps() != "" {
		t.Errorf("end %v, %d receipts, gaps %s", s.end, s.receipts, s.gaps())
	}
	if s.start.GetUser() != "ann" || s.start.GetMetadata()["k"] != "v" || s.start.GetMetadata()["hostname"] == "" || s.start.GetGeometry().GetWidth() != 400 {
		t.Errorf("start %v", s.start)
	}
	var epochs []int32
	var frames int64
	for _, e := range s.events {
		if g := e.GetEpochStarted(); g != nil {
			epochs = append(epochs, g.GetGeometry().GetWidth())
		}
		frames += e.GetSegmentSealed().GetFrameCount()
	}
	if !slices.Equal(epochs, []int32{400, 500}) || frames < n {
		t.Errorf("epochs %v, %d frames", epochs, frames)
	}
}

func TestStopOrderEndsWithItsReason(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	a := runAgent(t, c, x.Display(), t.TempDir())
	a.await(a.Durable())
	c.set(func() { c.stopFor = "an admin wanted it" })
	a.await(a.done)
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	if s := c.all()[0]; s.end.GetReason() != "an admin wanted it" {
		t.Errorf("end %v", s.end)
	}
}

func TestCoordinatorAwayCostsNothing(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	dir := t.TempDir()
	a := runAgent(t, c, x.Display(), dir)
	a.await(a.Durable())
	c.set(func() { c.deaf = true })
	n := a.Status().Frames
	await(t, func() bool { return a.Status().Frames >= n+15 })
	c.set(func() { c.deaf = false })
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	if s := c.all()[0]; s.end == nil || s.gaps() != "" || len(leftFiles(t, dir)) != 0 {
		t.Errorf("end %v, gaps %s, left %v", s.end, s.gaps(), leftFiles(t, dir))
	}
}

func TestSecondAgentOnASpoolIsRefused(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	dir := t.TempDir()
	a := runAgent(t, c, x.Display(), dir)
	a.await(a.Durable())
	b := runAgent(t, c, x.Display(), dir)
	if err := <-b.over; err == nil {
		t.Error("two agents use one spool")
	} else {
		b.over <- err
	}
	if a.Status().State != control.StateRecording {
		t.Errorf("the first agent is %s", a.Status().State)
	}
}

func TestWhatTheServerLostIsSentAgain(t *testing.T) {
	x := desktop.Start(t, 320, 240)
	c := startCoordinator(t)
	c.set(func() { c.lose = 1 })
	dir := t.TempDir()
	a := runAgent(t, c, x.Display(), dir)
	a.await(a.Durable())
	await(t, func() bool { return a.Status().Segments >= 2 && a.Status().ReportedEvents >= 2 })
	c.set(func() { // as after a restore from an older backup
		for _, s := range c.sessions {
			s.events = s.events[:1]
		}
	})
	if err := a.stop(); err != nil {
		t.Fatal(err)
	}
	s := c.all()[0]
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lose != 0 || s.end == nil || s.seals() < 2 || len(leftFiles(t, dir)) != 0 {
		t.Errorf("end %v, %d seals, left %v", s.end, s.seals(), leftFiles(t, dir))
	}
	for i, e := range s.events {
		if e.GetNumber() != int64(i+1) {
			t.Errorf("event %d is number %d", i+1, e.GetNumber())
		}
	}
}
