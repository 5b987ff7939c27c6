package catalog

import "context"

// SetBudget makes searches ask the indexes sooner.
func (c *Catalog) SetBudget(sessions int) { c.budget = sessions }

// Downgrade takes an empty catalog back to what it was before the migration that made listings what they are, and adds
// sessions as they were then.
func (c *Catalog) Downgrade(ctx context.Context, old []Session) error {
	return c.update(ctx, func(tx *txn) error {
		drop := []string{"DROP SCHEMA public CASCADE", "CREATE SCHEMA public"}
		if c.dialect.name == "sqlite" {
			drop = nil
			if err := rows(ctx, tx, func(row scanner) error {
				var name string
				err := row.Scan(&name)
				drop = append(drop, "DROP TABLE "+name)
				return err
			}, `SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'session\_search\_%' ESCAPE '\'
				ORDER BY name = 'sessions'`); err != nil {
				return err
			}
		}
		for _, statement := range append(drop, `CREATE TABLE migrations (number BIGINT NOT NULL PRIMARY KEY)`) {
			if _, err := exec(ctx, tx, statement); err != nil {
				return err
			}
		}
		files, err := c.dialect.migrations()
		if err != nil {
			return err
		}
		for i, name := range files[:listing-1] {
			if err := applyMigration(ctx, tx, i+1, name); err != nil {
				return err
			}
		}
		for _, s := range old {
			metadata, err := marshal(s.Metadata)
			if err != nil {
				return err
			}
			if _, err := exec(ctx, tx, `
				INSERT INTO sessions (id, request_id, state, state_reason, user_name, stack, fleet, instance, metadata, agent_version,
				  archive_prefix, frame_rate, segment_length, start_time, created_time, end_time, lost_time, stop_reason, end_reason,
				  ended_by, last_segment, last_event, segment_bytes)
				VALUES ($1, $2, $3, '', $4, $5, $6, $7, $8, '', '', 5, 1, $9, $9, $10, 0, '', '', '', 0, 0, 1)`,
				s.ID, s.RequestID, s.State, s.User, s.Stack, s.Fleet, s.Instance, metadata, nanos(s.Start), nanos(s.End)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Run runs any statement.
func (c *Catalog) Run(ctx context.Context, statement string) error {
	_, err := c.write.ExecContext(ctx, statement)
	return err
}

// RunUnguarded runs any statement without what guards the audit.
func (c *Catalog) RunUnguarded(ctx context.Context, statement string) error {
	guards := []string{"DROP TRIGGER IF EXISTS audit_no_update", "DROP TRIGGER IF EXISTS audit_no_delete"}
	if c.dialect.name == "postgres" {
		guards = []string{"DROP TRIGGER IF EXISTS audit_no_change ON audit"}
	}
	for _, guard := range append(guards, statement) {
		if err := c.Run(ctx, guard); err != nil {
			return err
		}
	}
	return nil
}
