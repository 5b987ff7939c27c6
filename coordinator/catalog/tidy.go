package catalog

import (
	"context"
	"fmt"
)

// tidyPages is how much of SQLite's text index is merged at a time, in pages of 4 kB: the writer waits for some ten milliseconds.
const tidyPages = 500

// Tidy makes listings quicker after much has changed: SQLite's text index is made one piece again, step by step with room
// for others in between, and the planner's figures are brought up to date. It changes nothing that anybody sees, and may be
// ended at any time. Call it once a day; Postgres does most of it by itself.
func (c *Catalog) Tidy(ctx context.Context) error {
	if c.dialect.name == "sqlite" {
		for {
			var before, after int64
			err := c.updateLate(ctx, func(tx *txn) error {
				if err := tx.QueryRowContext(ctx, `SELECT total_changes()`).Scan(&before); err != nil {
					return err
				}
				if _, err := exec(ctx, tx, fmt.Sprintf(`INSERT INTO session_search (session_search, rank) VALUES ('merge', %d)`, -tidyPages)); err != nil {
					return err
				}
				return tx.QueryRowContext(ctx, `SELECT total_changes()`).Scan(&after)
			})
			if err != nil {
				return fmt.Errorf("tidy catalog: %w", err)
			}
			if after-before < 2 {
				break // it has said that it did nothing
			}
		}
	}
	if _, err := c.write.ExecContext(ctx, c.dialect.settle); err != nil {
		return fmt.Errorf("tidy catalog: %w", err)
	}
	return nil
}
