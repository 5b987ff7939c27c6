package catalog

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
)

// openPool is a pool of one connection that keeps its statements, with a table of the numbers 1 to 3.
func openPool(t *testing.T) *sql.DB {
	t.Helper()
	db, err := openSQLite(sqliteName(filepath.Join(t.TempDir(), "c.db"), false, cacheRead))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(t.Context(), `CREATE TABLE n (v BIGINT NOT NULL PRIMARY KEY); INSERT INTO n VALUES (1), (2), (3)`); err != nil {
		t.Fatal(err)
	}
	return db
}

// A statement runs again while its own rows are being read: each of both sees its own parameters.
func TestAStatementRunsWhileItIsBeingRead(t *testing.T) {
	tx, err := openPool(t).BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	const query = `SELECT v FROM n WHERE v >= $1 ORDER BY v`
	all := func(from int, inside func(v int)) (seen []int) {
		rs, err := tx.QueryContext(t.Context(), query, from)
		if err != nil {
			t.Fatal(err)
		}
		for rs.Next() {
			var v int
			if err := rs.Scan(&v); err != nil {
				t.Fatal(err)
			}
			seen = append(seen, v)
			inside(v)
		}
		if err := errors.Join(rs.Err(), rs.Close()); err != nil {
			t.Fatal(err)
		}
		return seen
	}
	for range 2 {
		seen := all(1, func(v int) {
			if inner := all(v, func(int) {}); len(inner) != 4-v || inner[0] != v {
				t.Errorf("from %d: %v", v, inner)
			}
		})
		if fmt.Sprint(seen) != "[1 2 3]" {
			t.Errorf("the outer ones are %v", seen)
		}
	}
}

// A statement works on after it failed, after the table changed, and after more statements than are kept.
func TestAStatementIsUsedAgain(t *testing.T) {
	db := openPool(t)
	insert := func(v int) error {
		_, err := db.ExecContext(t.Context(), `INSERT INTO n (v) VALUES ($1)`, v)
		return err
	}
	if err := insert(3); err == nil {
		t.Error("a number came in twice")
	}
	if err := insert(4); err != nil {
		t.Errorf("after one that failed: %v", err)
	}
	if _, err := db.ExecContext(t.Context(), `ALTER TABLE n ADD COLUMN more BIGINT NOT NULL DEFAULT 7`); err != nil {
		t.Fatal(err)
	}
	for i := range 3 * statementsKept {
		var more int
		if err := db.QueryRowContext(t.Context(), fmt.Sprintf(`SELECT more + %d FROM n WHERE v = $1`, i), 4).Scan(&more); err != nil || more != 7+i {
			t.Fatalf("statement %d: %d, %v", i, more, err)
		}
	}
	if err := insert(5); err != nil {
		t.Errorf("after the table changed: %v", err)
	}
	var count int
	if err := db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM n`).Scan(&count); err != nil || count != 5 {
		t.Errorf("%d numbers, %v", count, err)
	}
}

// What many agents say is written in pieces: others have their turns in between.
func TestBeatsLetOthersIn(t *testing.T) {
	c, err := Open(t.Context(), filepath.Join(t.TempDir(), "c.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	beats := make([]Beat, 20*beatsAtOnce)
	for i := range beats {
		beats[i] = Beat{Session: fmt.Sprint("s", i), Seen: instantOf(1)}
	}
	noted := make(chan error, 1)
	go func() { noted <- c.NoteBeats(t.Context(), "a", beats) }()
	for between := 0; ; between++ {
		select {
		case err := <-noted:
			if err != nil || between < 5 {
				t.Errorf("%d others were let in, %v", between, err)
			}
			return
		default:
		}
		if err := c.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
