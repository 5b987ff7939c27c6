package catalog

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Migrations are numbered and never edited once they are released; a change is a new file. Those that a database lacks are
// applied in the order of their numbers, so that what is written side by side may come in any order: a migration relies on
// none that may be missing. One named 0001_what.sql is for every database, 0001_what.sqlite.sql and 0001_what.postgres.sql
// together are one that differs.
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
		applied, err := appliedMigrations(ctx, tx)
		if err != nil {
			return fmt.Errorf("read migrations: %w", err)
		}
		for _, name := range files {
			number, err := migrationNumber(name)
			if err != nil {
				return err
			}
			if applied[number] {
				delete(applied, number)
				continue
			}
			if err := applyMigration(ctx, tx, number, name); err != nil {
				return fmt.Errorf("apply %s: %w", name, err)
			}
		}
		if len(applied) > 0 {
			return fmt.Errorf("it was written by a newer version (this version does not know migrations %v)", slices.Sorted(maps.Keys(applied)))
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

func appliedMigrations(ctx context.Context, tx *txn) (map[int]bool, error) {
	applied := map[int]bool{}
	return applied, rows(ctx, tx, func(row scanner) error {
		var n int
		err := row.Scan(&n)
		applied[n] = true
		return err
	}, `SELECT number FROM migrations`)
}

func migrationNumber(name string) (int, error) {
	prefix, _, _ := strings.Cut(strings.TrimPrefix(name, "migrations/"), "_")
	n, err := strconv.Atoi(prefix)
	if err != nil || n < 1 {
		return 0, fmt.Errorf("migration %s has no number", name)
	}
	return n, nil
}

func applyMigration(ctx context.Context, tx *txn, number int, name string) error {
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
