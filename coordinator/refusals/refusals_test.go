package refusals

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/recfleet/recfleet/coordinator/access"
	"github.com/recfleet/recfleet/coordinator/catalog"
)

// paper keeps records in memory; torn, it keeps none.
type paper struct {
	records []catalog.AuditRecord
	torn    bool
}

func (p *paper) AppendAudit(_ context.Context, r catalog.AuditRecord) (catalog.AuditRecord, error) {
	if p.torn {
		return r, errors.New("disk is full")
	}
	p.records = append(p.records, r)
	return r, nil
}

type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newBook() (*Book, *paper, *clock) {
	p, c := &paper{}, &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	return New(p, c.now, hclog.NewNullLogger()), p, c
}

func (c *clock) pass(b *Book, d time.Duration) {
	c.at = c.at.Add(d)
	b.Step(context.Background())
}

// The first refusal is told of at once, those that follow together.
func TestRefusalsOfOneAreCounted(t *testing.T) {
	b, p, c := newBook()
	ann := access.Denial{Who: "ann", Auth: "oidc", Action: "SessionService.GetSession", Object: "a", From: "::1"}
	b.Denied(t.Context(), ann)
	if len(p.records) != 1 || p.records[0].Who != "ann" || p.records[0].Object != "a" || p.records[0].Result != "refused" || p.records[0].Times != 0 || p.records[0].From != "::1" {
		t.Fatalf("%+v", p.records)
	}
	other := ann
	other.Object = "b"
	for range 5 {
		b.Denied(t.Context(), other)
	}
	bob := ann
	bob.Who = "bob"
	b.Denied(t.Context(), bob)
	if len(p.records) != 2 || p.records[1].Who != "bob" {
		t.Fatalf("%+v", p.records)
	}
	c.pass(b, firstWindow-time.Second)
	if len(p.records) != 2 {
		t.Fatalf("too early: %+v", p.records[2:])
	}
	c.pass(b, time.Second)
	if len(p.records) != 3 || p.records[2].Times != 5 || p.records[2].Object != "b" || p.records[2].Time != c.at.Add(-firstWindow) {
		t.Fatalf("%+v", p.records[2:])
	}
	b.Denied(t.Context(), ann)
	c.pass(b, firstWindow) // the second window is twice as long
	if len(p.records) != 3 {
		t.Fatalf("%+v", p.records[3:])
	}
	c.pass(b, firstWindow)
	c.pass(b, longestWindow)
	b.Denied(t.Context(), ann)
	if len(p.records) != 5 || p.records[3].Times != 1 || p.records[4].Times != 0 {
		t.Errorf("%+v", p.records[3:])
	}
	b.Denied(t.Context(), ann)
	b.Close()
	if len(p.records) != 6 || p.records[5].Times != 1 {
		t.Errorf("%+v", p.records[5:])
	}
}

// A day of refusals, of ever others at ever other methods, fills nothing, and all of them are told of.
func TestAFloodFillsNothing(t *testing.T) {
	b, p, c := newBook()
	denied := int64(0)
	for range 24 * 60 {
		for range 200 {
			b.Denied(t.Context(), access.Denial{Who: fmt.Sprint("who", denied%5000), Action: fmt.Sprint("method", denied%40)})
			denied++
		}
		c.pass(b, time.Minute)
	}
	b.Close()
	if bound := budgetBurst + 24*60*budgetRate + 100 + most; len(p.records) > bound {
		t.Errorf("%d records of %d refusals, at most %d", len(p.records), denied, bound)
	}
	told := int64(0)
	for _, r := range p.records {
		told += max(r.Times, 1)
	}
	if told != denied {
		t.Errorf("%d of %d refusals were told of in %d records", told, denied, len(p.records))
	}
}

// What could not be written is told of when it can.
func TestARefusalIsNotForgotten(t *testing.T) {
	b, p, c := newBook()
	p.torn = true
	b.Denied(t.Context(), access.Denial{Who: "ann", Action: "x"})
	p.torn = false
	c.pass(b, firstWindow)
	if len(p.records) != 1 || p.records[0].Times != 1 {
		t.Errorf("%+v", p.records)
	}
}

// The chain holds with records that stand for several.
func TestCountsAreInTheChain(t *testing.T) {
	store, err := catalog.Open(t.Context(), filepath.Join(t.TempDir(), "catalog.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	b := New(store, time.Now, hclog.NewNullLogger())
	for range 3 {
		b.Denied(t.Context(), access.Denial{Action: "GET /sessions/{id}", Object: "a"})
	}
	b.Close()
	found, _, err := store.ListAudit(t.Context(), catalog.AuditFilter{}, 5, "")
	if err != nil || len(found) != 2 || found[0].Times != 2 {
		t.Fatalf("%+v, %v", found, err)
	}
	if got, want := found[0].Sentence(), "somebody GET /sessions/{id} a, refused (2 times)"; got != want {
		t.Errorf("%q", got)
	}
	if last, err := store.VerifyAudit(t.Context()); err != nil || last.Number != 2 {
		t.Error(last, err)
	}
}
