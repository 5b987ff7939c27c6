package ffmpeg

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Limits bound what one process may take; 0 is no limit. A process with any limit writes no core dump either.
type Limits struct {
	// Memory is of address space, in bytes.
	Memory int64
	// CPU is what all threads together may take, in whole seconds.
	CPU time.Duration
	// FileSize is of any one file that it writes, in bytes; pipes are not files.
	FileSize int64
	// Files is how many may be open at a time.
	Files int
	// Processes is how many processes and threads it may have. The kernel counts those of the same user, so it is applied
	// only to a process that has its own user namespace, see Confinement.
	Processes int
}

// Limit names a limit that a process ran into.
type Limit string

// The limits that can be recognized from how a process ended.
const (
	LimitCPU      Limit = "cpu time"
	LimitMemory   Limit = "memory"
	LimitFileSize Limit = "file size"
)

// cpuGrace is between the signal that asks a process to end and the one that ends it.
const cpuGrace = 5 * time.Second

// apply sets the limits of a process. It tries all and returns what did not work.
func (l Limits) apply(pid int, ownUser bool) error {
	var err error
	set := func(resource int, soft, hard uint64) {
		if limitErr := unix.Prlimit(pid, resource, &unix.Rlimit{Cur: soft, Max: hard}, nil); limitErr != nil {
			err = errors.Join(err, fmt.Errorf("set limit %d: %w", resource, limitErr))
		}
	}
	set(unix.RLIMIT_CORE, 0, 0)
	if l.Memory > 0 {
		set(unix.RLIMIT_AS, uint64(l.Memory), uint64(l.Memory))
	}
	if l.CPU > 0 {
		seconds := uint64(math.Ceil(l.CPU.Seconds()))
		set(unix.RLIMIT_CPU, seconds, seconds+uint64(cpuGrace.Seconds()))
	}
	if l.FileSize > 0 {
		set(unix.RLIMIT_FSIZE, uint64(l.FileSize), uint64(l.FileSize))
	}
	if l.Files > 0 {
		set(unix.RLIMIT_NOFILE, uint64(l.Files), uint64(l.Files))
	}
	if l.Processes > 0 && ownUser {
		set(unix.RLIMIT_NPROC, uint64(l.Processes), uint64(l.Processes))
	}
	return err
}

// hit tells which limit a process ran into, if one. FFmpeg ends politely at the first signal about its CPU time, so that
// the time counts and not the signal. Where memory was refused to a process that had little of what it may have, it was the
// machine that had none.
func (l Limits) hit(e Exit, usage *syscall.Rusage) Limit {
	failed := e.Code != 0 || e.Stderr != ""
	switch {
	case !failed:
		return ""
	case l.CPU > 0 && (e.Signal == syscall.SIGXCPU.String() || spent(usage) >= l.CPU):
		return LimitCPU
	case l.FileSize > 0 && (e.Signal == syscall.SIGXFSZ.String() || strings.Contains(e.Stderr, syscall.EFBIG.Error()) || strings.Contains(e.Stderr, tooLarge)):
		return LimitFileSize
	case l.Memory > 0 && RefusedMemory(e) && usage.Maxrss<<10 >= l.Memory/4:
		return LimitMemory
	}
	return ""
}

// tooLarge is how the C library words EFBIG.
const tooLarge = "File too large"

// RefusedMemory reports whether a process complained that it got no memory.
func RefusedMemory(e Exit) bool {
	return strings.Contains(e.Stderr, "Cannot allocate memory") || strings.Contains(e.Stderr, "malloc of size")
}

func spent(u *syscall.Rusage) time.Duration { return time.Duration(u.Utime.Nano() + u.Stime.Nano()) }

// sacrifice has the kernel take this process before others where memory runs out: its work can be done again.
func sacrifice(pid int) {
	const likely = "500"
	_ = os.WriteFile("/proc/"+strconv.Itoa(pid)+"/oom_score_adj", []byte(likely), 0) // it is only a preference
}
