package status

import (
	"bytes"
	"os"
	"runtime/metrics"
	"strconv"
	"time"
)

// What programs tell of themselves, by the names that Prometheus's own clients use.
var (
	goRoutines = &metric{name: "go_goroutines", help: "Goroutines that exist."}
	goHeap     = &metric{name: "go_memstats_heap_alloc_bytes", help: "Bytes of the heap's objects."}
	goCycles   = &metric{name: "go_gc_cycles_total", help: "Garbage collections since the start."}
	cpuTime    = &metric{name: "process_cpu_seconds_total", help: "CPU time since the start, of the program and of the kernel for it."}
	resident   = &metric{name: "process_resident_memory_bytes", help: "Memory of the process that is resident."}
	openFiles  = &metric{name: "process_open_fds", help: "Open files, sockets and devices."}
	startTime  = &metric{name: "process_start_time_seconds", help: "When the process began, by the wall clock of then."}
)

var processStarted = time.Now()

// process adds what the runtime and the kernel tell of this process. Without /proc, the
// kernel's part is absent.
func (e *exposition) process() {
	told := []metrics.Sample{{Name: "/sched/goroutines:goroutines"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(told)
	for i, m := range []*metric{goRoutines, goHeap, goCycles} {
		e.add(m, float64(told[i].Value.Uint64()))
	}
	e.add(startTime, float64(processStarted.UnixMilli())/1000)

	const ticksPerSecond = 100 // USER_HZ, the same on all of Linux's architectures that Go knows
	stat, _ := os.ReadFile("/proc/self/stat")
	// What follows the name of the program, which may have spaces, begins with field 3.
	if fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]); len(fields) > 12 {
		user, _ := strconv.ParseUint(string(fields[11]), 10, 64)
		kernel, _ := strconv.ParseUint(string(fields[12]), 10, 64)
		e.add(cpuTime, float64(user+kernel)/ticksPerSecond)
	}
	statm, _ := os.ReadFile("/proc/self/statm")
	if fields := bytes.Fields(statm); len(fields) > 1 {
		pages, _ := strconv.ParseInt(string(fields[1]), 10, 64)
		e.add(resident, float64(pages)*float64(os.Getpagesize()))
	}
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		e.add(openFiles, float64(len(files)))
	}
}
