package catalog

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// Migrations are numbered from 1 without holes and never edited once they are released; a change is a new file. One named
// 0001_what.sql is for every database, 0001_what.sqlite.sql and 0001_what.postgres.sql together are one that differs.
//
//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the tables to the newest form. All that is missing is one transaction, in which the catalog is alone:
// coordinators that start together wait for the first. It refuses a database that a newer program has migrated.
func (c *Catalog) migrate(ctx context.Context) error {
	files, err := c.dialect.migrations()
	if err != nil {
		return err
	}
	return c.update(ctx, func(tx *txn) error {
		if c.dialect.alone != "" {
			if _, err := tx.ExecContext(ctx, c.dialect.alone); err != nil {
				return fmt.Errorf("wait for others that migrate: %w", err)
			}
		}
		if _, err := exec(ctx, tx, `CREATE TABLE IF NOT EXISTS migrations (number BIGINT NOT NULL PRIMARY KEY)`); err != nil {
			return fmt.Errorf("create table of migrations: %w", err)
		}
		var have int
		if err := tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(number), 0) FROM migrations`).Scan(&have); err != nil {
			return fmt.Errorf("read migrations: %w", err)
		}
		if have > len(files) {
			return fmt.Errorf("it was written by a newer version (migration %d, this version knows %d)", have, len(files))
		}
		for i, name := range files[have:] {
			if err := applyMigration(ctx, tx, have+i+1, name); err != nil {
				return fmt.Errorf("apply %s: %w", name, err)
			}
		}
		return nil
	})
}

// migrations returns the files of the dialect in their order.
func (d dialect) migrations() ([]string, error) {
	all, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	var mine []string
	for _, name := range all {
		switch parts := strings.Split(name, "."); {
		case len(parts) == 2, len(parts) == 3 && parts[1] == d.name:
			mine = append(mine, name)
		}
	}
	return mine, nil
}

func applyMigration(ctx context.Context, tx *txn, number int, name string) error {
	prefix, _, _ := strings.Cut(strings.TrimPrefix(name, "migrations/"), "_")
	if n, err := strconv.Atoi(prefix); err != nil || n != number {
		return fmt.Errorf("number %d expected", number)
	}
	statements, err := migrations.ReadFile(name)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, string(statements)); err != nil {
		return err
	}
	if number == listing {
		if err := fillListing(ctx, tx); err != nil {
			return err
		}
	}
	_, err = exec(ctx, tx, `INSERT INTO migrations (number) VALUES ($1)`, number)
	return err
}
