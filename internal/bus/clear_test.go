package bus

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// Reading headers leaves nothing behind on the server, though nobody waits for that.
func TestReadingHeadersLeavesNoConsumer(t *testing.T) {
	f := newFixture(t)
	f.createSession(t, "aa")
	p := f.publisher(t, "aa")
	for _, c := range segmentOf("aa", 1, 3) {
		if err := p.Publish(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		if headers, err := f.broker.Headers(t.Context(), "aa", 1); err != nil || len(headers) != 3 {
			t.Fatalf("%d headers, %v", len(headers), err)
		}
	}
	left := 0
	// The server forgets consumers by itself after 30 s.
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); {
		stream, err := f.broker.js.Stream(t.Context(), streamName("aa"))
		if err != nil {
			t.Fatal(err)
		}
		if left = stream.CachedInfo().State.Consumers; left == 0 {
			return
		}
	}
	t.Errorf("%d consumers are left", left)
}

// One thing is taken off the bus at a time, and who cannot wait leaves.
func TestOneThingIsTakenOffAtATime(t *testing.T) {
	b := &Broker{clearing: make(chan struct{}, 1)}
	var now, most atomic.Int64
	var group errgroup.Group
	for range 8 {
		group.Go(func() error {
			return b.clear(t.Context(), func() error {
				most.Store(max(most.Load(), now.Add(1)))
				defer now.Add(-1)
				time.Sleep(time.Millisecond) // long enough for another to come in
				return nil
			})
		})
	}
	if err := group.Wait(); err != nil || most.Load() != 1 {
		t.Errorf("%d at a time, %v", most.Load(), err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	err := b.clear(t.Context(), func() error {
		return b.clear(ended, func() error { return nil })
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("who could not wait got %v", err)
	}
}
