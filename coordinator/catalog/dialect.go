package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"path/filepath"
	"time"

	sqlitedriver "modernc.org/sqlite" // the driver named "sqlite"
)

// dialect is in what the databases differ.
type dialect struct {
	name string // as it is in the names of migrations
	// lock is what a SELECT ends with whose rows are changed next, so that nobody changes them in between; skip is the same
	// for rows of which any will do.
	lock, skip string
	// share is what a SELECT ends with whose rows nobody is to change until the transaction ends.
	share string
	// alone makes a transaction the only one that migrates; empty where every writer is alone.
	alone string
	// beatsTogether is how many beats one statement takes: SQLite's driver looks for each parameter among all of a statement's.
	beatsTogether int
	// settle is what makes the most of a database that has changed much.
	settle string
	// passing reports whether a transaction failed only because others stood in its way.
	passing func(error) bool
	// severed reports whether a transaction could not begin because its connection had broken.
	severed func(error) bool
	// view is how a transaction begins that only reads, all of it of one instant.
	view *sql.TxOptions
}

// sqlite has one writer, which is alone with the tables.
func sqlite() dialect {
	never := func(error) bool { return false }
	return dialect{name: "sqlite", settle: "PRAGMA optimize", passing: busy, severed: never, beatsTogether: 1}
}

// busy reports whether SQLite was not waited for: two that open a new file stand in each other's way at once.
func busy(err error) bool {
	const code = 5 // SQLITE_BUSY; the higher bits say more
	var told *sqlitedriver.Error
	return errors.As(err, &told) && told.Code()&0xff == code
}

// The number of the lock is any that nobody else uses.
const migrationLock = 7_306_283_912_474_101

func postgresDialect() dialect {
	return dialect{
		name: "postgres", lock: " FOR NO KEY UPDATE", skip: " FOR NO KEY UPDATE SKIP LOCKED", share: " FOR SHARE", passing: passing, severed: severed,
		alone:  fmt.Sprintf("SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock(%d)", migrationLock),
		settle: "VACUUM ANALYZE", beatsTogether: beatsAtOnce, view: &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead},
	}
}

// pool is how many connections a coordinator has for each of reading and writing.
const pool = 8

// pools are connections to one database: to write, to read little at a time, and to read pages of listings.
type pools struct{ write, read, pages *sql.DB }

// close closes all connections.
func (p pools) close() error {
	err := errors.Join(p.write.Close(), p.read.Close())
	if p.pages != p.read {
		err = errors.Join(err, p.pages.Close())
	}
	return err
}

// What connections to SQLite keep of the database in memory, in KiB: the one that writes and those that every Sync reads with, little;
// those that go through the indexes of all sessions there ever were, much, once somebody does. What is kept nowhere is read from the system's memory of the
// file, mostly. The driver takes 8 KiB for each page of 4; and what a connection that reads keeps, it drops when another has changed anything.
const cacheWrite, cacheLoad, cacheRead, cachePages = 1 << 10, 64 << 10, 128, 64 << 10

// keep sets what the connection that writes keeps of a SQLite database.
func (c *Catalog) keep(ctx context.Context, kib int) error {
	if c.dialect.name != "sqlite" {
		return nil
	}
	_, err := c.write.ExecContext(ctx, fmt.Sprintf("PRAGMA cache_size(-%d)", kib))
	return err
}

// open opens the pools. Nothing is reached yet.
func (l Location) open() (dialect, pools, error) {
	if l.postgres != "" {
		write, err := connector(l.postgres, settings(nil))
		if err != nil {
			return dialect{}, pools{}, fmt.Errorf("%w: %w", ErrLocation, err)
		}
		// What a filter matches differs so much from value to value that one plan does not serve all. No page is worth reading a
		// whole table, which the planner would where it guesses that most of it matches, or compiling a query; and disks that
		// are slow at single pages are not what a catalog lies on.
		read, err := connector(l.postgres, settings(map[string]string{
			"plan_cache_mode": "force_custom_plan", "jit": "off", "enable_seqscan": "off", "random_page_cost": "1.1",
		}))
		if err != nil {
			return dialect{}, pools{}, fmt.Errorf("%w: %w", ErrLocation, err)
		}
		reading := pooled(sql.OpenDB(read))
		return postgresDialect(), pools{pooled(sql.OpenDB(write)), reading, reading}, nil
	}
	// SQLite has one writer at a time: giving it one connection makes writers wait in Go, in order, not in busy loops.
	var p pools
	for _, one := range []struct {
		pool        **sql.DB
		readOnly    bool
		cache       int
		connections int
	}{{&p.write, false, cacheWrite, 1}, {&p.read, true, cacheRead, 4}, {&p.pages, true, cachePages, 4}} {
		db, err := openSQLite(sqliteName(l.path, one.readOnly, one.cache))
		if err != nil {
			return dialect{}, pools{}, err // those that were opened have reached nothing yet
		}
		db.SetMaxOpenConns(one.connections)
		db.SetMaxIdleConns(one.connections)
		*one.pool = db
	}
	p.pages.SetConnMaxIdleTime(5 * time.Minute)
	return sqlite(), p, nil
}

