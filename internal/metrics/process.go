package metrics

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"strconv"
	"strings"
	"time"
)

// ticksPerSecond is the unit of times in /proc, the same on every Linux that Go runs on.
const ticksPerSecond = 100

// Process adds what Prometheus's own libraries tell of every Go process, under the same names, and build_info of the program.
// Where /proc is not there, what comes from it is left out.
func (r *Registry) Process(program, version string) {
	r.Func(Family{program + "_build_info", "What is running; always 1.", KindGauge, []string{"version", "goversion"}}, func(emit Emit) {
		emit(1, version, runtime.Version())
	})
	for _, m := range []struct{ name, help, source string }{
		{"go_goroutines", "Goroutines that exist.", "/sched/goroutines:goroutines"},
		{"go_memstats_heap_inuse_bytes", "Bytes of memory that live or not yet swept objects take.", "/memory/classes/heap/objects:bytes"},
		{"go_memstats_sys_bytes", "Bytes of memory that the runtime has from the system.", "/memory/classes/total:bytes"},
		{"go_sched_gomaxprocs_threads", "Threads that run Go code at the same time.", "/sched/gomaxprocs:threads"},
	} {
		r.Func(Family{Name: m.name, Help: m.help, Kind: KindGauge}, func(emit Emit) { emit(runtimeValue(m.source)) })
	}
	r.Func(Family{Name: "go_memstats_alloc_bytes_total", Help: "Bytes of memory that were allocated, freed ones included.", Kind: KindCounter}, func(emit Emit) {
		emit(runtimeValue("/gc/heap/allocs:bytes"))
	})
	r.Func(Family{Name: "go_gc_cycles_total_gc_cycles_total", Help: "Garbage collections that were completed.", Kind: KindCounter}, func(emit Emit) {
		emit(runtimeValue("/gc/cycles/total:gc-cycles"))
	})
	r.Func(Family{Name: "go_memstats_last_gc_time_seconds", Help: "When the last garbage collection ended, in seconds since 1970.", Kind: KindGauge}, func(emit Emit) {
		var s debug.GCStats
		debug.ReadGCStats(&s)
		if !s.LastGC.IsZero() {
			emit(float64(s.LastGC.UnixNano()) / 1e9)
		}
	})
	started := float64(time.Now().UnixMilli()) / 1000
	r.Func(Family{Name: "process_start_time_seconds", Help: "When the process began to count, in seconds since 1970.", Kind: KindGauge}, func(emit Emit) { emit(started) })
	for _, m := range []struct {
		name, help string
		kind       Kind
		value      func(stat []string) (float64, error)
	}{
		{"process_cpu_seconds_total", "Seconds of CPU that the process took, user and system.", KindCounter, cpuSeconds},
		{"process_resident_memory_bytes", "Bytes of physical memory that the process has.", KindGauge, residentBytes},
		{"process_virtual_memory_bytes", "Bytes of virtual memory that the process has.", KindGauge, func(stat []string) (float64, error) { return strconv.ParseFloat(stat[20], 64) }},
		{"process_open_fds", "File descriptors that are open.", KindGauge, openFiles},
	} {
		r.Func(Family{Name: m.name, Help: m.help, Kind: m.kind}, func(emit Emit) {
			if stat, ok := procStat(); ok {
				if v, err := m.value(stat); err == nil {
					emit(v)
				}
			}
		})
	}
}

func runtimeValue(name string) float64 {
	s := []runtimemetrics.Sample{{Name: name}}
	runtimemetrics.Read(s)
	switch s[0].Value.Kind() {
	case runtimemetrics.KindUint64:
		return float64(s[0].Value.Uint64())
	case runtimemetrics.KindFloat64:
		return s[0].Value.Float64()
	case runtimemetrics.KindBad, runtimemetrics.KindFloat64Histogram:
	}
	return math.NaN()
}

// procStat returns the fields of /proc/self/stat from the third on; what stands before may hold spaces.
func procStat() ([]string, bool) {
	raw, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return nil, false
	}
	text := string(raw)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	return fields, len(fields) > 21
}

func cpuSeconds(stat []string) (float64, error) {
	user, err := strconv.ParseFloat(stat[11], 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseFloat(stat[12], 64)
	return (user + system) / ticksPerSecond, err
}

func residentBytes(stat []string) (float64, error) {
	pages, err := strconv.ParseFloat(stat[21], 64)
	return pages * float64(os.Getpagesize()), err
}

func openFiles([]string) (float64, error) {
	d, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	return float64(len(names) - 1), err // but for d
}
