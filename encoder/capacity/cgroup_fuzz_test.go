package capacity

import (
	"testing"
	"testing/fstest"
)

// Whatever the kernel's files hold, no limit is below nothing.
func FuzzGroups(f *testing.F) {
	f.Add("0::/a\n", "1 2 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "max 100000", "1000\n", "usage_usec 5\n")
	f.Add("4:cpu,cpuacct:/a/b\n3:memory:/a\n", "1 2 0:3 /a /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n", "-1", "9223372036854771712", "5")
	f.Fuzz(func(t *testing.T, mine, mounts, quota, memory, used string) {
		files := fstest.MapFS{"proc/self/cgroup": {Data: []byte(mine)}, "proc/self/mountinfo": {Data: []byte(mounts)}}
		for dir := range map[string]bool{"sys/fs/cgroup": true, "sys/fs/cgroup/a": true, "sys/fs/cgroup/cpu": true, "sys/fs/cgroup/memory": true} {
			files[dir+"/cpu.max"], files[dir+"/cpu.cfs_quota_us"] = &fstest.MapFile{Data: []byte(quota)}, &fstest.MapFile{Data: []byte(quota)}
			files[dir+"/memory.max"], files[dir+"/memory.current"] = &fstest.MapFile{Data: []byte(memory)}, &fstest.MapFile{Data: []byte(used)}
			files[dir+"/cpu.stat"] = &fstest.MapFile{Data: []byte(used)}
		}
		for _, g := range groups(files) {
			if cores, limited := g.quota(files); limited && !(cores > 0) {
				t.Errorf("a quota of %v cores", cores)
			}
			if limit, _, limited := g.memory(files); limited && limit < 0 {
				t.Errorf("a limit of %d bytes", limit)
			}
			_ = g.used(files)
		}
	})
}
