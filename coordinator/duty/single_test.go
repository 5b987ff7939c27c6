package duty_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/goleak"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/duty"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// two are coordinators with a catalog each on one database.
func two(t *testing.T, lasts time.Duration) (a, b duty.Single, c *catalog.Catalog) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "catalog.db")
	single := func(holder string) duty.Single {
		c, err := catalog.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return duty.Single{Name: "d", Holder: holder, Leases: c, Lasts: lasts, Logger: hclog.NewNullLogger()}
	}
	a, b = single("a"), single("b")
	return a, b, b.Leases.(*catalog.Catalog)
}

// begin runs a duty until the returned function ends it.
func begin(t *testing.T, s duty.Single, run func(ctx context.Context) error) (end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, run) }()
	end = func() error {
		cancel()
		select {
		case err := <-ended:
			ended <- err
			return err
		case <-time.After(10 * time.Second):
			return errors.New("it does not end")
		}
	}
	t.Cleanup(func() { _ = end() })
	return end
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("no %s", what)
		}
	}
}

func TestOneHasADutyAndTheOtherTakesItOver(t *testing.T) {
	first, second, _ := two(t, time.Second)
	var running, most, byB atomic.Int64
	run := func(count *atomic.Int64) func(context.Context) error {
		return func(ctx context.Context) error {
			count.Add(1)
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			<-ctx.Done()
			running.Add(-1)
			return nil
		}
	}
	var byA atomic.Int64
	endA := begin(t, first, run(&byA))
	await(t, "holder", func() bool { return byA.Load() == 1 })
	endB := begin(t, second, run(&byB))
	select {
	case <-time.After(3 * time.Second): // several times the lease
	case <-t.Context().Done():
	}
	if byB.Load() != 0 || byA.Load() != 1 {
		t.Errorf("the duty changed hands: %d, %d", byA.Load(), byB.Load())
	}
	if err := endA(); err != nil {
		t.Fatal(err)
	}
	await(t, "heir", func() bool { return byB.Load() == 1 })
	if err := endB(); err != nil || most.Load() != 1 {
		t.Error(most.Load(), err)
	}
}

// A holder that is frozen for longer than its lease goes on in the middle of a step. What it writes then is refused, its step
// is ended, and it gets the duty back only after the other one.
func TestAFrozenHolderChangesNothingWhenItGoesOn(t *testing.T) {
	frozen, other, c := two(t, time.Second)
	if _, _, err := c.CreateSession(t.Context(), catalog.Session{ID: "s", RequestID: "r", ArchivePrefix: "s/", FrameRate: 5, Start: time.Now(), Created: time.Now()}); err != nil {
		t.Fatal(err)
	}
	thaw, begun := make(chan struct{}), make(chan struct{})
	wrote, stopped := make(chan error, 1), make(chan struct{})
	mine := frozen.Leases.(*catalog.Catalog)
	// Freezing keeps it from renewing as well as from its step.
	frozen.Leases = &freezing{Catalog: mine, thaw: thaw}
	begin(t, frozen, func(ctx context.Context) error {
		close(begun)
		<-thaw
		wrote <- mine.LoseSession(context.WithoutCancel(ctx), "s", time.Now(), "it was silent before I froze")
		<-ctx.Done()
		close(stopped)
		return nil
	})
	<-begun
	var heirs atomic.Int64
	begin(t, other, func(ctx context.Context) error {
		heirs.Add(1)
		<-ctx.Done()
		return nil
	})
	await(t, "heir", func() bool { return heirs.Load() == 1 })
	close(thaw)
	if err := <-wrote; !errors.Is(err, catalog.ErrDutyLost) {
		t.Errorf("the thawed one wrote: %v", err)
	}
	<-stopped
	if s, err := c.Session(t.Context(), "s"); err != nil || !s.Lost.IsZero() || s.State != catalog.SessionStarting {
		t.Errorf("%+v, %v", s, err)
	}
	if heirs.Load() != 1 {
		t.Errorf("the heir lost it: %d", heirs.Load())
	}
}

// freezing is a catalog whose coordinator is frozen once it has a duty.
type freezing struct {
	*catalog.Catalog
	thaw  chan struct{}
	taken atomic.Bool
}

func (f *freezing) TakeDuty(ctx context.Context, name, holder string, now, until time.Time) (int64, bool, error) {
	if f.taken.Swap(true) {
		<-f.thaw
		now, until = time.Now(), time.Now().Add(until.Sub(now))
		ctx = context.WithoutCancel(ctx)
	}
	return f.Catalog.TakeDuty(ctx, name, holder, now, until)
}

func TestNamesStay(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity", "name")
	a, err := duty.OpenName(path)
	if err != nil || len(a) < 16 {
		t.Fatal(a, err)
	}
	if b, err := duty.OpenName(path); err != nil || b != a {
		t.Errorf("%s became %s, %v", a, b, err)
	}
}
