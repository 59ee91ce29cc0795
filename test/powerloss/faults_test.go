package powerloss

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestTortureEveryWritePoint makes each call by which a buffer writes fail, once
// and several times running, with the errors that a disk has: the writer starts and
// goes on by itself, and everything that it promised is there when the disk works.
func TestTortureEveryWritePoint(t *testing.T) {
	strace := needStrace(t)
	base := scratch(t)
	type fault struct {
		call, error string
		from, to    int
	}
	// A trace of one run says how many points there are.
	events := recorded(t, filepath.Join(base, "count", "buffer"), 1)
	counts := map[string]int{"openat": 10, "mkdirat": 3} // some are the program's own
	calls := map[string]string{"open": "openat", "create": "openat", "write": "pwrite64", "truncate": "ftruncate", "rename": "renameat", "unlink": "unlinkat"}
	for _, e := range events {
		if call := calls[e.kind]; call != "" {
			counts[call]++
		}
		if e.kind == "sync" {
			counts["fdatasync"]++
			counts["fsync"]++
		}
	}
	var faults []fault
	step := 97
	if os.Getenv("BUSBAR_TORTURE") != "" {
		step = 1
	}
	at := 0
	for _, call := range []string{"pwrite64", "fdatasync", "fsync", "ftruncate", "renameat", "unlinkat", "openat", "mkdirat"} {
		for from := 1; from <= counts[call]; from++ {
			for n, name := range []string{"ENOSPC", "EIO", "EROFS"} {
				if at++; at%step == 0 {
					faults = append(faults, fault{call, name, from, from + []int{0, 3, 9}[(n+from)%3]})
				}
			}
		}
	}
	var queue = make(chan fault)
	var workers sync.WaitGroup
	var wentOn atomic.Int64
	for worker := range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for f := range queue {
				dir := filepath.Join(base, fmt.Sprint("faults-", worker), "buffer")
				os.RemoveAll(filepath.Dir(dir))
				if err := os.Mkdir(filepath.Dir(dir), 0o700); err != nil {
					t.Error(err)
					return
				}
				what := fmt.Sprintf("%s:error=%s:when=%d..%d", f.call, f.error, f.from, f.to)
				cmd := exec.Command(strace, "-f", "-qq", "-e", "signal=none", "-e", "trace="+f.call, "-e", "inject="+what, "-o", os.DevNull, os.Args[0])
				cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", writerRun, 0, dir))
				var errs strings.Builder
				cmd.Stderr = &errs
				out, err := cmd.Output()
				if err != nil {
					t.Errorf("%s: %v: %.1500s", what, err, errs.String())
				} else {
					wentOn.Add(1)
				}
				var p promises
				for line := range strings.Lines(string(out)) {
					p.take(t, strings.TrimSpace(line))
				}
				check{what, p.clone()}.directory(t, dir)
			}
		})
	}
	for _, f := range faults {
		queue <- f
	}
	close(queue)
	workers.Wait()
	t.Logf("%d faults of %d: the writer went on by itself after %d", len(faults), at, wentOn.Load())
}
