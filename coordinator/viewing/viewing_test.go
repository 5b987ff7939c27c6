package viewing_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/coordinator/viewing"
	"github.com/recfleet/recfleet/internal/evidence"
)

// paper is an audit log that may be torn.
type paper struct {
	mu      sync.Mutex
	records []catalog.AuditRecord
	torn    error
	writing chan struct{} // where it is set, told of each record that is about to be written
}

func (p *paper) AppendAudit(_ context.Context, r catalog.AuditRecord) (catalog.AuditRecord, error) {
	if p.writing != nil {
		p.writing <- struct{}{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.torn != nil {
		return r, p.torn
	}
	p.records = append(p.records, r)
	return r, nil
}

var (
	start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	ann   = viewing.Viewing{Action: "recording.play", Session: "a", Who: "ann", From: "10.0.0.1", Reason: "case 7"}
)

func piece(n int64) viewing.Piece {
	return viewing.Piece{Segment: int(n), Span: evidence.Span{Start: (n - 1) * 1000, End: n * 1000}}
}

func TestAViewingIsOpenedOnceAndExtended(t *testing.T) {
	now, log := start, &paper{}
	b := viewing.New(log, func() time.Time { return now })
	cover := func(v viewing.Viewing, want int, pieces ...viewing.Piece) {
		t.Helper()
		if err := b.Cover(t.Context(), v, pieces...); err != nil || len(log.records) != want {
			t.Errorf("%d records, want %d; %v", len(log.records), want, err)
		}
	}
	for range 100 { // ranges of one segment
		cover(ann, 1, piece(1))
	}
	cover(ann, 2, piece(1), piece(2), piece(3))
	cover(ann, 2, piece(3))
	if r := log.records[1]; r.Span != (evidence.Span{Start: 1000, End: 3000}) || r.Who != "ann" || r.Reason != "case 7" || r.Object != "a" || r.From != "10.0.0.1" || r.Result != "ok" || !r.Time.Equal(start) {
		t.Errorf("%+v", r)
	}
	other := ann
	other.Reason = "case 8"
	cover(other, 3, piece(1))
	other = ann
	other.Who = "bob"
	cover(other, 4, piece(1))
	now = now.Add(14 * time.Minute)
	cover(ann, 4, piece(2))
	now = now.Add(16 * time.Minute)
	cover(ann, 5, piece(2))
	for range 24 * 5 { // never idle, and yet another viewing in the end
		now = now.Add(10 * time.Minute)
		if err := b.Cover(t.Context(), ann, piece(2)); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(log.records); n != 6 {
		t.Errorf("%d records", n)
	}
}

func TestNothingIsCoveredByWhatWasNotWritten(t *testing.T) {
	log := &paper{torn: errors.New("disk is full")}
	b := viewing.New(log, time.Now)
	for range 3 {
		if err := b.Cover(t.Context(), ann, piece(1)); !errors.Is(err, log.torn) {
			t.Errorf("covered without a record: %v", err)
		}
	}
	log.torn = nil
	if err := b.Cover(t.Context(), ann, piece(1)); err != nil || len(log.records) != 1 {
		t.Error(log.records, err)
	}
	log.torn = errors.New("disk is full again")
	if err := b.Cover(t.Context(), ann, piece(1)); err != nil {
		t.Errorf("what is covered is served: %v", err)
	}
	if err := b.Cover(t.Context(), ann, piece(2)); !errors.Is(err, log.torn) {
		t.Errorf("covered without a record: %v", err)
	}
}

// A request waits for the record of another one that covers it too; one whose caller goes does not.
func TestRequestsAtOnceShareARecord(t *testing.T) {
	log := &paper{}
	b := viewing.New(log, time.Now)
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			if err := b.Cover(t.Context(), ann, piece(1)); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if len(log.records) != 1 {
		t.Errorf("%d records", len(log.records))
	}
	log.writing = make(chan struct{})
	log.mu.Lock() // the next record takes long
	waiting := make(chan error, 1)
	go func() { waiting <- b.Cover(t.Context(), ann, piece(2)) }()
	<-log.writing
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Cover(gone, ann, piece(2)); !errors.Is(err, context.Canceled) {
		t.Errorf("served before the record was written: %v", err)
	}
	log.mu.Unlock()
	if err := <-waiting; err != nil {
		t.Error(err)
	}
}

func TestTheBookStaysSmall(t *testing.T) {
	log := &paper{}
	b := viewing.New(log, time.Now)
	for n := range 20_000 {
		v := ann
		v.From = fmt.Sprint(n)
		if err := b.Cover(t.Context(), v, piece(1)); err != nil {
			t.Fatal(err)
		}
	}
	if n := viewing.Known(b); n > 10_000 {
		t.Errorf("%d viewings are kept", n)
	}
}
