package publish

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/recfleet/recfleet/agent/spool"
	"github.com/recfleet/recfleet/internal/bus"
	"github.com/recfleet/recfleet/internal/chunk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// unsteady takes chunks unless it is told what to answer; the tests of the agent publish on a real bus.
type unsteady struct {
	mu      sync.Mutex
	answers []error // for the next calls
	got     []string
	flying  int
	most    int
}

func (b *unsteady) Publish(_ context.Context, c chunk.Chunk) error {
	b.mu.Lock()
	b.flying++
	b.most = max(b.most, b.flying)
	b.mu.Unlock()
	timer := time.NewTimer(time.Millisecond)
	<-timer.C
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flying--
	if len(b.answers) > 0 {
		err := b.answers[0]
		b.answers = b.answers[1:]
		if err != nil {
			return err
		}
	}
	if chunk.Sum(c.Payload) != c.Sum {
		return errors.New("the payload is another chunk's")
	}
	b.got = append(b.got, fmt.Sprintf("%d/%d", c.Segment, c.Seq))
	return nil
}

func (b *unsteady) sorted() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := slices.Clone(b.got)
	slices.Sort(s)
	return s
}

type fixture struct {
	t       *testing.T
	dir     string
	session *spool.Session
	bus     *unsteady
	p       *Publisher
	refused int
}

func begin(t *testing.T, answers ...error) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir(), bus: &unsteady{answers: answers}}
	p, err := spool.Open(spool.Config{Dir: f.dir})
	if err != nil {
		t.Fatal(err)
	}
	f.session, err = p.Create(spool.Registration{RequestID: "0123456789abcdef", SessionID: "s1", Settings: spool.Settings{ChunkBytes: 1024}})
	if err != nil {
		t.Fatal(err)
	}
	f.p = New(Config{Session: f.session, Refused: func() { f.refused++ }, Logger: hclog.NewNullLogger()})
	t.Cleanup(func() {
		_ = f.session.Close()
		_ = p.Close()
	})
	return f
}

// run publishes until the test ends.
func (f *fixture) run() {
	ctx, stop := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() { over <- f.p.Run(ctx, f.bus) }()
	f.t.Cleanup(func() {
		stop()
		if err := <-over; err != nil {
			f.t.Error(err)
		}
	})
}

// segment writes a segment of that many chunks.
func (f *fixture) segment(chunks int) {
	f.t.Helper()
	w, err := f.session.NewSegment(spool.SegmentConfig{Epoch: 1, Width: 1, Height: 1, Start: time.Now()})
	if err != nil {
		f.t.Fatal(err)
	}
	b := make([]byte, 1024*chunks)
	for i := range b {
		b[i] = byte(i / 1024)
	}
	if _, err := w.Write(b); err != nil {
		f.t.Fatal(err)
	}
	if err := errors.Join(w.FrameEnd(time.Now()), w.Seal(time.Now()), f.session.Flush()); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) await(ok func() bool) {
	f.t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			f.t.Fatalf("it did not happen in time; the bus has %v", f.bus.sorted())
		case <-tick.C:
		}
	}
}

func (f *fixture) state(n int) spool.State { return f.session.Segments()[n-1].State }

func TestFollowsTheSpool(t *testing.T) {
	f := begin(t)
	f.segment(20)
	f.run()
	f.await(func() bool { return f.state(1) == spool.StatePublished })
	<-f.p.First()
	f.segment(1)
	f.await(func() bool { return f.state(2) == spool.StatePublished })
	if got := f.bus.sorted(); len(got) != 21 || len(slices.Compact(got)) != 21 || f.p.Published() != 21 {
		t.Errorf("the bus has %v", got)
	}
	if f.bus.most < 2 || f.bus.most > inFlight {
		t.Errorf("%d chunks were in flight", f.bus.most)
	}
}

func TestTriesUntilTheBusHasIt(t *testing.T) {
	f := begin(t, bus.ErrFull, errors.New("passing"), bus.ErrRefused, nil, bus.ErrFull)
	f.segment(3)
	f.run()
	f.await(func() bool { return f.state(1) == spool.StatePublished })
	if got := f.bus.sorted(); !slices.Equal(got, []string{"1/0", "1/1", "1/2"}) {
		t.Errorf("the bus has %v", got)
	}
	if f.refused != 1 {
		t.Errorf("told %d times of the lost right", f.refused)
	}
}

func TestEndsWhileTheBusIsAway(t *testing.T) {
	away := make([]error, 1000)
	for i := range away {
		away[i] = errors.New("away")
	}
	f := begin(t, away...)
	f.segment(3)
	f.run()
	f.await(func() bool { f.bus.mu.Lock(); defer f.bus.mu.Unlock(); return len(f.bus.answers) < 995 })
	if f.state(1) != spool.StateSealed {
		t.Errorf("a segment that is not on the bus is %s", f.state(1))
	}
}

func TestMissingChunksArePublishedAgain(t *testing.T) {
	f := begin(t)
	f.segment(12)
	f.run()
	f.await(func() bool { return f.state(1) == spool.StatePublished })
	f.p.Again(Missing{Segment: 1, Seqs: []int{0, 3, 11, 99}})
	f.p.Again(Missing{Segment: 7, Seqs: []int{1}}) // of which there is none
	f.await(func() bool { return len(f.bus.sorted()) == 15 })
}

func TestDamagedSegmentDoesNotHoldUpTheNext(t *testing.T) {
	f := begin(t)
	f.segment(3)
	path := filepath.Join(f.dir, "sessions", "0123456789abcdef", "000001.sealed")
	if err := os.Truncate(path, 1500); err != nil {
		t.Fatal(err)
	}
	f.segment(2)
	f.run()
	f.await(func() bool { return f.state(2) == spool.StatePublished })
	if f.state(1) != spool.StateSealed {
		t.Errorf("the damaged segment is %s", f.state(1))
	}
}
