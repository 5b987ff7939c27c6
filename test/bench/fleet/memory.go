package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	runtimemetrics "runtime/metrics"
	"slices"
	"strconv"
	"strings"
)

// memory is what the process with the coordinator holds, in bytes. What it occupies is read before it collects its garbage.
type memory struct {
	resident   int64 // pages of its own, and those of files that it has touched
	anonymous  int64 // of these, its own
	inUse      int64 // live objects and goroutines' stacks
	goroutines int
	runtime    map[string]int64 // what Go's runtime has, by its classes
	mappings   map[string]mapping
}

// The classes of what is in use.
const classObjects, classStacks = "/memory/classes/heap/objects:bytes", "/memory/classes/heap/stacks:bytes"

func (s servers) memory() (m memory, err error) {
	if m.mappings, err = mappings(s.coordinator.command.Process.Pid); err != nil {
		return m, err
	}
	for _, of := range m.mappings {
		m.resident += of.resident
		m.anonymous += of.anonymous
	}
	a, err := s.coordinator.say(question{})
	m.inUse, m.goroutines, m.runtime = a.Collected[classObjects]+a.Collected[classStacks], a.Goroutines, a.Memory
	return m, err
}

// mapping is what is resident of mappings of one name, in bytes.
type mapping struct{ resident, anonymous int64 }

// mappings returns what is resident of a process, by the names of the files and by the rights.
func mappings(pid int) (map[string]mapping, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		return nil, err
	}
	found := map[string]mapping{}
	name := ""
	for line := range strings.Lines(string(raw)) {
		fields := strings.Fields(line)
		if len(fields) >= 5 && !strings.HasSuffix(fields[0], ":") { // addresses, rights, offset, device, inode, name
			name = "no file, " + fields[1]
			if len(fields) > 5 {
				name = filepath.Base(strings.Join(fields[5:], " ")) + ", " + fields[1]
			}
			continue
		}
		if len(fields) != 3 || fields[0] != "Rss:" && fields[0] != "Anonymous:" {
			continue
		}
		kib, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read mappings of process %d: %w", pid, err)
		}
		of := found[name]
		if fields[0] == "Rss:" {
			of.resident += kib << 10
		} else {
			of.anonymous += kib << 10
		}
		found[name] = of
	}
	return found, nil
}

// writeMemory writes what a process held empty and full into a file.
func writeMemory(path string, empty, full memory) error {
	var b strings.Builder
	line := func(name string, empty, full int64) {
		if empty != 0 || full != 0 {
			fmt.Fprintf(&b, "%-55s %10.1f %10.1f %+10.1f\n", name, float64(empty)/1024, float64(full)/1024, float64(full-empty)/1024)
		}
	}
	fmt.Fprintf(&b, "%-55s %10s %10s %10s\n", "KiB", "empty", "full", "more")
	line("resident", empty.resident, full.resident)
	line("resident, its own", empty.anonymous, full.anonymous)
	line("in use after collection", empty.inUse, full.inUse)
	b.WriteString("\n")
	for _, class := range slices.Sorted(maps.Keys(full.runtime)) {
		line(class, empty.runtime[class], full.runtime[class])
	}
	b.WriteString("\n")
	for _, name := range slices.Sorted(maps.Keys(full.mappings)) {
		line(name, empty.mappings[name].resident, full.mappings[name].resident)
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}

// classes reads how much Go's runtime has of each class of memory.
func classes() map[string]int64 {
	var samples []runtimemetrics.Sample
	for _, d := range runtimemetrics.All() {
		if strings.HasPrefix(d.Name, "/memory/classes/") {
			samples = append(samples, runtimemetrics.Sample{Name: d.Name})
		}
	}
	runtimemetrics.Read(samples)
	found := map[string]int64{}
	for _, s := range samples {
		if s.Value.Kind() == runtimemetrics.KindUint64 {
			found[s.Name] = int64(s.Value.Uint64())
		}
	}
	return found
}

// look collects the garbage and says what there was before and is after it.
func look() answer {
	before := classes()
	runtime.GC()
	runtime.GC() // what the first one let go of
	return answer{Memory: before, Collected: classes(), Goroutines: runtime.NumGoroutine()}
}
