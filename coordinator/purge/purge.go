// Package purge drops the chunks of archived segments from the bus.
//
// What comes in is the catalog's word that a segment is archived; only then are its chunks dropped, and only when they are
// is that noted. A crash in between drops them a second time, which does no harm.
package purge

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/duty"
)

const (
	every = 10 * time.Second
	batch = 100
)

// Bus drops chunks; see bus.Broker.
type Bus interface {
	PurgeSegment(ctx context.Context, session string, segment int) error
}

// Purge is the duty.
type Purge struct {
	// Archived says that a segment was archived.
	Archived duty.Signal

	catalog *catalog.Catalog
	bus     Bus
	logger  hclog.Logger
}

// New returns the duty.
func New(c *catalog.Catalog, bus Bus, logger hclog.Logger) *Purge {
	return &Purge{Archived: duty.NewSignal(), catalog: c, bus: bus, logger: logger}
}

// Step drops what is due, at most a batch.
func (p *Purge) Step(ctx context.Context) error {
	due, err := p.catalog.ToPurge(ctx, batch)
	if err != nil || len(due) == 0 {
		return err
	}
	var purged []catalog.Named
	var failed error
	for _, n := range due {
		if err := p.bus.PurgeSegment(ctx, n.Session, n.Segment); err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		p.logger.Debug("segment purged", "session_id", n.Session, "segment", n.Segment)
		purged = append(purged, n)
	}
	if len(due) == batch && failed == nil {
		p.Archived.Raise()
	}
	return errors.Join(failed, p.catalog.MarkPurged(ctx, purged))
}

// Run repeats Step until ctx is done.
func (p *Purge) Run(ctx context.Context) error {
	return duty.Duty{Every: every, Signal: p.Archived, Step: p.Step, Logger: p.logger}.Run(ctx)
}
