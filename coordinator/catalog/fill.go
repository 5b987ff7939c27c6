package catalog

import (
	"context"
	"encoding/json"
)

// listing is the migration after which sessions have positions and words, which SQL alone cannot give them.
const listing = 5

// fillListing gives every session its place, in the order of their starts, and its words. It knows the tables as they were
// when that migration was made.
func fillListing(ctx context.Context, tx *txn) error {
	const batch = 1000
	var last Session
	for {
		var some []Session
		if err := rows(ctx, tx, func(row scanner) error {
			var s Session
			var metadata string
			if err := row.Scan(&s.ID, &s.User, &s.Stack, &s.Fleet, &s.Instance, &s.State, instant{&s.Start}, instant{&s.End}, &metadata); err != nil {
				return err
			}
			some = append(some, s)
			return json.Unmarshal([]byte(metadata), &some[len(some)-1].Metadata)
		}, `SELECT id, user_name, stack, fleet, instance, state, start_time, end_time, metadata FROM sessions
			WHERE (start_time, id) > ($1, $2) ORDER BY start_time, id LIMIT $3`, nanos(last.Start), last.ID, batch); err != nil {
			return err
		}
		if len(some) == 0 {
			return nil
		}
		for _, s := range some {
			s.position = max(nanos(s.Start), last.position+1)
			if _, err := exec(ctx, tx, `UPDATE sessions SET position = $1, length_class = $2 WHERE id = $3`,
				s.position, lengthClass(s.Start, s.End), s.ID); err != nil {
				return err
			}
			if err := index(ctx, tx, s); err != nil {
				return err
			}
			last = s
		}
	}
}
