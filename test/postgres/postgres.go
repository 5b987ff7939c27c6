// Package postgres runs a private Postgres server for tests and benchmarks.
//
// What comes in are the programs of the Debian package postgresql; what goes out are the URLs of fresh databases. What always
// holds: the server listens on a socket in a directory of its own and nowhere else, runs as a user without rights where the
// caller is root, and is gone with its directory after Stop.
package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrAbsent says that the programs are not installed.
var ErrAbsent = errors.New("no Postgres server is installed (tools/packages.sh test)")

// startTimeout bounds starting.
const startTimeout = time.Minute

// Server is a running server.
type Server struct {
	dir       string
	temporary bool
	cmd       *exec.Cmd
	exited    chan struct{}
	output    bytes.Buffer // to be read after exited
}

// Start makes a database cluster in a temporary directory and runs a server on it. options go to the server as they are,
// for example "-c", "fsync=off". It blocks until the server answers. Stop removes the directory.
func Start(ctx context.Context, options ...string) (*Server, error) {
	dir, err := os.MkdirTemp("", "recfleet-postgres-")
	if err != nil {
		return nil, err
	}
	s, err := Open(ctx, dir, options...)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	s.temporary = true
	return s, nil
}

// Open is Start on a directory that stays, made where there is none; what is in it from before is served again.
func Open(ctx context.Context, dir string, options ...string) (*Server, error) {
	bin, err := find()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &Server{dir: dir, exited: make(chan struct{})}
	if err := s.start(ctx, bin, options); err != nil {
		return nil, fmt.Errorf("start postgres: %w", err)
	}
	return s, nil
}

func (s *Server) start(ctx context.Context, bin string, options []string) error {
	identity, err := servant(s.dir)
	if err != nil {
		return err
	}
	data := filepath.Join(s.dir, "data")
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); err != nil {
		if err := initialize(ctx, bin, s.dir, data, identity); err != nil {
			return err
		}
	}
	args := slices.Concat([]string{"-D", data, "-c", "listen_addresses=", "-c", "unix_socket_directories=" + s.dir, "-c", "max_connections=300"}, options)
	s.cmd = exec.Command(filepath.Join(bin, "postgres"), args...)
	s.cmd.Dir = s.dir
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: identity, Pdeathsig: syscall.SIGQUIT, Setpgid: true}
	s.cmd.Stdout, s.cmd.Stderr = &s.output, &s.output
	if err := s.cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer close(s.exited)
		_ = s.cmd.Wait() // what it says of it is in the output
	}()
	if err := s.answer(ctx); err != nil {
		return errors.Join(err, s.Stop())
	}
	return nil
}

func initialize(ctx context.Context, bin, dir, data string, identity *syscall.Credential) error {
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "--pgdata", data, "--username", "recfleet", "--auth", "trust",
		"--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = dir, &syscall.SysProcAttr{Credential: identity}
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return nil
}

// answer waits for the server to answer.
func (s *Server) answer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.url("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for an answer: %w", err)
		case <-s.exited:
			return fmt.Errorf("it ended: %s", s.output.String())
		case <-again.C:
		}
	}
}

// url names a database; the server trusts whoever can reach its directory.
func (s *Server) url(database string) string {
	q := url.Values{"host": {s.dir}, "user": {"recfleet"}, "sslmode": {"disable"}}
	return (&url.URL{Scheme: "postgres", Path: "/" + database, RawQuery: q.Encode()}).String()
}

// Create makes an empty database where there is none of that name, and returns its URL.
func (s *Server) Create(ctx context.Context, name string) (string, error) {
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // what it did is done
	var there bool
	if err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)", name).Scan(&there); err != nil || there {
		return s.url(name), err
	}
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+" TEMPLATE template0"); err != nil {
		return "", fmt.Errorf("create database %s: %w", name, err)
	}
	return s.url(name), nil
}

// Size is how many bytes a database has on the disk.
func (s *Server) Size(ctx context.Context, name string) (bytes int64, err error) {
	conn, err := pgx.Connect(ctx, s.url(name))
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it has read
	err = conn.QueryRow(ctx, "SELECT pg_database_size($1)", name).Scan(&bytes)
	return bytes, err
}

// Stop ends the server, and removes its directory where Start made it.
func (s *Server) Stop() error {
	var err error
	select {
	case <-s.exited:
	default:
		end := syscall.SIGQUIT // at once
		if !s.temporary {
			end = syscall.SIGINT
		}
		err = s.cmd.Process.Signal(end)
		<-s.exited
	}
	if s.temporary {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

// find returns the directory of the newest server's programs.
func find() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil || len(found) == 0 {
		return "", ErrAbsent
	}
	version := func(path string) int {
		n, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		if err != nil {
			return 0
		}
		return n
	}
	return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
}

// servant is who runs the server, which refuses to run as root; the directory becomes that user's.
func servant(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(nobody.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(nobody.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, int(uid), int(gid))
}
