package catalog

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// Migrations are numbered from 1 without holes and never edited once they are released; a change is a new file.
//
//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the tables to the newest form. Each migration is one transaction together with its number. It refuses a
// database that a newer program has migrated.
func migrate(ctx context.Context, db *sql.DB) error {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS migrations (number BIGINT NOT NULL PRIMARY KEY)`); err != nil {
		return fmt.Errorf("create table of migrations: %w", err)
	}
	var have int
	if err := db.QueryRowContext(ctx, `SELECT COALESCE(MAX(number), 0) FROM migrations`).Scan(&have); err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if have > len(files) {
		return fmt.Errorf("it was written by a newer version (migration %d, this version knows %d)", have, len(files))
	}
	for i, name := range files[have:] {
		number := have + i + 1
		if err := applyMigration(ctx, db, number, name); err != nil {
			return fmt.Errorf("apply %s: %w", name, err)
		}
	}
	return nil
}

func applyMigration(ctx context.Context, db *sql.DB, number int, name string) error {
	prefix, _, _ := strings.Cut(strings.TrimPrefix(name, "migrations/"), "_")
	if n, err := strconv.Atoi(prefix); err != nil || n != number {
		return fmt.Errorf("number %d expected", number)
	}
	statements, err := migrations.ReadFile(name)
	if err != nil {
		return err
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it only says so
	if _, err := tx.ExecContext(ctx, string(statements)); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO migrations (number) VALUES ($1)`, number); err != nil {
		return err
	}
	return tx.Commit()
}
