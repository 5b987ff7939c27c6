package ffmpeg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Confinement is what holds for a process.
type Confinement struct {
	// Limited says that its limits were set before its first instruction. Where the kernel did not allow it to be held
	// there, they were set right after, which leaves it unlimited for some microseconds.
	Limited, LimitedLate bool
	// Offline says that it has a network of its own with nothing in it.
	Offline bool
	// OwnUser says that it has a user namespace of its own: of its user's rights it has only those to files.
	OwnUser bool
	// Counted says that its number of processes is limited. The kernel lets root have as many as it likes.
	Counted bool
}

// launch starts the command that build makes, confined as far as the kernel allows.
//
// Go runs nothing of ours between fork and exec, and limits that are set after a start come when the program may already
// run. So the child asks to be traced, which has the kernel hold it when exec is done and before the first instruction of
// the new program, its dynamic linker included; there it gets its limits and is let go. What it starts later inherits them.
// A tracer is a thread, so the goroutine stays on its own meanwhile. If this process dies in between, the kernel lets the
// child go and its parent's death kills it.
func launch(build func() *exec.Cmd, limits Limits, offline bool) (*exec.Cmd, Confinement, error) {
	if limits == (Limits{}) && !offline {
		cmd := build()
		return cmd, Confinement{}, cmd.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var err error
	for _, way := range ways(offline) {
		cmd := build()
		way.prepare(cmd.SysProcAttr)
		if err = cmd.Start(); err == nil {
			return cmd, way.finish(cmd, limits), nil
		}
		if !refused(err) {
			break
		}
	}
	return nil, Confinement{}, err
}

// way is one way to start a process.
type way struct{ traced, ownUser, ownNetwork bool }

// ways lists them, the best first.
func ways(offline bool) []way {
	plain := []way{{traced: true}, {}}
	if !offline {
		return plain
	}
	first := []way{{traced: true, ownUser: true, ownNetwork: true}, {traced: true, ownNetwork: true}, {ownUser: true, ownNetwork: true}, {ownNetwork: true}}
	return append(first, plain...)
}

func (w way) prepare(attr *syscall.SysProcAttr) {
	attr.Ptrace = w.traced
	if w.ownNetwork {
		attr.Cloneflags |= unix.CLONE_NEWNET
	}
	if w.ownUser {
		attr.Cloneflags |= unix.CLONE_NEWUSER
		// The same user on both sides, who owns the same files.
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Geteuid(), HostID: os.Geteuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getegid(), HostID: os.Getegid(), Size: 1}}
	}
}

// finish sets the limits of a process that was started this way and lets it go.
func (w way) finish(cmd *exec.Cmd, limits Limits) Confinement {
	pid := cmd.Process.Pid
	held := w.traced && awaitHold(pid)
	limitErr := limits.apply(pid, w.ownUser)
	sacrifice(pid)
	if w.traced {
		_ = unix.PtraceDetach(pid) // it is gone, if not
	}
	return Confinement{
		Limited: held && limitErr == nil, LimitedLate: !held && limitErr == nil, Offline: w.ownNetwork, OwnUser: w.ownUser,
		Counted: w.ownUser && limits.Processes > 0 && limitErr == nil && os.Geteuid() != 0,
	}
}

// awaitHold blocks until the kernel holds the process after its exec; false where it is gone.
func awaitHold(pid int) bool {
	var status unix.WaitStatus
	for {
		// A process that has ended is left for the one who waits for it.
		var info unix.Siginfo
		err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WSTOPPED|unix.WNOWAIT, nil)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		const trapped = 4 // CLD_TRAPPED
		if err != nil || info.Code != trapped {
			return false
		}
		if _, err = unix.Wait4(pid, &status, 0, nil); errors.Is(err, unix.EINTR) {
			continue
		}
		return err == nil && status.Stopped()
	}
}

// refused reports whether the kernel did not allow, or does not know, what was asked for with a start.
func refused(err error) bool {
	for _, no := range []error{unix.EPERM, unix.EACCES, unix.EINVAL, unix.ENOSPC, unix.ENOSYS, unix.EUSERS} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

// Confine reports what would hold for an FFmpeg that is started with limits and offline, by starting one that says its
// version.
func Confine(ctx context.Context) (Confinement, error) {
	cmd, held, err := launch(func() *exec.Cmd { return command(ctx, "ffmpeg", "-version") }, probeLimits(), true)
	if err != nil {
		return Confinement{}, fmt.Errorf("confine ffmpeg: %w", installed(err))
	}
	return held, cmd.Wait()
}

// probeLimits are for programs that read a finished file.
func probeLimits() Limits {
	const most = 8 << 30
	return Limits{Memory: most, CPU: 10 * time.Minute, FileSize: 1, Files: 64, Processes: 64}
}
