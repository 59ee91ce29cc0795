package buffer

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"
)

const childDir = "BUSBAR_BUFFER_CHILD_DIR"

// TestMain is also the process that the kill test kills: it commits numbered
// records, releases behind itself, and prints each number once its commit has
// returned.
func TestMain(m *testing.M) {
	dir := os.Getenv(childDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	b, err := Open(Options{Dir: dir, Gateway: "gw", SegmentSize: 64 << 10, Log: quiet})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for next := uint64(b.Telemetry.End()) + 1; ; next++ {
		if err := b.Telemetry.Commit([]Item{item(next)}, nil); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(next)
		if next > 100 {
			if err := b.Telemetry.Acknowledge(1, Position(next-100)); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
	}
}

func TestKilledProcessLosesNothingCommitted(t *testing.T) {
	dir := t.TempDir()
	var acknowledged uint64
	for round := range 12 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childDir+"="+dir)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() {
			t.Fatalf("round %d: the child committed nothing", round)
		}
		timer := time.AfterFunc(time.Duration(20+rand.IntN(80))*time.Millisecond, func() { child.Process.Kill() })
		for ok := true; ok; ok = lines.Scan() {
			n, err := strconv.ParseUint(lines.Text(), 10, 64)
			if err != nil {
				break // the kill cut the line
			}
			// One record may have been committed and killed before it was printed.
			if n > acknowledged+2 {
				t.Fatalf("round %d: the child went on at %d after %d", round, n, acknowledged)
			}
			acknowledged = n
		}
		timer.Stop()
		child.Wait()

		b := open(t, dir, 64<<10)
		entries := readAll(t, b.Telemetry, Position(max(100, acknowledged)-100))
		b.Close()
		present := map[uint64]bool{}
		for _, e := range entries {
			n := numberOf(e)
			if Position(n) != e.Position {
				t.Fatalf("round %d: record %d is at position %d", round, n, e.Position)
			}
			present[n] = true
		}
		for n := max(100, acknowledged) - 99; n <= acknowledged; n++ {
			if !present[n] {
				t.Fatalf("round %d: record %d was acknowledged and is gone", round, n)
			}
		}
	}
}
