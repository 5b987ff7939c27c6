package catalog_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/recfleet/recfleet/coordinator/catalog"
	"github.com/recfleet/recfleet/test/postgres"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if server, err := startPostgres(); err == nil && used.Load() > 0 {
		if err := server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stop postgres:", err)
			code = max(code, 1)
		}
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// startPostgres starts one server for all tests; every test has a database of its own.
var (
	startPostgres = sync.OnceValues(func() (*postgres.Server, error) {
		if used.Load() == 0 {
			return nil, postgres.ErrAbsent
		}
		return postgres.Start(context.Background(), "-c", "fsync=off", "-c", "full_page_writes=off")
	})
	used atomic.Int64
)

// newPostgres makes a database and returns its location.
func newPostgres(t *testing.T) string {
	t.Helper()
	n := used.Add(1)
	server, err := startPostgres()
	if errors.Is(err, postgres.ErrAbsent) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	location, err := server.Create(t.Context(), fmt.Sprint("test", n))
	if err != nil {
		t.Fatal(err)
	}
	return location
}

// openAt returns an opener of the database at a location.
func openAt(t *testing.T, location string) opener {
	return func() *catalog.Catalog {
		t.Helper()
		c, err := catalog.Open(t.Context(), location)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
		return c
	}
}

func TestSQLite(t *testing.T) {
	for name, test := range contract {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, openAt(t, "sqlite:"+filepath.Join(t.TempDir(), "catalog ?#%.db")))
		})
	}
}

func TestPostgres(t *testing.T) {
	for name, test := range contract {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, openAt(t, newPostgres(t)))
		})
	}
}

// cut breaks every connection to a database.
func cut(t *testing.T, location string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), location)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`); err != nil {
		t.Fatal(err)
	}
}
