package encoder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/recfleet/recfleet/internal/bus"
	recfleetv1 "github.com/recfleet/recfleet/proto/recfleet/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestJobsAreDoneAndReported(t *testing.T) {
	f := newFixture(t)
	close(f.bus.hold)
	stop := f.run(t)
	for i := range 5 {
		f.offer(fmt.Sprintf("s%d", i))
	}
	c := f.coordinator
	c.wait(t, "five completions", func() bool { return len(c.completed) == 5 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	// The Sync before the last one was broken off, and may be heard after it.
	c.wait(t, "the last word", func() bool {
		return slices.ContainsFunc(c.syncs, func(s *recfleetv1.EncoderServiceSyncRequest) bool {
			return s.GetDraining() && len(s.GetHeld()) == 0 && s.GetFreeSlots() == 0
		})
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	if keys := f.archived(t); len(keys) != 5 {
		t.Errorf("archived %v", keys)
	}
	for _, r := range c.completed {
		info, err := f.cfg.Store.Stat(t.Context(), r.GetObjectKey())
		if err != nil || info.Bytes != r.GetBytes() || !bytes.Equal(info.SHA256[:], r.GetSha256()) {
			t.Errorf("object %+v, %v for %v", info, err, r)
		}
		if r.GetGeneration() != 7 || r.GetFrameCount() != 3 || r.GetWidth() != 64 || r.GetHeight() != 48 || r.GetCodec() != "libx264" ||
			r.GetDuration().AsDuration() != 600*time.Millisecond || r.GetEncoderId() != c.syncs[0].GetEncoderId() ||
			r.GetFfmpegVersion() == "" || r.GetEncoderVersion() != "v" {
			t.Errorf("completion %v", r)
		}
	}
	for i, s := range c.syncs {
		if n := int(s.GetFreeSlots()) + len(s.GetHeld()); n > 2 || s.GetEncoderId() != c.syncs[0].GetEncoderId() {
			t.Errorf("sync %d: %v", i, s)
		}
		if key := s.GetBusPublicKey(); (key != "") != (i == 0) {
			t.Errorf("sync %d asks for the bus with %q", i, key)
		}
	}
}

func TestHeldLeasesAreRenewed(t *testing.T) {
	f := newFixture(t)
	f.cfg.Slots = 1
	f.run(t)
	f.offer("s1")
	f.offer("s2")
	c := f.coordinator
	c.wait(t, "three syncs that name the job", func() bool {
		n := 0
		for _, s := range c.syncs {
			if len(s.GetHeld()) == 1 && s.GetHeld()[0].GetJobId() == "s1.1" && s.GetHeld()[0].GetGeneration() == 7 && s.GetFreeSlots() == 0 {
				n++
			}
		}
		return n == 3
	})
	close(f.bus.hold)
	c.wait(t, "both completions", func() bool { return len(c.completed) == 2 })
}

func TestLostLeaseStopsTheWorkAndIsNotReported(t *testing.T) {
	f := newFixture(t)
	stop := f.run(t)
	f.offer("s1")
	<-f.bus.reading
	c := f.coordinator
	c.change(func() { c.lost = []string{"s1.1", "unknown"} })
	c.wait(t, "a sync with both slots free again", func() bool {
		last := c.syncs[len(c.syncs)-1]
		return last.GetFreeSlots() == 2 && len(c.syncs) > 3
	})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if len(c.completed)+len(c.failed)+len(f.archived(t)) != 0 {
		t.Errorf("after the loss: %v, %v, %v", c.completed, c.failed, f.archived(t))
	}
}

func TestALeaseThatCannotBeRenewedIsGivenUp(t *testing.T) {
	f := newFixture(t)
	f.lease.Duration = durationpb.New(2 * time.Second)
	stop := f.run(t)
	f.offer("s1")
	<-f.bus.reading
	c := f.coordinator
	c.change(func() { c.answer = func(string) error { return status.Error(codes.Unavailable, "away") } })
	// Its work directory goes when the work has stopped.
	waitFor(t, func() bool { return len(workFiles(t, f.cfg.WorkDir)) == 0 })
	close(f.bus.hold)
	c.change(func() { c.answer = nil })
	f.lease.Duration = durationpb.New(time.Minute)
	f.offer("s2")
	c.wait(t, "the next job", func() bool { return len(c.completed) == 1 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if c.completed[0].GetJobId() != "s2.1" || len(c.failed) != 0 {
		t.Errorf("completed %v, failed %v", c.completed, c.failed)
	}
}

func workFiles(t *testing.T, dir string) (jobs []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.IsDir() {
			jobs = append(jobs, e.Name())
		}
	}
	return jobs
}

func waitFor(t *testing.T, ok func() bool) {
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

func TestDrainFinishesWhatIsHeld(t *testing.T) {
	f := newFixture(t)
	stop := f.run(t)
	f.offer("s1")
	<-f.bus.reading
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	c := f.coordinator
	c.wait(t, "a draining sync that renews", func() bool {
		last := c.syncs[len(c.syncs)-1]
		return last.GetDraining() && len(last.GetHeld()) == 1 && last.GetFreeSlots() == 0
	})
	f.offer("s2")
	close(f.bus.hold)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if len(c.completed) != 1 || c.completed[0].GetJobId() != "s1.1" || len(c.available) != 1 {
		t.Errorf("completed %v", c.completed)
	}
}

func TestDrainGivesBackWhatTakesTooLong(t *testing.T) {
	f := newFixture(t)
	f.cfg.DrainTime = 100 * time.Millisecond
	stop := f.run(t)
	f.offer("s1")
	<-f.bus.reading
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	c := f.coordinator
	if len(c.failed) != 1 || c.failed[0].GetCause() != recfleetv1.FailureCause_FAILURE_CAUSE_ENCODER || c.failed[0].GetGeneration() != 7 {
		t.Errorf("failed %v", c.failed)
	}
	if keys := f.archived(t); len(keys) != 0 {
		t.Errorf("archived %v", keys)
	}
}

func TestFailuresCarryTheirCause(t *testing.T) {
	f := newFixture(t)
	close(f.bus.hold)
	f.run(t)
	f.lease.Source.ChainEnd = bytes.Repeat([]byte{1}, 32)
	f.offer("s1")
	f.lease.Source.ChainEnd = []byte("short")
	f.offer("s2")
	c := f.coordinator
	c.wait(t, "both failures", func() bool { return len(c.failed) == 2 })
	for _, r := range c.failed {
		if r.GetCause() != recfleetv1.FailureCause_FAILURE_CAUSE_CONTENT || !strings.Contains(r.GetDetail(), "chain") || r.GetEncoderId() == "" {
			t.Errorf("failure %v", r)
		}
	}
}

func TestCompletionIsToldAgainUntilHeard(t *testing.T) {
	f := newFixture(t)
	close(f.bus.hold)
	f.run(t)
	c, tries := f.coordinator, 0
	c.change(func() {
		c.answer = func(method string) error {
			if method == "CompleteJob" && tries < 3 {
				tries++
				return status.Error(codes.Unavailable, "away")
			}
			return nil
		}
	})
	f.offer("s1")
	c.wait(t, "the completion", func() bool { return len(c.completed) == 1 })
	if tries != 3 || len(c.failed) != 0 {
		t.Errorf("%d tries, failed %v", tries, c.failed)
	}
}

func TestACompletionThatCameTooLateIsDropped(t *testing.T) {
	f := newFixture(t)
	close(f.bus.hold)
	stop := f.run(t)
	c, refused := f.coordinator, make(chan struct{}, 10)
	c.change(func() {
		c.answer = func(method string) error {
			if method == "CompleteJob" {
				refused <- struct{}{}
				return status.Error(codes.FailedPrecondition, "lease lost")
			}
			return nil
		}
	})
	f.offer("s1")
	<-refused
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if len(c.failed) != 0 || len(refused) != 0 {
		t.Errorf("failed %v, asked %d times more", c.failed, len(refused))
	}
}

func TestCoordinatorAwayAtTheStart(t *testing.T) {
	f := newFixture(t)
	close(f.bus.hold)
	c := f.coordinator
	c.answer = func(string) error { return status.Error(codes.Unavailable, "away") }
	f.run(t)
	c.wait(t, "three tries", func() bool { return len(c.syncs) >= 3 })
	c.change(func() { c.answer = nil })
	f.offer("s1")
	c.wait(t, "the completion", func() bool { return len(c.completed) == 1 })
}

func TestBusAwayAtTheStart(t *testing.T) {
	f := newFixture(t)
	close(f.bus.hold)
	tries := 0
	dial := f.cfg.dialBus
	f.cfg.dialBus = func(ctx context.Context, cfg bus.ClientConfig) (busReader, error) {
		if tries++; tries < 3 {
			return nil, errors.New("away")
		}
		return dial(ctx, cfg)
	}
	ready := 0
	f.cfg.Ready = func() { ready++ }
	stop := f.run(t)
	f.offer("s1")
	c := f.coordinator
	c.wait(t, "the completion", func() bool { return len(c.completed) == 1 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if ready != 1 {
		t.Errorf("ready %d times", ready)
	}
	for i, s := range c.syncs[:3] {
		if s.GetFreeSlots() != 0 || s.GetBusPublicKey() == "" {
			t.Errorf("sync %d: %v", i, s)
		}
	}
}

func TestRunRefuses(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *fixture){
		"a refused caller": func(_ *testing.T, f *fixture) {
			f.coordinator.answer = func(string) error { return status.Error(codes.Unauthenticated, "unknown token") }
		},
		"no slots":             func(_ *testing.T, f *fixture) { f.cfg.Slots = 0 },
		"no work directory":    func(_ *testing.T, f *fixture) { f.cfg.WorkDir = "/dev/null/work" },
		"no store":             func(_ *testing.T, f *fixture) { f.cfg.Store = nil },
		"no FFmpeg on machine": func(t *testing.T, _ *fixture) { t.Setenv("PATH", "/nowhere") },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			change(t, f)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := Run(ctx, f.cfg); !errors.Is(err, ErrUnusable) || ctx.Err() != nil {
				t.Errorf("error %v", err)
			}
		})
	}
}

// A signal that comes while FFmpeg is looked at is no failure.
func TestRunEndsInOrderBeforeItBegan(t *testing.T) {
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, f.cfg); err != nil {
		t.Error(err)
	}
}