func pooled(db *sql.DB) *sql.DB {
	db.SetMaxOpenConns(pool)
	db.SetMaxIdleConns(pool)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db
}

// settings are those of every connection to Postgres: a coordinator that is frozen in a transaction must not hold the
// others up.
func settings(add map[string]string) map[string]string {
	s := map[string]string{
		"application_name": "recfleet", "idle_in_transaction_session_timeout": "10s", "lock_timeout": "15s",
	}
	for name, value := range add {
		s[name] = value
	}
	return s
}

// sqliteName names the database and how to open it: every commit is on the disk before it returns. cache is in KiB.
func sqliteName(path string, readOnly bool, cache int) string {
	pragmas := []string{
		"journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)", "busy_timeout(5000)", fmt.Sprintf("cache_size(-%d)", cache), "temp_store(MEMORY)",
	}
	q := url.Values{}
	if readOnly {
		pragmas = append(pragmas, "query_only(1)")
	} else {
		q.Set("_txlock", "immediate")
	}
	q["_pragma"] = pragmas
	u := url.URL{Scheme: "file", OmitHost: true, Path: filepath.ToSlash(path), RawQuery: q.Encode()}
	return u.String()
}

// txn is a transaction and what its database calls things.
type txn struct {
	*sql.Tx
	dialect dialect
	// lock ends a SELECT of what the transaction may change; empty where it only reads.
	lock string
	// part is that of the tallies that the transaction adds to.
	part int
}

// tries is how often a transaction is tried that others stand in the way of.
const tries = 10

// update runs f in a transaction that writes. What f reads through it with its lock nobody else changes until it ends. f may
// be run again from its beginning: it sets what it returns anew each time.
func (c *Catalog) update(ctx context.Context, f func(tx *txn) error) error {
	return c.change(ctx, false, f)
}

// updateLate is update for what no agent, encoder or person waits for: what one does goes first.
func (c *Catalog) updateLate(ctx context.Context, f func(tx *txn) error) error {
	return c.change(ctx, true, f)
}

func (c *Catalog) change(ctx context.Context, late bool, f func(tx *txn) error) error {
	for try := 1; ; try++ {
		err := c.changeOnce(ctx, late, f)
		if err == nil || try == tries || !c.dialect.passing(err) {
			return err
		}
		if err := pause(ctx, try); err != nil {
			return err
		}
	}
}

func (c *Catalog) changeOnce(ctx context.Context, late bool, f func(tx *txn) error) (err error) {
	note := pendingNote(ctx)
	if note != nil {
		defer func() { note.written.Store(err == nil) }()
	}
	inTerm := func(tx *txn) error {
		if err := checkTerm(ctx, tx); err != nil {
			return err
		}
		if err := f(tx); err != nil || note == nil {
			return err
		}
		return note.write(ctx, tx)
	}
	if c.writer != nil {
		return c.writer.do(ctx, late, inTerm)
	}
	tx, err := c.beginWrite(ctx)
	if err != nil {
		return err
	}
	return tx.end(inTerm(tx))
}

// beginWrite begins a transaction that writes.
func (c *Catalog) beginWrite(ctx context.Context) (*txn, error) {
	tx, err := c.begin(ctx, c.write, nil)
	if err != nil {
		return nil, err
	}
	return &txn{Tx: tx, dialect: c.dialect, lock: c.dialect.lock, part: rand.IntN(tallyParts)}, nil
}

// end commits the transaction, or rolls it back where what was done in it failed with err.
func (t *txn) end(err error) error {
	if err != nil {
		return errors.Join(err, ignoreDone(t.Rollback()))
	}
	if err := t.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// begin begins a transaction, on another connection where one turns out to be broken: nothing was done in it yet.
func (c *Catalog) begin(ctx context.Context, db *sql.DB, opts *sql.TxOptions) (*sql.Tx, error) {
	for try := 0; ; try++ {
		tx, err := db.BeginTx(ctx, opts)
		if err == nil {
			return tx, nil
		}
		if try == pool || ctx.Err() != nil || !c.dialect.severed(err) {
			return nil, fmt.Errorf("begin: %w", err)
		}
	}
}

// view runs f in a transaction that reads: everything in it is of one instant.
func (c *Catalog) view(ctx context.Context, f func(tx *txn) error) error {
	return c.viewIn(ctx, c.read, f)
}

// browse is view for what goes through much of the database.
func (c *Catalog) browse(ctx context.Context, f func(tx *txn) error) error {
	return c.viewIn(ctx, c.pages, f)
}

func (c *Catalog) viewIn(ctx context.Context, db *sql.DB, f func(tx *txn) error) error {
	tx, err := c.begin(ctx, db, c.dialect.view)
	if err != nil {
		return err
	}
	return errors.Join(f(&txn{Tx: tx, dialect: c.dialect}), ignoreDone(tx.Rollback()))
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}
