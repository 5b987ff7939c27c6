package capacity

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/recfleet/recfleet/internal/ffmpeg"
)

// ticks are the units of /proc/stat in a second; the kernel has the same for all programs.
const ticks = 100

// Meter measures the machine and this process. It is for one goroutine.
type Meter struct {
	files fs.FS // the machine's, from its root
	cores int
	// own returns the CPU time that this process and its children took so far, and the memory that they have now.
	own func() (cpu time.Duration, memory int64, err error)

	groups []group
	base   int64 // memory of this process without jobs
	last   counters
	at     time.Time
}

// counters are seconds of CPU that only grow.
type counters struct {
	machine, own float64
	groups       []float64
}

// NewMeter returns a meter for this machine, of which this process may use a number of cores. It is to be made before the
// first job starts: what the process has then is taken for what it has without jobs.
func NewMeter(cores int) (*Meter, error) { return newMeter(os.DirFS("/"), cores, own) }

func newMeter(files fs.FS, cores int, own func() (time.Duration, int64, error)) (*Meter, error) {
	m := &Meter{files: files, cores: cores, own: own, groups: groups(files)}
	_, memory, err := own()
	if err != nil {
		return nil, fmt.Errorf("measure own processes: %w", err)
	}
	m.base = memory
	if m.last, err = m.count(); err != nil {
		return nil, err
	}
	m.at = time.Now()
	return m, nil
}

// Read measures since the last time, or since the meter was made.
func (m *Meter) Read(now time.Time) (Sample, error) {
	next, err := m.count()
	if err != nil {
		return Sample{}, err
	}
	_, memory, err := m.own()
	if err != nil {
		return Sample{}, fmt.Errorf("measure own processes: %w", err)
	}
	total, available, err := machineMemory(m.files)
	if err != nil {
		return Sample{}, err
	}
	seconds := max(now.Sub(m.at).Seconds(), 0.001)
	s := Sample{
		Cores: float64(m.cores), OurCores: max(0, (next.own-m.last.own)/seconds),
		Memory: total, FreeMemory: available, OurMemory: max(0, memory-m.base),
	}
	s.FreeCores = s.Cores - (next.machine-m.last.machine)/seconds
	for i, g := range m.groups {
		if quota, ok := g.quota(m.files); ok {
			used := s.OurCores // at least
			if next.groups[i] > 0 {
				used = (next.groups[i] - m.last.groups[i]) / seconds
			}
			s.Cores, s.FreeCores = min(s.Cores, quota), min(s.FreeCores, quota-used)
		}
		if limit, free, ok := g.memory(m.files); ok {
			s.Memory, s.FreeMemory = min(s.Memory, limit), min(s.FreeMemory, free)
		}
	}
	s.FreeCores, s.FreeMemory = max(0, s.FreeCores), max(0, s.FreeMemory)
	m.last, m.at = next, now
	return s, nil
}

func (m *Meter) count() (c counters, err error) {
	raw, err := fs.ReadFile(m.files, "proc/stat")
	if err != nil {
		return c, fmt.Errorf("measure machine: %w", err)
	}
	var ok bool
	if c.machine, ok = Busy(string(raw)); !ok {
		return c, fmt.Errorf("measure machine: /proc/stat says nothing of the cores")
	}
	cpu, _, err := m.own()
	if err != nil {
		return c, fmt.Errorf("measure own processes: %w", err)
	}
	c.own = cpu.Seconds()
	for _, g := range m.groups {
		c.groups = append(c.groups, g.used(m.files))
	}
	return c, nil
}

// Busy sums up the seconds that all cores did anything but idle and wait, from the text of /proc/stat.
func Busy(stat string) (seconds float64, ok bool) {
	line, _, _ := strings.Cut(stat, "\n")
	fields := strings.Fields(line)
	const idle, wait, guests = 4, 5, 9 // guests are in user time already
	if len(fields) < guests || fields[0] != "cpu" {
		return 0, false
	}
	for i, field := range fields[1:guests] {
		n, err := strconv.ParseUint(field, 10, 64)
		if err != nil {
			return 0, false
		}
		if i+1 != idle && i+1 != wait {
			seconds += float64(n)
		}
	}
	return seconds / ticks, true
}

func machineMemory(files fs.FS) (total, available int64, err error) {
	raw, err := fs.ReadFile(files, "proc/meminfo")
	if err != nil {
		return 0, 0, fmt.Errorf("measure memory: %w", err)
	}
	for line := range strings.Lines(string(raw)) {
		name, rest, _ := strings.Cut(line, ":")
		var kib int64
		if _, err := fmt.Sscanf(rest, "%d kB", &kib); err != nil || kib < 0 || kib > math.MaxInt64>>10 {
			continue
		}
		switch name {
		case "MemTotal":
			total = kib << 10
		case "MemAvailable":
			available = kib << 10
		}
	}
	if total == 0 || available == 0 {
		return 0, 0, fmt.Errorf("measure memory: /proc/meminfo does not say what is available")
	}
	return total, available, nil
}

// own measures this process, the children that it has waited for, and the FFmpegs that run.
func own() (cpu time.Duration, memory int64, err error) {
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			return 0, 0, err
		}
		cpu += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	running, err := ffmpeg.Running()
	return cpu + running.CPU, running.Memory, err
}
