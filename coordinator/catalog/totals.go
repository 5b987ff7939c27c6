package catalog

import (
	"context"
	"time"
)

// Totals sums up what belongs to a session. They are kept with it, by whoever changes what they are of in the same transaction: most
// of what listings read would be segments and gaps otherwise.
type Totals struct {
	Recorded      time.Duration // of the segments
	Missing       time.Duration // of the gaps
	Segments      int
	Archived      int
	Gaps          int
	ArchivedBytes int64
}

const totalsColumns = "segment_count, recorded, archived_count, archived_bytes, gap_count, missing"

// dest is where a row's totals are scanned into, in the order of totalsColumns.
func (t *Totals) dest() []any {
	return []any{&t.Segments, &t.Recorded, &t.Archived, &t.ArchivedBytes, &t.Gaps, &t.Missing}
}

// values are the totals in the order of totalsColumns.
func (t Totals) values() []any {
	return []any{t.Segments, int64(t.Recorded), t.Archived, t.ArchivedBytes, t.Gaps, int64(t.Missing)}
}

// addTotals adds to the totals of a session.
func addTotals(ctx context.Context, tx *txn, id string, add Totals) error {
	_, err := exec(ctx, tx, `
		UPDATE sessions SET segment_count = segment_count + $1, recorded = recorded + $2, archived_count = archived_count + $3,
		  archived_bytes = archived_bytes + $4, gap_count = gap_count + $5, missing = missing + $6
		WHERE id = $7`, append(add.values(), id)...)
	return err
}

// totals sums up the segments and gaps of a session.
func (d Detail) totals() (t Totals) {
	for _, g := range d.Segments {
		t.Segments++
		t.Recorded += g.End.Sub(g.Start)
		t.ArchivedBytes += g.Recording.Bytes
		if g.State == SegmentArchived {
			t.Archived++
		}
	}
	for _, g := range d.Gaps {
		t.Gaps++
		t.Missing += g.End.Sub(g.Start)
	}
	return t
}
