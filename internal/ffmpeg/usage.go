package ffmpeg

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Usage is what processes take.
type Usage struct {
	Processes int
	CPU       time.Duration // since they started
	Memory    int64         // resident, in bytes, that of this process among it
}

// ticksPerSecond are the units of times in /proc; the kernel has the same for all programs.
const ticksPerSecond = 100

// Running sums up what this process's children and all in their process groups take that have not been waited for, and adds
// the memory of this process itself, but not its CPU time.
func Running() (Usage, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return Usage{}, fmt.Errorf("look at processes: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return Usage{}, fmt.Errorf("look at processes: %w", err)
	}
	self := os.Getpid()
	var all []process
	ours := map[int]bool{} // groups
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		p, err := readProcess(pid)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESRCH):
			continue // it has ended
		case err != nil:
			return Usage{}, fmt.Errorf("look at process %d: %w", pid, err)
		}
		all = append(all, p)
		if p.parent == self && p.group == pid {
			ours[pid] = true
		}
	}
	var sum Usage
	for _, p := range all {
		switch {
		case p.pid == self:
			sum.Memory += p.memory
		case ours[p.group] || p.parent == self:
			sum.Processes++
			sum.CPU += p.cpu
			sum.Memory += p.memory
		}
	}
	return sum, nil
}

type process struct {
	pid, parent, group int
	cpu                time.Duration
	memory             int64
}

// readProcess reads proc(5)'s stat, whose second field may hold anything between its parentheses.
func readProcess(pid int) (process, error) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return process{}, err
	}
	return parseStat(pid, string(raw))
}

// parseStat reads the text of a process's stat.
func parseStat(pid int, raw string) (p process, err error) {
	_, after, _ := strings.Cut(raw[max(0, strings.LastIndexByte(raw, ')')):], " ")
	fields := strings.Fields(after)
	const parent, group, user, system, resident = 1, 2, 11, 12, 21
	if len(fields) <= resident {
		return process{}, fmt.Errorf("stat has %d fields", len(fields))
	}
	var n [resident + 1]int64
	for _, i := range []int{parent, group, user, system, resident} {
		if n[i], err = strconv.ParseInt(fields[i], 10, 64); err != nil {
			return process{}, err
		}
	}
	return process{
		pid: pid, parent: int(n[parent]), group: int(n[group]),
		cpu: time.Duration(n[user]+n[system]) * time.Second / ticksPerSecond, memory: n[resident] * int64(os.Getpagesize()),
	}, nil
}
