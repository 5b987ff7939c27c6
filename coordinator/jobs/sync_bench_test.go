package jobs

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/test/postgres"
)

// What most Syncs are: an encoder that says what it said before, holds nothing, and finds no work. It costs three reads and no
// write, and one read more for every second that it waits.
func BenchmarkSyncWithNothingToDo(b *testing.B) {
	b.Run("sqlite", func(b *testing.B) { benchmarkSync(b, filepath.Join(b.TempDir(), "catalog.db")) })
	b.Run("postgres", func(b *testing.B) {
		server, err := postgres.Start(b.Context())
		if err != nil {
			b.Skip(err)
		}
		b.Cleanup(func() {
			if err := server.Stop(); err != nil {
				b.Error(err)
			}
		})
		at, err := server.Create(b.Context(), "bench")
		if err != nil {
			b.Fatal(err)
		}
		benchmarkSync(b, at)
	})
}

func benchmarkSync(b *testing.B, location string) {
	c, err := catalog.Open(b.Context(), location)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	board := New(Config{Catalog: c, Lease: time.Minute, Ended: func() {}, Logger: hclog.NewNullLogger()})
	e := Encoder{ID: strings.Repeat("e", 16), Host: "h", Version: "v", Labels: []string{"gpu"}, Free: 4}
	for b.Loop() {
		if answer, err := board.Sync(context.WithoutCancel(b.Context()), e); err != nil || len(answer.Granted) > 0 {
			b.Fatal(answer, err)
		}
	}
}

func TestPoolsAndWishes(t *testing.T) {
	c, err := catalog.Open(t.Context(), filepath.Join(t.TempDir(), "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, now := t.Context(), time.Now()
	for i, pool := range []string{"", "gpu", ""} {
		id := fmt.Sprint("s", i)
		if _, _, err := c.CreateSession(ctx, catalog.Session{ID: id, RequestID: id, ArchivePrefix: id + "/", FrameRate: 5, Start: now.Add(time.Duration(i)), Created: now, Pool: pool}); err != nil {
			t.Fatal(err)
		}
		seal := catalog.Seal{Segment: 1, Epoch: 1, Start: now, End: now.Add(time.Second), Width: 2, Height: 2, Frames: 5, Chunks: 1, Bytes: 1}
		if err := c.AddSegment(ctx, catalog.Segment{Session: id, Seal: seal, SealedBy: catalog.PartyAgent}, now); err != nil {
			t.Fatal(err)
		}
	}
	board := New(Config{Catalog: c, Lease: time.Minute, Ended: func() {}, Logger: hclog.NewNullLogger()})
	board.Want(ctx, "s2", 1)
	sync := func(id string, labels ...string) (granted []string) {
		t.Helper()
		answer, err := board.Sync(ctx, Encoder{ID: id, Labels: labels, Free: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range answer.Granted {
			granted = append(granted, l.Job.ID)
		}
		return granted
	}
	if got := fmt.Sprint(sync("plain"), sync("other", "eu"), sync("third"), sync("graphics", "gpu")); got != "[s2.1] [s0.1] [] [s1.1]" {
		t.Errorf("granted %s", got)
	}
}
