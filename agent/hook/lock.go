package hook

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The locks in the spool's folder: of a start hook, of the supervisor, and of the agent itself.
const (
	StartLock      = "start.lock"
	SupervisorLock = "supervisor.lock"
	AgentLock      = "lock"
)

// Lock is held by one hook at a time.
type Lock struct{ file *os.File }

// AwaitLock waits for the lock of that name in the folder until ctx is done.
func AwaitLock(ctx context.Context, dir, name string) (Lock, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return Lock{}, fmt.Errorf("open lock: %w", err)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return Lock{f}, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return Lock{}, errors.Join(fmt.Errorf("lock %s: %w", name, err), f.Close())
		}
		select {
		case <-ctx.Done():
			return Lock{}, errors.Join(fmt.Errorf("wait for lock %s: %w", name, ctx.Err()), f.Close())
		case <-tick.C:
		}
	}
}

// ErrHeld says that somebody else has a lock.
var ErrHeld = errors.New("held by another process")

// TryLock takes the lock of that name in the folder; ErrHeld where somebody else has it.
func TryLock(dir, name string) (Lock, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return Lock{}, fmt.Errorf("open lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrHeld
		}
		return Lock{}, fmt.Errorf("lock %s: %w", name, err)
	}
	return Lock{f}, nil
}

// Held reports whether somebody has one of the locks of those names. It only looks: whoever wants one gets it.
func Held(dir string, names ...string) bool {
	table, err := os.ReadFile("/proc/locks")
	if err != nil {
		return false
	}
	for _, name := range names {
		var st unix.Stat_t
		if unix.Stat(filepath.Join(dir, name), &st) != nil {
			continue
		}
		// The device is left out: file systems that have several tell different ones.
		inode := ":" + strconv.FormatUint(st.Ino, 10)
		for line := range strings.Lines(string(table)) {
			f := strings.Fields(line)
			if len(f) > 5 && f[1] == "FLOCK" && strings.HasSuffix(f[5], inode) {
				return true
			}
		}
	}
	return false
}

// AwaitFree waits until nobody has any of the locks of those names, or ctx is done.
func AwaitFree(ctx context.Context, dir string, names ...string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for Held(dir, names...) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// Release lets the next one in.
func (l Lock) Release() { _ = l.file.Close() }
