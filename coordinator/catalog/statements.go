package catalog

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
)

const (
	// statementsKept bounds the statements that a connection to SQLite keeps compiled, statementBytes their length: what is
	// longer is made for one call.
	statementsKept, statementBytes = 96, 4000
)

// openSQLite returns a pool of connections to a SQLite database that keep their statements compiled; see sqliteName. Nothing is
// reached yet.
func openSQLite(name string) (*sql.DB, error) {
	plain, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(keeping{plain.Driver(), name}), plain.Close()
}

// keeping makes connections that keep their statements.
type keeping struct {
	driver driver.Driver
	name   string
}

// Driver returns what makes plain connections.
func (k keeping) Driver() driver.Driver { return k.driver }

// Connect opens a connection.
func (k keeping) Connect(context.Context) (driver.Conn, error) {
	opened, err := k.driver.Open(k.name)
	if err != nil {
		return nil, err
	}
	plain, ok := opened.(plainConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("connection of type %T lacks a method", opened), opened.Close())
	}
	return &keeper{plainConn: plain, kept: map[string]*kept{}}, nil
}

// plainConn is what SQLite's connections can do and the pool asks for.
type plainConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
}

// keeper is a connection that keeps its statements. The pool lets one caller at a time use it, but rows may be read while another
// statement runs.
type keeper struct {
	plainConn
	kept map[string]*kept
}

// kept is a compiled statement.
type kept struct {
	driver.Stmt
	reading bool // its rows are being read: it cannot run again meanwhile
}

// statement returns a compiled statement that can run, nil where this one is not to be kept or is being read.
func (k *keeper) statement(ctx context.Context, query string) (*kept, error) {
	if s, ok := k.kept[query]; ok {
		if s.reading {
			return nil, nil
		}
		return s, nil
	}
	if len(query) > statementBytes {
		return nil, nil
	}
	if len(k.kept) >= statementsKept {
		if err := k.drop(); err != nil {
			return nil, err
		}
	}
	compiled, err := k.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	s := &kept{Stmt: compiled}
	k.kept[query] = s
	return s, nil
}

// drop forgets the statements that are not being read.
func (k *keeper) drop() error {
	var failed error
	for query, s := range k.kept {
		if !s.reading {
			delete(k.kept, query)
			failed = errors.Join(failed, s.Close())
		}
	}
	return failed
}

// ExecContext runs a statement, or several.
func (k *keeper) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, err := k.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return k.plainConn.ExecContext(ctx, query, args)
	}
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args) //nolint:forcetypeassert // every statement of this driver is one
}

// QueryContext runs a statement that returns rows.
func (k *keeper) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := k.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return k.plainConn.QueryContext(ctx, query, args)
	}
	found, err := s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args) //nolint:forcetypeassert // as above
	if err != nil {
		return nil, err
	}
	s.reading = true
	return &keptRows{found, s}, nil
}

// Close closes the connection.
func (k *keeper) Close() error {
	var failed error
	for _, s := range k.kept {
		failed = errors.Join(failed, s.Close())
	}
	k.kept = nil
	return errors.Join(failed, k.plainConn.Close())
}

// keptRows are the rows of a kept statement.
type keptRows struct {
	driver.Rows
	of *kept
}

// Close lets the statement run again.
func (r *keptRows) Close() error {
	r.of.reading = false
	return r.Rows.Close()
}
