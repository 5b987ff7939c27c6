package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// DefaultReserve is how much disk is kept for sealing, events and registrations where nothing else was said.
	DefaultReserve = 4 << 20
	reserveName    = "reserve"
)

// FreeDisk returns how many bytes of the spool's disk are free for everybody.
func (p *Spool) FreeDisk() (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(p.dir, &st); err != nil {
		return 0, fmt.Errorf("look at the spool's disk: %w", err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// limit returns how many bytes the segments may have: as many as was said, and no more than the disk has room for beside the
// reserve and as much again for the frame that is being written.
func (p *Spool) limit() int64 {
	free, err := p.FreeDisk()
	if err != nil {
		return p.maxBytes
	}
	free -= p.reserve.size
	if !p.reserve.held() {
		free -= p.reserve.size
	}
	return min(p.maxBytes, p.bytes.Load()+max(free, 0))
}

// Full reports whether the spool holds as much as it may, or the disk as much as it can.
func (p *Spool) Full() bool { return p.bytes.Load() >= p.limit() || !p.reserve.held() }

// Room reports whether so much is free again that recording is worth resuming after ErrFull: a tenth of what the spool may hold, and
// the reserve.
func (p *Spool) Room() bool {
	limit := p.limit()
	free := limit - p.bytes.Load()
	return free >= limit/10 && free >= min(p.maxBytes/10, 2*p.reserve.size) && p.reserve.take() == nil
}

// Paused reports whether a writer was told ErrFull and no segment was begun since.
func (p *Spool) Paused() bool { return p.paused.Load() }

// isFull is what a writer is told of a full spool.
func (p *Spool) isFull(err error) error {
	p.paused.Store(true)
	if err == nil {
		return ErrFull
	}
	return fmt.Errorf("%w: %w", ErrFull, err)
}

// Pressure reports whether less should be recorded: from when four fifths of what the spool may hold are taken until it is three
// fifths.
func (p *Spool) Pressure() bool {
	limit, n := p.limit(), p.bytes.Load()
	switch {
	case n >= limit-limit/5:
		p.pressed.Store(true)
	case n <= limit-limit/5*2 && limit-n >= min(p.maxBytes/5, 3*p.reserve.size):
		p.pressed.Store(false)
	}
	return p.pressed.Load()
}

// closing does what has to be done even where the disk is full: where it has no space, the reserve is given up, and it is done again.
func (p *Spool) closing(do func() error) error {
	err := do()
	if !noSpace(err) || !p.reserve.release() {
		return err
	}
	p.log.Error("disk is full, the reserve is given up", "bytes", p.reserve.size)
	return do()
}

func noSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }

// reserve is a file that holds disk which is needed to end in order.
type reserve struct {
	path string
	size int64

	mu    sync.Mutex
	taken bool
}

func newReserve(dir string, size int64) *reserve {
	if size <= 0 {
		size = DefaultReserve
	}
	return &reserve{path: filepath.Join(dir, reserveName), size: size}
}

func (r *reserve) held() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.taken
}

// take makes the file where it is not there or is of another size. Idempotent.
func (r *reserve) take() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.taken {
		return nil
	}
	f, err := os.OpenFile(r.path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("take reserve: %w", err)
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, r.size)
	if errors.Is(err, unix.EOPNOTSUPP) {
		_, err = f.Write(make([]byte, r.size))
	}
	if err == nil {
		err = f.Truncate(r.size) // it may have been larger
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		// What there is of it would only be in the way.
		return errors.Join(fmt.Errorf("take reserve: %w", err), os.Remove(r.path))
	}
	r.taken = true
	return nil
}

// release gives the disk back and reports whether there was any to give.
func (r *reserve) release() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	st, err := os.Stat(r.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && st.Size() == 0 {
		r.taken = false
		return false
	}
	r.taken = false
	return os.Truncate(r.path, 0) == nil
}
