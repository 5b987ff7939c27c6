// Package viewing writes down who watches which part of a session before it is served.
//
// What comes in is each request for a piece of a recording; what goes out are audit records, a few for each viewing: one that
// opens it and one for each further segment that is asked for. What always holds: when Cover has returned nil the audit holds a
// record, written in this viewing, whose span contains what was asked for; when it could not be written Cover fails, and
// nothing may be served.
package viewing

import (
	"context"
	"sync"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/evidence"
)

const (
	// idle is how long nothing is asked for until the next request is another viewing.
	idle = 15 * time.Minute
	// longest is how long a viewing lasts; a request after that is another one.
	longest = 12 * time.Hour
	// most bounds how many are kept in mind. One that is forgotten is opened anew, with a record more.
	most = 10_000
)

// Auditor keeps records; catalog.Catalog is one.
type Auditor interface {
	AppendAudit(ctx context.Context, r catalog.AuditRecord) (catalog.AuditRecord, error)
}

// Viewing is what somebody does with one session for one reason. Requests with the same one belong together.
type Viewing struct {
	Action  string // as "recording.play"
	Session string
	Who     string
	Auth    string
	From    string // the host that asks, without its port
	Reason  string
}

// Piece is a segment with the part of the session that it holds.
type Piece struct {
	Segment int
	Span    evidence.Span
}

// Book knows which viewings there are. It is safe for concurrent use.
type Book struct {
	audit Auditor
	now   func() time.Time

	mu   sync.Mutex
	open map[Viewing]*page
}

// page is one viewing. Its lock is held while a record is written, so that nothing is served meanwhile that it is to cover.
type page struct {
	lock          chan struct{} // holds one token
	opened, asked time.Time     // under Book.mu
	covered       map[int]bool  // segments; under lock
}

// New returns a book without viewings.
func New(audit Auditor, now func() time.Time) *Book {
	return &Book{audit: audit, now: now, open: map[Viewing]*page{}}
}

// Cover returns once the audit says that these pieces are watched in this viewing. It writes one record for all that it does not
// say yet, and none where it says all of it.
func (b *Book) Cover(ctx context.Context, v Viewing, pieces ...Piece) error {
	p := b.page(v)
	select {
	case <-p.lock:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { p.lock <- struct{}{} }()
	var span evidence.Span
	var fresh []int
	for _, one := range pieces {
		if !p.covered[one.Segment] {
			fresh, span = append(fresh, one.Segment), span.Join(one.Span)
		}
	}
	if len(fresh) == 0 && len(p.covered) > 0 {
		return nil
	}
	if _, err := b.audit.AppendAudit(ctx, catalog.AuditRecord{
		Time: b.now(), Who: v.Who, Auth: v.Auth, Action: v.Action, Object: v.Session, Span: span, Reason: v.Reason, Result: "ok", From: v.From,
	}); err != nil {
		return err
	}
	for _, n := range fresh {
		p.covered[n] = true
	}
	return nil
}

// page returns the viewing's, a new one where it is over or not known.
func (b *Book) page(v Viewing) *page {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	p := b.open[v]
	if p == nil || p.over(now) {
		if p == nil && len(b.open) >= most {
			b.makeRoom(now)
		}
		p = &page{lock: make(chan struct{}, 1), opened: now, covered: map[int]bool{}}
		p.lock <- struct{}{}
		b.open[v] = p
	}
	p.asked = now
	return p
}

func (p *page) over(now time.Time) bool {
	return now.Sub(p.asked) > idle || now.Sub(p.opened) > longest
}

// makeRoom forgets what is over or, where that is nothing, all.
func (b *Book) makeRoom(now time.Time) {
	for v, p := range b.open {
		if p.over(now) {
			delete(b.open, v)
		}
	}
	if len(b.open) >= most {
		clear(b.open)
	}
}
