package catalog

import (
	"context"
	"strings"
	"time"
)

// The tallies; see migrations 8 and 14.
const (
	tallyGap     = "gap"     // by cause
	tallySegment = "segment" // by the party that sealed it
	tallyRescue  = "rescue"
)

const (
	// maxLabels bounds the labels of a tally, some of which agents make up; what comes later is tallied as otherLabel.
	maxLabels  = 64
	otherLabel = "other"
)

// tallyParts is how many rows a tally is spread over, one of which a transaction adds to.
const tallyParts = 16

// tally adds to a running total in the transaction that makes what it counts.
func tally(ctx context.Context, tx *txn, name, label string, amount time.Duration) error {
	n, err := exec(ctx, tx, `UPDATE tally_parts SET times = times + 1, amount = amount + $1 WHERE name = $2 AND label = $3 AND part = $4`,
		int64(amount), name, label, tx.part)
	if err != nil || n > 0 {
		return err
	}
	var others int
	var known bool
	if err := tx.QueryRowContext(ctx, `
		SELECT COUNT(DISTINCT label), COALESCE(MAX(CASE WHEN label = $2 THEN 1 ELSE 0 END), 0) = 1 FROM tally_parts WHERE name = $1`,
		name, label).Scan(&others, &known); err != nil {
		return err
	}
	if !known && others >= maxLabels {
		label = otherLabel
	}
	_, err = exec(ctx, tx, `
		INSERT INTO tally_parts (name, label, part, times, amount) VALUES ($1, $2, $3, 1, $4)
		ON CONFLICT (name, label, part) DO UPDATE SET times = tally_parts.times + 1, amount = tally_parts.amount + excluded.amount`,
		name, label, tx.part, int64(amount))
	return err
}

// MarkUnrecorded notes since when nothing is recorded of a session though its user is active; the zero time says that this is
// over. It changes nothing where a time is noted already, or where the agent may not bring any more.
func (c *Catalog) MarkUnrecorded(ctx context.Context, id string, since time.Time) error {
	err := c.update(ctx, func(tx *txn) error {
		if since.IsZero() {
			_, err := exec(ctx, tx, `DELETE FROM unrecorded WHERE session_id = $1`, id)
			return err
		}
		s, err := session(ctx, tx, id)
		if err != nil || !s.State.Capturing() {
			return err
		}
		_, err = exec(ctx, tx, `INSERT INTO unrecorded (session_id, since) VALUES ($1, $2) ON CONFLICT (session_id) DO NOTHING`, id, nanos(since))
		return err
	})
	return wrap("mark session unrecorded", id, err)
}

// Unrecorded returns the sessions of which nothing is recorded though their users are active, and since when.
func (c *Catalog) Unrecorded(ctx context.Context) (found map[string]time.Time, err error) {
	found = map[string]time.Time{}
	err = c.view(ctx, func(tx *txn) error {
		return rows(ctx, tx, func(row scanner) error {
			var id string
			var since time.Time
			err := row.Scan(&id, instant{&since})
			found[id] = since
			return err
		}, `SELECT session_id, since FROM unrecorded`)
	})
	return found, wrap("read", "unrecorded sessions", err)
}

// addUnrecorded fills in since when nothing is recorded of sessions that capture.
func addUnrecorded(ctx context.Context, tx *txn, sessions []Session) error {
	at := map[string]*Session{}
	var q statement
	var marks []string
	for i := range sessions {
		if s := &sessions[i]; s.State.Capturing() {
			at[s.ID] = s
			marks = append(marks, q.arg(s.ID))
		}
	}
	if len(marks) == 0 {
		return nil
	}
	return rows(ctx, tx, func(row scanner) error {
		var id string
		var since time.Time
		err := row.Scan(&id, instant{&since})
		at[id].Unrecorded = since
		return err
	}, `SELECT session_id, since FROM unrecorded WHERE session_id IN (`+strings.Join(marks, ", ")+`)`, q.args...)
}
