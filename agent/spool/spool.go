// Package spool holds the agent's queue on disk: what was captured and is not yet in the server's custody.
//
// In comes the screen codec's stream, segment by segment, and numbered events. Out go chunks with their hashes, and events,
// both only once they are on disk, so that nothing is ever published that a power cut could take back and replace. What
// always holds: a segment's state is its file's name, changed only by rename (000003.open, .sealed, .published); a chunk that
// was handed out once is the same bytes and hashes for ever; nothing is deleted without a receipt that names its hash chain;
// any torn end is cut off when the spool is opened, and what was whole before it stays.
//
// Below the spool's folder every session has its own, named by its request id:
//
//	lock                          held by the one process that writes here
//	reserve                       disk that is kept for ending in order
//	settings.json                 how the coordinator last ordered to record
//	sessions/REQUEST/session.json the registration
//	sessions/REQUEST/events.log   numbered events, one checksummed line each
//	sessions/REQUEST/000003.open  the segment's stream; then .sealed, .published, and gone
//	sessions/REQUEST/000003.chunks where its chunks end and what they contain, one checksummed record each
//	sessions/REQUEST/000003.freed what is left of a segment after its receipt: its place in the hash chain
package spool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sys/unix"

	"github.com/recfleet/recfleet/internal/filelock"
)

// DefaultMaxBytes is the size of a spool for which nothing else was said.
const DefaultMaxBytes = 2 << 30

var (
	// ErrLocked says that another process uses the spool.
	ErrLocked = errors.New("spool is in use by another process")
	// ErrFull says that the spool holds as many bytes as it may, or its disk as many as it can. What was written is kept.
	ErrFull = errors.New("spool is full")
	// ErrNotFound says that there is no such segment or chunk, or not yet.
	ErrNotFound = errors.New("not in the spool")
	// ErrDamaged says that bytes in the spool are not those that were written.
	ErrDamaged = errors.New("spooled bytes are damaged")
)

// Prefix is the part of a segment's stream that can be read: Bytes long, with Frames whole frames, the last of them Last
// after the first.
type Prefix struct {
	Bytes, Frames int64
	Last          time.Duration
}

// Config says where a spool is and how large it may grow.
type Config struct {
	Dir string
	// MaxBytes bounds the segments of all sessions together; 0 means DefaultMaxBytes. A frame that was begun is finished.
	MaxBytes int64
	// ReserveBytes is how much disk is kept for the last steps where the disk is full; 0 means DefaultReserve.
	ReserveBytes int64
	// Scan finds the whole frames of a stream that was cut off anywhere; without it, a torn stream is kept to its last byte.
	Scan   func(io.Reader) (Prefix, error)
	Logger hclog.Logger
}

// Spool is a folder of sessions, locked for this process.
type Spool struct {
	dir      string
	maxBytes int64
	scan     func(io.Reader) (Prefix, error)
	log      hclog.Logger
	lock     *filelock.Lock
	bytes    atomic.Int64
	reserve  *reserve
	pressed  atomic.Bool
	paused   atomic.Bool
	sessions []*Session
}

var requestIDForm = regexp.MustCompile(`^[a-z0-9]{16,64}$`)

// Prepare makes the folder of a spool where there is none, only for its owner, and checks that it can be written. It may be
// called while another process uses the spool.
func Prepare(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make spool folder: %w", err)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return fmt.Errorf("look at spool folder %s: %w", dir, err)
	}
	if int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("spool folder %s belongs to user %d", dir, st.Uid)
	}
	if st.Mode&0o077 != 0 {
		// A folder with other things in it is somebody else's: its mode is not ours to change.
		names, err := os.ReadDir(dir)
		if err != nil {
			return fmt.Errorf("read spool folder: %w", err)
		}
		if _, err := os.Stat(filepath.Join(dir, "lock")); len(names) > 0 && err != nil {
			return fmt.Errorf("spool folder %s is open to other users and is not empty", dir)
		}
		if err := os.Chmod(dir, 0o700); err != nil {
			return fmt.Errorf("close spool folder: %w", err)
		}
	}
	probe, err := os.CreateTemp(dir, "probe-")
	if err != nil {
		return fmt.Errorf("write to spool folder: %w", err)
	}
	if err := errors.Join(probe.Close(), os.Remove(probe.Name())); err != nil {
		return fmt.Errorf("write to spool folder: %w", err)
	}
	return nil
}

// Open locks the spool and recovers what an earlier process left in it. It fails with ErrLocked while another process has it
// open.
func Open(cfg Config) (*Spool, error) {
	if cfg.Logger == nil {
		cfg.Logger = hclog.NewNullLogger()
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if err := Prepare(cfg.Dir); err != nil {
		return nil, err
	}
	lock, err := filelock.Take(filepath.Join(cfg.Dir, "lock"))
	if errors.Is(err, filelock.ErrHeld) {
		return nil, fmt.Errorf("lock %s: %w", cfg.Dir, ErrLocked)
	}
	if err != nil {
		return nil, err
	}
	p := &Spool{dir: cfg.Dir, maxBytes: cfg.MaxBytes, scan: cfg.Scan, log: cfg.Logger, lock: lock,
		reserve: newReserve(cfg.Dir, cfg.ReserveBytes)}
	if err := p.load(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	if err := p.reserve.take(); err != nil {
		p.log.Error("reserve not taken, nothing is recorded until it is", "error", err)
	}
	return p, nil
}

func (p *Spool) load() error {
	root := filepath.Join(p.dir, "sessions")
	if err := os.MkdirAll(root, 0o700); err != nil {
		return fmt.Errorf("make sessions folder: %w", err)
	}
	if err := syncDir(p.dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		return fmt.Errorf("read sessions folder: %w", err)
	}
	for _, e := range entries {
		dir := filepath.Join(root, e.Name())
		if ext := filepath.Ext(e.Name()); ext == removedSuffix || ext == makingSuffix {
			if err := os.RemoveAll(dir); err != nil {
				return fmt.Errorf("remove finished session: %w", err)
			}
			continue
		}
		if !e.IsDir() || !requestIDForm.MatchString(e.Name()) {
			p.log.Warn("foreign file passed over", "path", dir)
			continue
		}
		s, err := p.recoverSession(dir)
		if err != nil {
			// One damaged session must not stop the others, nor new recordings. It stays where it is.
			p.log.Error("session not recovered", "request_id", e.Name(), "error", err)
			continue
		}
		if s != nil {
			p.sessions = append(p.sessions, s)
		}
	}
	if err := p.discardContinued(); err != nil {
		return err
	}
	sort.Slice(p.sessions, func(i, j int) bool { return p.sessions[i].reg.Start.Before(p.sessions[j].reg.Start) })
	return nil
}

// Left returns the sessions that an earlier process left behind, the oldest first. Their segments are sealed; one that had not
// ended may be gone on with.
func (p *Spool) Left() []*Session { return p.sessions }

// Bytes returns how many bytes of segments the spool holds.
func (p *Spool) Bytes() int64 { return p.bytes.Load() }

// Close unlocks the spool. Sessions are closed by their own Close.
func (p *Spool) Close() error {
	if err := p.lock.Release(); err != nil {
		return fmt.Errorf("unlock spool: %w", err)
	}
	return nil
}
