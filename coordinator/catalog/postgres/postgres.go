// Package postgres lets database/sql speak to Postgres through pgx.
//
// What comes in is a URL; what goes out is a connector for sql.OpenDB. It knows the types that the catalog's tables have:
// integers, text and truth. What always holds: a connection that is not usable any more is never handed out again, and a
// server ends the transaction of a client that stands still, so that a frozen process holds nobody up for long.
package postgres

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// connectTimeout holds where the URL has no connect_timeout.
	connectTimeout = 10 * time.Second
	// commitTimeout bounds the end of a transaction, which database/sql gives no context.
	commitTimeout = 30 * time.Second
)

// Connector makes connections. It is safe for concurrent use.
type Connector struct{ config *pgx.ConnConfig }

// NewConnector takes a postgres:// URL; what it does not say comes from the PG* variables and ~/.pgpass. settings are
// the server's parameters for every connection; the URL's win.
func NewConnector(url string, settings map[string]string) (*Connector, error) {
	config, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err // it does not show the password
	}
	for name, value := range settings {
		if _, ok := config.RuntimeParams[name]; !ok {
			config.RuntimeParams[name] = value
		}
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	return &Connector{config}, nil
}

// Connect makes a connection.
func (c *Connector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := pgx.ConnectConfig(ctx, c.config.Copy())
	if err != nil {
		return nil, err
	}
	return &connection{conn}, nil
}

// Driver is there for driver.Connector; databases are opened through a Connector only.
func (c *Connector) Driver() driver.Driver { return opener{} }

type opener struct{}

func (opener) Open(url string) (driver.Conn, error) {
	c, err := NewConnector(url, nil)
	if err != nil {
		return nil, err
	}
	return c.Connect(context.Background())
}

// Passing reports whether an error only says that transactions stood in each other's way: the same may succeed when it is
// done again.
func Passing(err error) bool {
	const serialization, deadlock = "40001", "40P01"
	var told *pgconn.PgError
	return errors.As(err, &told) && (told.Code == serialization || told.Code == deadlock)
}

type connection struct{ conn *pgx.Conn }

// Prepare is not needed: pgx prepares what it is given and keeps it.
func (c *connection) Prepare(string) (driver.Stmt, error) {
	return nil, errors.New("statements are prepared by pgx")
}

// Close ends the connection.
func (c *connection) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	return c.conn.Close(ctx)
}

// Begin is there for driver.Conn; database/sql calls BeginTx.
func (c *connection) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

// BeginTx begins at READ COMMITTED, or at REPEATABLE READ where it will only read.
func (c *connection) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	level := pgx.TxOptions{IsoLevel: pgx.ReadCommitted}
	if opts.ReadOnly {
		level = pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	}
	tx, err := c.conn.BeginTx(ctx, level)
	if err != nil && c.conn.IsClosed() && ctx.Err() == nil {
		return nil, driver.ErrBadConn // nothing was done yet: another connection may do it
	}
	if err != nil {
		return nil, err
	}
	return transaction{tx}, nil
}

// Ping asks the server for an answer.
func (c *connection) Ping(ctx context.Context) error { return c.conn.Ping(ctx) }

// ResetSession refuses a connection that broke since it was used last.
func (c *connection) ResetSession(context.Context) error {
	if c.conn.IsClosed() {
		return driver.ErrBadConn
	}
	return nil
}

// IsValid keeps a broken connection out of the pool.
func (c *connection) IsValid() bool { return !c.conn.IsClosed() }

// ExecContext runs a statement; without arguments it may be several.
func (c *connection) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	tag, err := c.conn.Exec(ctx, query, values(args)...)
	if err != nil {
		return nil, err
	}
	return driver.RowsAffected(tag.RowsAffected()), nil
}

// QueryContext runs a query.
func (c *connection) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	rows, err := c.conn.Query(ctx, query, values(args)...)
	if err != nil {
		return nil, err
	}
	return &result{rows}, nil
}

func values(args []driver.NamedValue) []any {
	out := make([]any, len(args))
	for i, a := range args {
		out[i] = a.Value
	}
	return out
}

type transaction struct{ tx pgx.Tx }

func (t transaction) Commit() error {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	return t.tx.Commit(ctx)
}

func (t transaction) Rollback() error {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	err := t.tx.Rollback(ctx)
	if errors.Is(err, pgx.ErrTxClosed) {
		return nil
	}
	return err
}

type result struct{ rows pgx.Rows }

// Columns names the columns.
func (r *result) Columns() []string {
	fields := r.rows.FieldDescriptions()
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return names
}

// Close ends the query.
func (r *result) Close() error {
	r.rows.Close()
	return r.rows.Err()
}

// Next reads a row.
func (r *result) Next(dest []driver.Value) error {
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return io.EOF
	}
	row, err := r.rows.Values()
	if err != nil {
		return err
	}
	for i, v := range row {
		switch v := v.(type) {
		case int16:
			dest[i] = int64(v)
		case int32:
			dest[i] = int64(v)
		case nil, int64, string, bool:
			dest[i] = v
		default:
			return fmt.Errorf("read column %d: %T is no type of the catalog", i+1, v)
		}
	}
	return nil
}
