package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/recfleet/recfleet/coordinator/catalog"
)

// Catalog says how everything stands; see catalog.Catalog.
type Catalog interface {
	Vitals(ctx context.Context, now time.Time) (catalog.Vitals, error)
	FinalSessions(ctx context.Context) (map[catalog.SessionState]int, error)
}

const (
	// fresh is how old what the catalog said may be, freshFinal the same for the sessions that are over, whose count costs
	// more.
	fresh      = 5 * time.Second
	freshFinal = time.Minute
	// bound is how long the catalog may take.
	bound = 5 * time.Second
)

// said is what the catalog said; its maps are not changed any more.
type said struct {
	catalog.Vitals
	final map[catalog.SessionState]int
	read  time.Time // when the vitals are of; zero where the catalog did not answer
}

// cache keeps what the catalog said last. It is safe for concurrent use.
type cache struct {
	catalog Catalog
	failed  prometheus.Counter
	logger  hclog.Logger

	mu        sync.Mutex
	asked     time.Time // when it was asked last
	last      said
	finalRead time.Time
}

// state asks the catalog unless it was asked a moment ago. Whoever comes meanwhile waits for the same answer. A scrape has no
// context of its own, so what it asks is bounded by time alone.
func (c *cache) state() (said, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); c.asked.IsZero() || now.Sub(c.asked) >= fresh {
		c.asked = now
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		defer cancel()
		if err := c.refresh(ctx, now); err != nil {
			c.last.read = time.Time{}
			c.failed.Inc()
			c.logger.Warn("catalog was not read for metrics", "error", err)
		}
	}
	return c.last, !c.last.read.IsZero()
}

func (c *cache) refresh(ctx context.Context, now time.Time) error {
	vitals, err := c.catalog.Vitals(ctx, now)
	if err != nil {
		return err
	}
	if now.Sub(c.finalRead) >= freshFinal {
		final, err := c.catalog.FinalSessions(ctx)
		if err != nil {
			return err
		}
		c.last.final, c.finalRead = final, now
	}
	c.last.Vitals, c.last.read = vitals, now
	return nil
}
