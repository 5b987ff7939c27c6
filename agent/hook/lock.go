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

	"github.com/recfleet/recfleet/internal/filelock"
)

// The locks in the spool's folder: of a start hook, of the supervisor, and of the agent itself.
const (
	StartLock      = "start.lock"
	SupervisorLock = "supervisor.lock"
	AgentLock      = "lock"
)

// lockRetry is the pause between two looks at a lock that somebody has.
const lockRetry = 20 * time.Millisecond

// AwaitLock waits for the lock of that name in the folder until ctx is done.
func AwaitLock(ctx context.Context, dir, name string) (*filelock.Lock, error) {
	tick := time.NewTicker(lockRetry)
	defer tick.Stop()
	for {
		lock, err := filelock.Take(filepath.Join(dir, name))
		if err == nil || !errors.Is(err, filelock.ErrHeld) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for lock %s: %w", name, ctx.Err())
		case <-tick.C:
		}
	}
}

// Holder returns the process that has the lock of that name, 0 where none has. It only looks: whoever wants the lock gets it.
func Holder(dir, name string) int {
	table, err := os.ReadFile("/proc/locks")
	if err != nil {
		return 0
	}
	var st unix.Stat_t
	if unix.Stat(filepath.Join(dir, name), &st) != nil {
		return 0
	}
	// The device is left out: file systems that have several tell different ones.
	return holderIn(string(table), st.Ino)
}

// holderIn finds a file's lock in the kernel's table of locks.
func holderIn(table string, number uint64) int {
	inode := ":" + strconv.FormatUint(number, 10)
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) > 5 && f[1] == "FLOCK" && strings.HasSuffix(f[5], inode) {
			if pid, err := strconv.Atoi(f[4]); err == nil {
				return pid
			}
		}
	}
	return 0
}

// Held reports whether somebody has one of the locks of those names.
func Held(dir string, names ...string) bool {
	for _, name := range names {
		if Holder(dir, name) != 0 {
			return true
		}
	}
	return false
}

// AwaitFree waits until nobody has any of the locks of those names, or ctx is done.
func AwaitFree(ctx context.Context, dir string, names ...string) error {
	return awaitFree(ctx, lockRetry, dir, names...)
}

func awaitFree(ctx context.Context, every time.Duration, dir string, names ...string) error {
	tick := time.NewTicker(every)
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
