// Package retention deletes recordings: those whose time is over, and those that somebody ordered to be deleted.
//
// What comes in are sessions that are over and that nobody holds. What goes out is nothing but deletions: of everything in the
// session's folder of the archive, of what the bus still has, and then of what the catalog need not know; a tombstone stays.
// What always holds: an order to delete is in the catalog, and for one that this package gives in the audit too, before anything
// is deleted, and from then on nobody can hold the session any more; a deletion that was begun is done again until nothing is
// left. What a writer that was frozen puts into the folder later is deleted as well, for a day.
package retention

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/duty"
	"github.com/recfleet/recfleet/internal/manifest"
)

const (
	every = 10 * time.Second
	batch = 50
	// pause is how long a session is left alone that could not be deleted.
	pause = time.Minute
	// sweepEvery is how often the folders of sessions are looked at again that were deleted in the last sweepFor.
	sweepEvery = 10 * time.Minute
	sweepFor   = 24 * time.Hour
)

// actor is who orders what retention orders.
const actor = "retention"

// Catalog is what is asked and told; see catalog.Catalog.
type Catalog interface {
	Expired(ctx context.Context, now time.Time, limit int) ([]catalog.Session, error)
	OrderDeletion(ctx context.Context, id string, d catalog.Deletion) error
	ToDelete(ctx context.Context, limit int) ([]catalog.Session, error)
	FinishDeletion(ctx context.Context, id string, done time.Time) error
	DeletedSince(ctx context.Context, since time.Time) ([]catalog.Session, error)
	AppendAudit(ctx context.Context, r catalog.AuditRecord) (catalog.AuditRecord, error)
}

// Archive holds the recordings; see object.Store.
type Archive interface {
	Remains(ctx context.Context, prefix string) iter.Seq2[string, error]
	Delete(ctx context.Context, key string) error
}

// Bus holds the streams of sessions; see bus.Broker.
type Bus interface {
	DeleteSession(ctx context.Context, session string) error
}

// Retention is the duty.
type Retention struct {
	// Due says that a deletion was ordered.
	Due duty.Signal

	catalog Catalog
	archive Archive
	bus     Bus
	logger  hclog.Logger
	now     func() time.Time

	// Only Step touches these.
	resting map[string]time.Time // sessions to leave alone until then
	swept   time.Time
}

// New returns the duty.
func New(c Catalog, archive Archive, bus Bus, logger hclog.Logger) *Retention {
	return &Retention{Due: duty.NewSignal(), catalog: c, archive: archive, bus: bus, logger: logger, now: time.Now, resting: map[string]time.Time{}}
}

// Run repeats Step until ctx is done. One coordinator does it for all.
func (r *Retention) Run(ctx context.Context) error {
	return duty.Duty{Every: every, Signal: r.Due, Step: r.Step, Logger: r.logger}.Run(ctx)
}

// Step orders the deletion of what has expired and deletes what was ordered. It is not to be called twice at a time.
func (r *Retention) Step(ctx context.Context) error {
	return errors.Join(r.expire(ctx), r.deleteOrdered(ctx), r.sweep(ctx))
}

// expire orders the deletion of sessions whose time is over.
func (r *Retention) expire(ctx context.Context) error {
	now := r.now()
	expired, err := r.catalog.Expired(ctx, now, batch+len(r.resting))
	if err != nil {
		return err
	}
	var failed error
	for _, s := range expired {
		if now.Before(r.resting[s.ID]) {
			continue
		}
		if err := r.order(ctx, s, now); err != nil {
			r.resting[s.ID] = now.Add(pause)
			failed = errors.Join(failed, err)
		}
	}
	if len(expired) >= batch {
		r.Due.Raise()
	}
	return failed
}

// order notes that a session is to be deleted because its time is over.
func (r *Retention) order(ctx context.Context, s catalog.Session, now time.Time) error {
	reason := fmt.Sprintf("kept until %s", s.RetainUntil.UTC().Format(time.RFC3339))
	if s.Policy.Rule != "" {
		reason += " by rule " + s.Policy.Rule
	}
	record := catalog.AuditRecord{Time: now, Who: actor, Action: "session.delete", Object: s.ID, Reason: reason, Result: "ok"}
	if _, err := r.catalog.AppendAudit(ctx, record); err != nil {
		return err
	}
	err := r.catalog.OrderDeletion(ctx, s.ID, catalog.Deletion{Ordered: now, By: actor, Reason: reason})
	if errors.Is(err, catalog.ErrHeld) || errors.Is(err, catalog.ErrConflict) {
		record.Result = "failed_precondition" // somebody was quicker
		_, auditErr := r.catalog.AppendAudit(ctx, record)
		return errors.Join(err, auditErr)
	}
	if err != nil {
		return err
	}
	r.logger.Info("session expired", "session_id", s.ID, "retain_until", s.RetainUntil, "rule", s.Policy.Rule)
	return nil
}

// deleteOrdered carries deletions out.
func (r *Retention) deleteOrdered(ctx context.Context) error {
	ordered, err := r.catalog.ToDelete(ctx, batch+len(r.resting))
	if err != nil {
		return err
	}
	var failed error
	for _, s := range ordered {
		if r.now().Before(r.resting[s.ID]) {
			continue
		}
		delete(r.resting, s.ID)
		if err := r.delete(ctx, s); err != nil {
			r.resting[s.ID] = r.now().Add(pause)
			failed = errors.Join(failed, fmt.Errorf("delete session %s: %w", s.ID, err))
		}
	}
	if len(ordered) >= batch && failed == nil {
		r.Due.Raise()
	}
	return failed
}

// delete removes what there is of a session; it may have been begun before.
func (r *Retention) delete(ctx context.Context, s catalog.Session) error {
	if err := r.bus.DeleteSession(ctx, s.ID); err != nil {
		return err
	}
	n, err := r.empty(ctx, s.ArchivePrefix)
	if err != nil {
		return err
	}
	if err := r.catalog.FinishDeletion(ctx, s.ID, r.now()); err != nil {
		return err
	}
	r.logger.Info("session deleted", "session_id", s.ID, "objects", n, "by", s.Deletion.By, "reason", s.Deletion.Reason)
	return nil
}

// empty deletes every object of a folder, first the end marker, and returns how many there were.
func (r *Retention) empty(ctx context.Context, folder string) (n int, err error) {
	if len(folder) < 2 || folder[len(folder)-1] != '/' {
		return 0, fmt.Errorf("empty folder %q: it is none", folder)
	}
	var keys []string
	for key, err := range r.archive.Remains(ctx, folder) {
		if err != nil {
			return 0, err
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	if at := slices.Index(keys, folder+manifest.MarkerName); at > 0 {
		keys = slices.Insert(slices.Delete(keys, at, at+1), 0, folder+manifest.MarkerName)
	}
	for _, key := range keys {
		if err := r.archive.Delete(ctx, key); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// sweep deletes what was put late: an encoder or coordinator that was frozen while it wrote may go on after the deletion.
func (r *Retention) sweep(ctx context.Context) error {
	now := r.now()
	if now.Sub(r.swept) < sweepEvery {
		return nil
	}
	r.swept = now
	deleted, err := r.catalog.DeletedSince(ctx, now.Add(-sweepFor))
	if err != nil {
		return err
	}
	var failed error
	for _, s := range deleted {
		n, err := r.empty(ctx, s.ArchivePrefix)
		if n > 0 {
			r.logger.Warn("late objects deleted", "session_id", s.ID, "objects", n)
		}
		failed = errors.Join(failed, err)
	}
	return failed
}
