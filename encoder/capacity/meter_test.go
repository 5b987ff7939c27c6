package capacity

import (
	"maps"
	"math"
	"os"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// system is the files of a machine with 8 GiB, 6 of them available, whose cores were busy for a number of ticks.
func system(ticks string, more map[string]string) fstest.MapFS {
	files := map[string]string{
		"proc/stat":    "cpu  " + ticks + " 0 0 999 999 0 0 0 0 0\ncpu0 1 1 1 1\n",
		"proc/meminfo": "MemTotal:  8388608 kB\nMemFree: 10 kB\nMemAvailable:  6291456 kB\nHugePages_Total: 0\n",
	}
	maps.Copy(files, more)
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

const (
	mount2 = "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
	mount1 = "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n33 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)

func TestTheTightestLimitCounts(t *testing.T) {
	const g = int64(1 << 30)
	for name, c := range map[string]struct {
		before, after map[string]string
		want          Sample
	}{
		"no cgroups": {nil, nil, Sample{Cores: 4, FreeCores: 2, OurCores: 1, Memory: 8 * g, FreeMemory: 6 * g, OurMemory: g}},
		"no limits": {nil, map[string]string{"proc/self/cgroup": "0::/a\n", "proc/self/mountinfo": mount2, "sys/fs/cgroup/a/cpu.max": "max 100000\n",
			"sys/fs/cgroup/a/memory.max": "max\n", "sys/fs/cgroup/a/memory.current": "99\n"},
			Sample{Cores: 4, FreeCores: 2, OurCores: 1, Memory: 8 * g, FreeMemory: 6 * g, OurMemory: g}},
		"version 2, own group": {
			map[string]string{"sys/fs/cgroup/a/b/cpu.stat": "usage_usec 0\nuser_usec 0\n"},
			map[string]string{"proc/self/cgroup": "0::/a/b\n", "proc/self/mountinfo": mount2,
				"sys/fs/cgroup/a/b/cpu.max": "150000 100000\n", "sys/fs/cgroup/a/b/cpu.stat": "usage_usec 12000000\nuser_usec 0\n",
				"sys/fs/cgroup/a/b/memory.max": "2147483648\n", "sys/fs/cgroup/a/b/memory.current": "1610612736\n", "sys/fs/cgroup/a/b/memory.stat": "anon 1\ninactive_file 536870912\n"},
			Sample{Cores: 1.5, FreeCores: 0.3, OurCores: 1, Memory: 2 * g, FreeMemory: g, OurMemory: g}},
		"version 2, a group around it": {
			map[string]string{"sys/fs/cgroup/a/cpu.stat": "usage_usec 0\n"},
			map[string]string{"proc/self/cgroup": "0::/a/b\n", "proc/self/mountinfo": mount2, "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
				"sys/fs/cgroup/a/cpu.max": "200000 100000\n", "sys/fs/cgroup/a/cpu.stat": "usage_usec 15000000\n"},
			Sample{Cores: 2, FreeCores: 0.5, OurCores: 1, Memory: 8 * g, FreeMemory: 6 * g, OurMemory: g}},
		"version 1": {
			map[string]string{"sys/fs/cgroup/cpu,cpuacct/x/cpuacct.usage": "0\n"},
			map[string]string{"proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/y/z\n", "proc/self/mountinfo": mount1,
				"sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "100000\n", "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "50000\n", "sys/fs/cgroup/cpu,cpuacct/x/cpuacct.usage": "10000000000\n",
				"sys/fs/cgroup/memory/y/z/memory.limit_in_bytes": "9223372036854771712\n", "sys/fs/cgroup/memory/y/z/memory.usage_in_bytes": "5\n",
				"sys/fs/cgroup/memory/y/memory.limit_in_bytes": "3221225472\n", "sys/fs/cgroup/memory/y/memory.usage_in_bytes": "1073741824\n"},
			Sample{Cores: 2, FreeCores: 1, OurCores: 1, Memory: 3 * g, FreeMemory: 2 * g, OurMemory: g}},
		"a container that sees its group as the root": {nil,
			map[string]string{"proc/self/cgroup": "0::/docker/abc\n", "proc/self/mountinfo": "31 23 0:28 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n",
				"sys/fs/cgroup/cpu.max": "100000 100000\n"},
			Sample{Cores: 1, FreeCores: 0, OurCores: 1, Memory: 8 * g, FreeMemory: 6 * g, OurMemory: g}},
		"nonsense": {nil,
			map[string]string{"proc/self/cgroup": "x\n0::\n", "proc/self/mountinfo": "1 2\n" + mount2, "sys/fs/cgroup/cpu.max": "-5 0\n", "sys/fs/cgroup/memory.max": "x\n"},
			Sample{Cores: 4, FreeCores: 2, OurCores: 1, Memory: 8 * g, FreeMemory: 6 * g, OurMemory: g}},
	} {
		t.Run(name, func(t *testing.T) {
			cpu, memory := time.Duration(0), 3*g
			own := func() (time.Duration, int64, error) { return cpu, memory, nil }
			before := maps.Clone(c.after)
			maps.Copy(before, c.before)
			m, err := newMeter(system("1000", before), 4, own)
			if err != nil {
				t.Fatal(err)
			}
			m.files = system("3000", c.after) // 20 s of CPU later
			cpu, memory = 10*time.Second, 4*g
			got, err := m.Read(m.at.Add(10 * time.Second))
			if err != nil {
				t.Fatal(err)
			}
			same := func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }
			if !same(got.Cores, c.want.Cores) || !same(got.FreeCores, c.want.FreeCores) || !same(got.OurCores, c.want.OurCores) ||
				got.Memory != c.want.Memory || got.FreeMemory != c.want.FreeMemory || got.OurMemory != c.want.OurMemory {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestThisMachine(t *testing.T) {
	if _, err := os.Stat("/proc/stat"); err != nil {
		t.Skip(err)
	}
	m, err := NewMeter(2)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for time.Since(began) < 300*time.Millisecond { // keeps a core busy
	}
	s, err := m.Read(time.Now())
	if err != nil || s.Cores <= 0 || s.Cores > 2 || s.FreeCores < 0 || s.FreeCores > s.Cores || s.OurCores <= 0.05 || s.OurCores > 4 ||
		s.Memory <= 0 || s.FreeMemory <= 0 || s.FreeMemory > s.Memory || s.OurMemory < 0 || s.OurMemory > s.Memory {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestAMachineThatSaysNothing(t *testing.T) {
	own := func() (time.Duration, int64, error) { return 0, 0, nil }
	if _, err := newMeter(fstest.MapFS{}, 1, own); err == nil {
		t.Error("a machine without /proc/stat was measured")
	}
	files := system("1", nil)
	m, err := newMeter(files, 1, own)
	if err != nil {
		t.Fatal(err)
	}
	delete(files, "proc/meminfo")
	if s, err := m.Read(time.Now()); err == nil {
		t.Errorf("memory of a machine that says nothing: %+v", s)
	}
}
