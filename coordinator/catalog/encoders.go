package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Encoder is an encoder as it was last heard of.
type Encoder struct {
	ID, Host, Version string
	Labels            []string // the pools of jobs that it takes besides those for any
	Slots, Running    int
	Load              float64 // of its host, as the number of cores in use; 0 where it is not known
	Draining          bool    // it says that it takes no more

	DrainOrdered time.Time // since when it is ordered to take no more; zero where it is not
	DrainBy      string
	First, Seen  time.Time // of its words, by the coordinator's clock
}

// SeeEncoder notes what an encoder says of itself, and returns it with what it was ordered. It is called with every Sync:
// what has not changed is written every now and then only.
func (c *Catalog) SeeEncoder(ctx context.Context, e Encoder, every time.Duration) (stored Encoder, err error) {
	labels, err := marshal(e.Labels)
	if err != nil {
		return Encoder{}, fmt.Errorf("see encoder %s: %w", e.ID, err)
	}
	known, err := c.encoders(ctx, `id = $1`, e.ID)
	if err != nil {
		return Encoder{}, fmt.Errorf("see encoder %s: %w", e.ID, err)
	}
	if len(known) == 1 {
		k := known[0]
		same := k.Host == e.Host && k.Version == e.Version && slices.Equal(k.Labels, e.Labels) && k.Slots == e.Slots && k.Running == e.Running && k.Draining == e.Draining
		if same && e.Seen.Sub(k.Seen) < every {
			return k, nil
		}
	}
	err = c.update(ctx, func(tx *txn) error {
		_, err := exec(ctx, tx, `
			INSERT INTO encoders (id, host, version, labels, slots, running, busy, draining, drain_time, drain_by, first_time, seen_time)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, '', $9, $9)
			ON CONFLICT (id) DO UPDATE SET host = EXCLUDED.host, version = EXCLUDED.version, labels = EXCLUDED.labels, slots = EXCLUDED.slots,
			  running = EXCLUDED.running, busy = EXCLUDED.busy, draining = EXCLUDED.draining, seen_time = EXCLUDED.seen_time`,
			e.ID, e.Host, e.Version, labels, e.Slots, e.Running, int64(e.Load*1000), flag(e.Draining), nanos(e.Seen))
		if err != nil {
			return err
		}
		found, err := encodersWhere(ctx, tx, `id = $1`, e.ID)
		if err == nil {
			stored = found[0]
		}
		return err
	})
	return stored, wrap("see encoder", e.ID, err)
}

// DrainEncoder orders an encoder to take no more jobs, or with a zero time to take them again. The first order stays. It is
// ErrNotFound where no such encoder was ever seen.
func (c *Catalog) DrainEncoder(ctx context.Context, id, by string, now time.Time) error {
	err := c.update(ctx, func(tx *txn) error {
		found, err := encodersWhere(ctx, tx, `id = $1`+tx.lock, id)
		if err != nil {
			return err
		}
		if len(found) == 0 {
			return ErrNotFound
		}
		if !now.IsZero() && !found[0].DrainOrdered.IsZero() {
			return nil
		}
		_, err = exec(ctx, tx, `UPDATE encoders SET drain_time = $1, drain_by = $2 WHERE id = $3`, nanos(now), by, id)
		return err
	})
	return wrap("drain encoder", id, err)
}

// ListEncoders returns the encoders that were heard of at a time or later, by their ids; all with the zero time.
func (c *Catalog) ListEncoders(ctx context.Context, since time.Time) ([]Encoder, error) {
	found, err := c.encoders(ctx, `seen_time >= $1 ORDER BY id`, nanos(since))
	if err != nil {
		return nil, fmt.Errorf("list encoders: %w", err)
	}
	return found, nil
}

// ForgetEncoders drops the encoders that were last heard of before a time, and returns how many.
func (c *Catalog) ForgetEncoders(ctx context.Context, before time.Time) (n int64, err error) {
	err = c.update(ctx, func(tx *txn) error {
		n, err = exec(ctx, tx, `DELETE FROM encoders WHERE seen_time < $1`, nanos(before))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("forget encoders: %w", err)
	}
	return n, nil
}

func (c *Catalog) encoders(ctx context.Context, where string, args ...any) (found []Encoder, err error) {
	err = c.view(ctx, func(tx *txn) error {
		found, err = encodersWhere(ctx, tx, where, args...)
		return err
	})
	return found, err
}

func encodersWhere(ctx context.Context, tx *txn, where string, args ...any) (found []Encoder, err error) {
	err = rows(ctx, tx, func(row scanner) error {
		var e Encoder
		var labels string
		var busy, draining int64
		if err := row.Scan(&e.ID, &e.Host, &e.Version, &labels, &e.Slots, &e.Running, &busy, &draining, instant{&e.DrainOrdered}, &e.DrainBy,
			instant{&e.First}, instant{&e.Seen}); err != nil {
			return err
		}
		e.Load, e.Draining = float64(busy)/1000, draining != 0
		found = append(found, e)
		return json.Unmarshal([]byte(labels), &found[len(found)-1].Labels)
	}, `SELECT id, host, version, labels, slots, running, busy, draining, drain_time, drain_by, first_time, seen_time FROM encoders WHERE `+where, args...)
	return found, err
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
