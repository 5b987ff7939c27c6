package capacity

import (
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// group is a cgroup that this process is in, or one around it, with the controllers that are there.
type group struct {
	dir             string // below the root
	version2        bool
	cpu, acct, held bool // version 1: the controllers of this directory
}

// groups finds this process's cgroups, from its own to the outermost that can be seen. Where there are none, or they cannot be
// read, nothing limits it but the machine.
func groups(files fs.FS) (found []group) {
	mine, err := fs.ReadFile(files, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	mounts, err := fs.ReadFile(files, "proc/self/mountinfo")
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(mounts)) {
		before, after, _ := strings.Cut(strings.TrimSpace(line), " - ")
		where, what := strings.Fields(before), strings.Fields(after)
		if len(where) < 5 || len(what) < 3 {
			continue
		}
		root, at := where[3], strings.TrimPrefix(where[4], "/")
		g := group{version2: what[0] == "cgroup2"}
		options := strings.Split(what[2], ",")
		if what[0] == "cgroup" {
			g.cpu, g.acct, g.held = slices.Contains(options, "cpu"), slices.Contains(options, "cpuacct"), slices.Contains(options, "memory")
		}
		if !g.version2 && !g.cpu && !g.acct && !g.held {
			continue
		}
		member, ok := membership(string(mine), g, options)
		if !ok {
			continue
		}
		below := "." // a container may see its own group as the root of the mount, under the name that it has outside
		if rest, inside := strings.CutPrefix(member, strings.TrimSuffix(root, "/")); inside && (rest == "" || rest[0] == '/') {
			below = path.Join(".", path.Clean("/" + rest)[1:])
		}
		for {
			g.dir = path.Join(at, below)
			if _, err := fs.Stat(files, g.dir); err == nil {
				found = append(found, g)
			}
			if below == "." {
				break
			}
			below = path.Dir(below)
		}
	}
	return found
}

// membership returns the path of this process's group in a hierarchy.
func membership(mine string, g group, options []string) (string, bool) {
	for line := range strings.Lines(mine) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		if g.version2 {
			if parts[0] == "0" && parts[1] == "" {
				return parts[2], true
			}
			continue
		}
		for controller := range strings.SplitSeq(parts[1], ",") {
			if controller != "" && slices.Contains(options, controller) {
				return parts[2], true
			}
		}
	}
	return "", false
}

// quota returns how many cores the group may use, where that is limited.
func (g group) quota(files fs.FS) (cores float64, limited bool) {
	var quota, period float64
	switch {
	case g.version2:
		fields := strings.Fields(text(files, g.dir, "cpu.max"))
		if len(fields) != 2 {
			return 0, false
		}
		quota, period = number(fields[0]), number(fields[1])
	case g.cpu:
		quota, period = number(text(files, g.dir, "cpu.cfs_quota_us")), number(text(files, g.dir, "cpu.cfs_period_us"))
	}
	if quota <= 0 || period <= 0 {
		return 0, false
	}
	return quota / period, true
}

// used returns the seconds of CPU that the group took so far, 0 where that is not known.
func (g group) used(files fs.FS) float64 {
	switch {
	case g.version2:
		return max(0, entry(text(files, g.dir, "cpu.stat"), "usage_usec")) / 1e6
	case g.acct:
		return max(0, number(text(files, g.dir, "cpuacct.usage"))) / float64(time.Second)
	}
	return 0
}

// memory returns how much the group may have and can still get, where that is limited. What the kernel only keeps of files it
// gives back when asked.
func (g group) memory(files fs.FS) (limit, free int64, limited bool) {
	most, have, kept := -1.0, -1.0, 0.0
	switch {
	case g.version2:
		most, have = number(text(files, g.dir, "memory.max")), number(text(files, g.dir, "memory.current"))
		kept = entry(text(files, g.dir, "memory.stat"), "inactive_file")
	case g.held:
		most, have = number(text(files, g.dir, "memory.limit_in_bytes")), number(text(files, g.dir, "memory.usage_in_bytes"))
		kept = entry(text(files, g.dir, "memory.stat"), "total_inactive_file")
	}
	const unlimited = 1 << 60 // version 1 says so with a very large number
	if most <= 0 || have < 0 || most >= unlimited {
		return 0, 0, false
	}
	return int64(most), int64(max(0, most-have+max(0, kept))), true
}

// entry returns the value of a key in a file of keys and values, -1 where there is none.
func entry(file, key string) float64 {
	for line := range strings.Lines(file) {
		if rest, ok := strings.CutPrefix(line, key+" "); ok {
			return number(strings.TrimSpace(rest))
		}
	}
	return -1
}

func text(files fs.FS, dir, name string) string {
	raw, err := fs.ReadFile(files, path.Join(dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}

// number returns -1 for what is none, "max" among it.
func number(s string) float64 {
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return -1
	}
	return n
}
