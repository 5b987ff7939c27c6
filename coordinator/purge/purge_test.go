package purge

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/chunk"
)

// streams is a bus that notes what was purged, and fails for one segment.
type streams struct {
	purged map[int]int
	broken int
}

func (s *streams) PurgeSegment(_ context.Context, _ string, segment int) error {
	if segment == s.broken {
		return errors.New("the bus is away")
	}
	s.purged[segment]++
	return nil
}

func TestOnlyWhatIsArchivedIsPurged(t *testing.T) {
	c, err := catalog.Open(t.Context(), filepath.Join(t.TempDir(), "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, now := t.Context(), time.Now()
	if _, _, err := c.CreateSession(ctx, catalog.Session{ID: "s", RequestID: "r", ArchivePrefix: "s/", FrameRate: 5, Start: now, Created: now}); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= 4; n++ {
		seal := catalog.Seal{Segment: n, Epoch: 1, Start: now, End: now.Add(time.Second), Width: 2, Height: 2, Frames: 5, Chunks: 1, Bytes: 1, ChainEnd: chunk.Sum([]byte{byte(n)})}
		if err := c.AddSegment(ctx, catalog.Segment{Session: "s", Seal: seal, SealedBy: catalog.PartyAgent}, now); err != nil {
			t.Fatal(err)
		}
	}
	leased, err := c.LeaseJobs(ctx, "e", 3, now, now.Add(time.Hour)) // the fourth waits
	if err != nil || len(leased) != 3 {
		t.Fatal(leased, err)
	}
	for _, l := range leased[:2] {
		if err := c.CompleteJob(ctx, l.Job.ID, l.Job.Generation, catalog.Recording{ObjectKey: l.Job.ID, Bytes: 1, EncoderID: "e"}); err != nil {
			t.Fatal(err)
		}
	}
	// The third is quarantined: its chunks are all there is of it.
	if _, err := c.FailJob(ctx, leased[2].Job.ID, leased[2].Job.Generation, catalog.Failure{
		Encoder: "e", Content: true, Limit: 1, Backoff: func(int) time.Duration { return 0 },
	}, now); err != nil {
		t.Fatal(err)
	}
	bus := &streams{map[int]int{}, leased[1].Job.Segment}
	p := New(c, bus, hclog.NewNullLogger())
	if err := p.Step(ctx); err == nil {
		t.Error("the bus was away, and nobody heard of it")
	}
	bus.broken = 0
	for range 2 {
		if err := p.Step(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if len(bus.purged) != 2 || bus.purged[leased[0].Job.Segment] != 1 || bus.purged[leased[1].Job.Segment] != 1 {
		t.Errorf("purged %v", bus.purged)
	}
}
