package catalog_test

import (
	"errors"
	"testing"
	"time"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/internal/chunk"
	"github.com/recfleet/recfleet/internal/evidence"
)

// A digest tells of each thing once, and what it is to say is settled once.
func testDigests(t *testing.T, open opener) {
	c, ctx := open(), t.Context()
	if oldest, err := c.Oldest(ctx); err != nil || !oldest.IsZero() {
		t.Fatal(oldest, err)
	}
	over(t, c, "a")
	record := func(at time.Time) catalog.AuditRecord {
		t.Helper()
		r, err := c.AppendAudit(ctx, catalog.AuditRecord{Time: at, Who: "ann", Auth: "oidc", Action: "recording.play", Object: "a", Span: evidence.Span{Start: 5, End: 7}, Result: "ok"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	first, tomorrow := record(at(1)), record(at(1).AddDate(0, 0, 1))
	day := evidence.DayOf(at(1))
	if oldest, err := c.Oldest(ctx); err != nil || !oldest.Equal(at(1)) {
		t.Errorf("%v, %v", oldest, err)
	}
	unread, err := c.Unread(ctx, 10)
	if err != nil || len(unread) != 1 || unread[0].Session != "a" || unread[0].State != catalog.SessionComplete || unread[0].Deletion || time.Since(unread[0].Time) > time.Minute {
		t.Fatalf("%+v, %v", unread, err)
	}
	noted := catalog.Manifest{SHA256: chunk.Sum([]byte("m")).String(), Bytes: 1, Version: "v"}
	if err := errors.Join(c.NoteManifest(ctx, "a", noted), c.NoteManifest(ctx, "a", catalog.Manifest{SHA256: "other"})); err != nil {
		t.Fatal(err)
	}
	err = errors.Join(c.OrderDeletion(ctx, "a", catalog.Deletion{Ordered: at(30), By: "ann", Reason: "case"}), c.FinishDeletion(ctx, "a", at(40)))
	if err = errors.Join(err, c.BeginDigest(ctx, day, 1, 0), c.BeginDigest(ctx, day, 1, 7)); err != nil {
		t.Fatal(err)
	}
	begun, found, err := c.LastDigest(ctx)
	if err != nil || !found || begun.Day != day || begun.Number != 1 || begun.First != 1 || begun.Last != first.Number || begun.Written || begun.SHA256 != "" {
		t.Fatalf("%+v, %v, %v", begun, found, err)
	}
	told, err := c.Untold(ctx, time.Now().Add(time.Hour))
	if err != nil || len(told) != 2 || !told[0].Deletion || told[0].Ordered.By != "ann" || !told[0].Ordered.Done.Equal(at(40)) || told[1].Manifest != noted {
		t.Fatalf("%+v, %v", told, err)
	}
	if err := errors.Join(c.SettleDigest(ctx, day, []byte("first"), told[:1]), c.SettleDigest(ctx, day, []byte("second"), told)); err != nil {
		t.Fatal(err)
	}
	if left, err := c.Untold(ctx, time.Now().Add(time.Hour)); err != nil || len(left) != 1 || left[0].Deletion {
		t.Errorf("%+v, %v", left, err)
	}
	sum, err := c.DigestSum(ctx, 1)
	if got, _, lastErr := c.LastDigest(ctx); errors.Join(err, lastErr) != nil || string(got.Content) != "first" || got.SHA256 != chunk.Sum([]byte("first")).String() || sum != got.SHA256 {
		t.Errorf("%+v, %s, %v", got, sum, errors.Join(err, lastErr))
	}
	if err := c.FinishDigest(ctx, day); err != nil {
		t.Fatal(err)
	}
	if got, _, err := c.LastDigest(ctx); err != nil || !got.Written || len(got.Content) > 0 || got.SHA256 != sum {
		t.Errorf("%+v, %v", got, err)
	}
	var read []catalog.AuditRecord
	previous, err := c.ReadAudit(ctx, 2, 2, func(r catalog.AuditRecord) error {
		read = append(read, r)
		return nil
	})
	if err != nil || previous != first.Hash || len(read) != 1 || read[0] != tomorrow || read[0].Span.End != 7 || read[0].Auth != "oidc" {
		t.Errorf("%v, %+v, %v", previous, read, err)
	}
	if _, err := c.VerifyAuditAgainst(ctx, map[int64]chunk.Hash{1: first.Hash, 2: tomorrow.Hash}); err != nil {
		t.Error(err)
	}
	_, err = c.VerifyAuditAgainst(ctx, map[int64]chunk.Hash{1: tomorrow.Hash})
	wantErr(t, err, catalog.ErrAudit)
}
