package catalog

import (
	"context"
	"fmt"
	"time"
)

// DeletedSince returns the sessions that were deleted at a time or later.
func (c *Catalog) DeletedSince(ctx context.Context, since time.Time) ([]Session, error) {
	found, err := c.sessionsWhere(ctx, `deleted_time > 0 AND deleted_time >= $1 ORDER BY deleted_time`, nanos(since))
	if err != nil {
		return nil, fmt.Errorf("read deleted sessions: %w", err)
	}
	return found, nil
}
