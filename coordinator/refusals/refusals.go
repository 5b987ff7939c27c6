// Package refusals writes down what was refused to whom, without letting those who are refused fill the audit.
//
// What comes in are calls and requests that were not let through; what goes out are audit records: the first refusal of somebody
// at a method or route is one, and those that follow are counted and told of together, after a minute and, while they go on,
// after twice as long each time, up to an hour. What always holds: however many are refused, no more is written than budgetBurst
// records and then budgetRate each minute, beside one for all that found no room; every refusal is told of or counted.
package refusals

import (
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
)

const (
	// firstWindow is how long refusals are counted before they are told of, longestWindow how long while they go on.
	firstWindow, longestWindow = time.Minute, time.Hour
	// most bounds who is counted at once.
	most = 1000
	// budgetBurst records may be written at once, and budgetRate each minute after that: some four megabytes a day.
	budgetBurst, budgetRate = 120, 6
	// stepEvery is how often it is looked for counts to be told of.
	stepEvery = 5 * time.Second
	// writeTime is what writing a record may take; the caller may have gone.
	writeTime = 5 * time.Second
)

const (
	// refused is the result of all of them.
	refused = "refused"
	// othersAction is what the record is about that tells of those who found no room.
	othersAction = "calls.refused"
)

// Auditor keeps records; catalog.Catalog is one.
type Auditor interface {
	AppendAudit(ctx context.Context, r catalog.AuditRecord) (catalog.AuditRecord, error)
}

// Book writes refusals down. It is safe for concurrent use.
type Book struct {
	audit  Auditor
	now    func() time.Time
	logger hclog.Logger

	mu     sync.Mutex
	open   map[subject]*tally
	others tally
	budget float64   // records that may be written
	filled time.Time // when the budget grew last
}

// subject is who is refused what.
type subject struct{ who, auth, action string }

// tally is what was refused since it was told of last.
type tally struct {
	since  time.Time
	window time.Duration
	last   access.Denial
	at     time.Time
	times  int64
}

// New returns an empty book.
func New(audit Auditor, now func() time.Time, logger hclog.Logger) *Book {
	return &Book{audit: audit, now: now, logger: logger, open: map[subject]*tally{}, budget: budgetBurst, filled: now()}
}

// Denied writes a refusal down, or counts it. It blocks while it writes.
func (b *Book) Denied(ctx context.Context, d access.Denial) {
	t := b.count(d)
	if t == nil {
		return
	}
	if err := b.write(ctx, record(d, b.now(), 0)); err != nil {
		b.logger.Error("refusal was not audited", "action", d.Action, "object", d.Object, "who", d.Who, "error", err)
		b.mu.Lock()
		t.add(d, b.now()) // it is told of with those that follow
		b.mu.Unlock()
	}
}

// count returns the tally of a refusal that is to be written down at once; nil for one that was counted.
func (b *Book) count(d access.Denial) *tally {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, s := b.now(), subject{d.Who, d.Auth, d.Action}
	if t := b.open[s]; t != nil {
		t.add(d, now)
		return nil
	}
	if len(b.open) >= most || !b.spend(now) {
		if b.others.window == 0 {
			b.others = tally{since: now, window: firstWindow}
		}
		b.others.add(d, now)
		return nil
	}
	t := &tally{since: now, window: firstWindow}
	b.open[s] = t
	return t
}

func (t *tally) add(d access.Denial, at time.Time) {
	t.last, t.at = d, at
	t.times++
}

// spend takes a record from the budget, false where there is none.
func (b *Book) spend(now time.Time) bool {
	b.budget = min(budgetBurst, b.budget+budgetRate*now.Sub(b.filled).Minutes())
	b.filled = now
	if b.budget < 1 {
		return false
	}
	b.budget--
	return true
}

// Run tells of what was counted until ctx is done, and returns nil. Close is to be called when nothing more is refused.
func (b *Book) Run(ctx context.Context) error {
	tick := time.NewTicker(stepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			b.Step(ctx)
		}
	}
}

// Step tells of what was counted for long enough.
func (b *Book) Step(ctx context.Context) {
	for _, r := range b.due(false) {
		b.tell(ctx, r)
	}
}

// Close tells of all that was counted.
func (b *Book) Close() {
	for _, r := range b.due(true) {
		b.tell(context.Background(), r)
	}
}

func (b *Book) tell(ctx context.Context, r catalog.AuditRecord) {
	if err := b.write(ctx, r); err != nil {
		b.logger.Error("refusals were not audited", "action", r.Action, "who", r.Who, "count", r.Times, "error", err)
	}
}

// due takes out the records of what was counted for long enough, or of all.
func (b *Book) due(all bool) (records []catalog.AuditRecord) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	for s, t := range b.open {
		switch {
		case !all && now.Sub(t.since) < t.window:
		case t.times == 0:
			delete(b.open, s)
		case all || b.spend(now):
			records = append(records, record(t.last, t.at, t.times))
			t.next(now)
		}
	}
	if t := &b.others; t.window > 0 && (all || now.Sub(t.since) >= t.window) {
		if t.times == 0 {
			b.others = tally{}
			return records
		}
		records = append(records, record(access.Denial{Action: othersAction, From: t.last.From}, t.at, t.times))
		t.next(now)
	}
	return records
}

func (t *tally) next(now time.Time) {
	*t = tally{since: now, window: min(2*t.window, longestWindow)}
}

func record(d access.Denial, at time.Time, times int64) catalog.AuditRecord {
	return catalog.AuditRecord{Time: at, Who: d.Who, Auth: d.Auth, Action: d.Action, Object: d.Object, Result: refused, From: d.From, Times: times}
}

func (b *Book) write(ctx context.Context, r catalog.AuditRecord) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
	defer cancel()
	_, err := b.audit.AppendAudit(ctx, r)
	return err
}
