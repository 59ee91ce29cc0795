package buffer

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/busbar/busbar/telemetry/record"
)

// A copy is taken only where no commit ended while it was made.
func TestFilesAreReadWhileTheyAreWritten(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	defer b.Close()
	commit(t, b.Telemetry, 0)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range uint64(399) {
			b.Telemetry.Commit([]Item{item(n + 1)}, nil)
		}
	}()
	files, _ := filepath.Glob(filepath.Join(dir, "telemetry", "*.db"))
	path := files[0]
	looks := 0
	for running := true; running; looks++ {
		select {
		case <-done:
			running = false
		default:
		}
		var last uint64
		c, err := readFile(path, func(e Entry, how found) {
			if n := numberOf(e); how != byTree || n != uint64(e.Position)-1 || n < last {
				t.Errorf("position %d has record %d", e.Position, n)
			}
			last++
		})
		if err != nil && strings.Contains(err.Error(), "changed during") {
			continue
		}
		if err != nil || len(c.problems) > 0 || c.state != FileWritten {
			t.Fatalf("%v, %s, %v", err, c.state, c.problems)
		}
		if !running && last != 400 {
			t.Errorf("%d records at the end", last)
		}
	}
	t.Logf("%d looks", looks)
}

func TestLookingChangesNothingAndHoldsNoLock(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	measured(t, b, 3)
	b.Close()
	state := func() (all []string) {
		filepath.WalkDir(dir, func(path string, entry os.DirEntry, _ error) error {
			info, err := entry.Info()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, fmt.Sprint(path, info.Mode(), info.Size(), info.ModTime()))
			return nil
		})
		return all
	}
	before := state()
	files := lookAt(t, dir)
	export(t, dir, Selection{Stream: record.Telemetry}, CSV)
	if after := state(); !slices.Equal(before, after) {
		t.Errorf("before %q\nafter %q", before, after)
	}
	if _, err := readFile(files[len(files)-1].Path, func(Entry, found) {
		open(t, dir, 0).Close() // a gateway starts meanwhile
	}); err != nil {
		t.Error(err)
	}
}
