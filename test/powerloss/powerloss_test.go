// Package powerloss cuts a gateway's power, in a model of a disk: the system
// calls of processes that use a buffer are recorded, and at many points of that
// record the files are laid out as a disk may have them after losing power
// there. The buffer must open and have everything that it had promised.
package powerloss

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/busbar/busbar/gateway/buffer"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// minCuts is how many cut points there must be for the test to say anything.
const minCuts = 1000

func TestTorturePowerLoss(t *testing.T) {
	// Of all points, one in so many, and of the variants so many at each.
	runs, oneIn, each := 4, 3, 2
	switch {
	case os.Getenv("BUSBAR_TORTURE") != "":
		oneIn, each = 1, len(variants)
	case testing.Short():
		oneIn, each = 30, 1
	}
	dir := filepath.Join(scratch(t), "buffer")
	events := recorded(t, dir, runs)
	d := newDisk()
	// The directory itself was made before.
	root := &node{dir: true, path: filepath.Dir(dir)}
	d.names[root.path], d.now[root.path] = root, root

	jobs := make(chan cutJob, 4)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for job := range jobs {
				job.lay(t, dir)
			}
		})
	}
	points, states := 0, 0
	choose := rand.New(rand.NewPCG(4, 5))
	var promised promises
	for i, e := range events {
		changed, err := d.apply(e)
		if err != nil {
			t.Fatalf("event %d: %v", i, err)
		}
		if e.kind == "say" {
			promised.take(t, string(e.data))
		}
		if !changed && e.kind != "say" || choose.IntN(oneIn) != 0 || t.Failed() {
			continue
		}
		known := promised.clone()
		for n := range each {
			variant := variants[(points*each+n)%len(variants)]
			what := fmt.Sprintf("power lost after event %d, %s of what wasn't synced survived", i, variant)
			jobs <- cutJob{check{what, known}, d.cut(variant, choose)}
			states++
		}
		points++
	}
	close(jobs)
	workers.Wait()
	t.Logf("%d cut points with %d states of the disk; %d records, %d of them released", points, states, len(promised.records), len(promised.released))
	if !testing.Short() && points < minCuts {
		t.Errorf("%d cut points, want %d", points, minCuts)
	}
	sameAsOnDisk(t, d, dir)
}

func needStrace(t *testing.T) string {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("strace is missing: apt-get install strace")
		}
		t.Skip("strace is missing: apt-get install strace")
	}
	return strace
}

// recorded lets the writer run under strace, several times on the same directory.
func recorded(t *testing.T, dir string, runs int) []event {
	t.Helper()
	strace := needStrace(t)
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		t.Fatal(err)
	}
	p := parser{dir: filepath.Dir(dir)}
	for run := range runs {
		trace := filepath.Join(filepath.Dir(dir), fmt.Sprintf("trace-%d", run))
		cmd := exec.Command(strace, "-f", "-qq", "-y", "-xx", "-s", "2000000", "-e", "signal=none", "-e", "trace="+tracedCalls, "-o", trace, os.Args[0])
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", writerRun, run, dir))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("writer: %v\n%.2000s", err, out)
		}
		if err := p.read(trace); err != nil {
			t.Fatal(err)
		}
	}
	return p.events
}

// scratch is a directory in memory if there is one: the files are laid out
// thousands of times.
func scratch(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "busbar-powerloss-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// sameAsOnDisk checks the model: with everything applied, it has the files that
// the processes left.
func sameAsOnDisk(t *testing.T, d *disk, dir string) {
	t.Helper()
	state := d.cut("everything", nil)
	files := 0
	for path, content := range state {
		if content == nil {
			continue
		}
		files++
		if real, err := os.ReadFile(path); err != nil || !bytes.Equal(real, content) {
			t.Errorf("the model has another %s than the disk (%v)", path, err)
		}
	}
	for _, pattern := range []string{"*.db", "*/*.db"} {
		found, _ := filepath.Glob(filepath.Join(dir, pattern))
		files -= len(found)
	}
	if files != 0 {
		t.Errorf("the model has %d files more than the disk", files)
	}
}

// id names a promised record.
type id struct {
	stream, epoch string
	first         uint64
}

type promise struct {
	last uint64
	sum  uint32
}

// promises is what the writer has said up to a point.
type promises struct {
	records  map[id]promise
	released map[id]bool
	samples  map[string]uint64 // by epoch: so many are committed
	signals  map[string]string // name → id and table
	state    string
	epoch    map[string]string // the newest with a record, by stream
}

func (p *promises) take(t *testing.T, line string) {
	if p.records == nil {
		*p = promises{map[id]promise{}, map[id]bool{}, map[string]uint64{}, map[string]string{}, "", map[string]string{}}
	}
	var i id
	var r promise
	var name, a, b string
	var n uint64
	switch kind, rest, _ := strings.Cut(line, " "); {
	case scan(rest, "%s %s %d %d %x", &i.stream, &i.epoch, &i.first, &r.last, &r.sum) && kind == "record":
		p.records[i] = r
		p.epoch[i.stream] = i.epoch
	case scan(rest, "%s %s %d", &i.stream, &i.epoch, &i.first) && kind == "release":
		p.released[i] = true
	case scan(rest, "%s %d", &a, &n) && kind == "samples":
		p.samples[a] = n
		p.epoch["telemetry"] = a
	case scan(rest, "%s %s %s", &a, &name, &b) && kind == "signal":
		p.signals[name] = a + " " + b
	case kind == "state":
		p.state = rest
	default:
		t.Errorf("the writer said %q", line)
	}
}

func scan(text, format string, into ...any) bool {
	n, err := fmt.Sscanf(text, format, into...)
	return err == nil && n == len(into)
}

func (p promises) clone() promises {
	return promises{maps.Clone(p.records), maps.Clone(p.released), maps.Clone(p.samples), maps.Clone(p.signals), p.state, maps.Clone(p.epoch)}
}

// check is of a buffer that something has happened to, against what had been
// promised before.
type check struct {
	what  string // has happened
	known promises
}

// cutJob is one state of the disk.
type cutJob struct {
	check
	state map[string][]byte
}

func (c cutJob) lay(t *testing.T, dir string) {
	at, err := os.MkdirTemp(filepath.Dir(dir), "cut-")
	if err != nil {
		t.Error(err)
		return
	}
	defer os.RemoveAll(at)
	if err := lay(c.state, filepath.Dir(dir), at); err != nil {
		t.Error(err)
		return
	}
	c.directory(t, filepath.Join(at, "buffer"))
}

// directory opens the buffer, and compares it with the promises.
func (c check) directory(t *testing.T, dir string) {
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s: %s", c.what, fmt.Sprintf(format, args...))
	}
	b, err := open(dir)
	if err != nil {
		fail("open: %v", err)
		return
	}
	defer b.Close()
	present := map[id]promise{}
	for _, chain := range []*buffer.Chain{b.Events, b.Telemetry} {
		if err := c.records(chain, present); err != nil {
			fail("%v", err)
		}
	}
	if lost := declared(b); len(lost) > 0 {
		fail("numbers are declared lost: %+v", lost)
	}
	if n := b.Broken(); n > 0 {
		fail("%d files were set aside", n)
	}
	for _, i := range slices.SortedFunc(maps.Keys(c.known.records), func(a, b id) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) }) {
		want := c.known.records[i]
		if got, ok := present[i]; ok && got != want {
			fail("record %v has other numbers or content", i)
		} else if !ok && !c.known.released[i] {
			fail("record %v is gone", i)
			return
		}
	}
	c.samples(present, fail)
	for stream, epoch := range c.known.epoch {
		if !slices.ContainsFunc(b.Earlier(), func(e telemetry.Committed) bool {
			// A newer epoch, whose first commit was on its way, has told of this one.
			return e.Stream == stream && (e.Epoch == epoch && e.Count >= c.count(stream, epoch) || c.count(stream, e.Epoch) == 0)
		}) {
			fail("how far epoch %s of %s had come is forgotten: %+v, want %d", epoch, stream, b.Earlier(), c.count(stream, epoch))
		}
	}
	known := map[string]string{}
	for _, s := range b.Table().Signals() {
		known[s.Name] = fmt.Sprintf("%d %016x", s.ID, b.Table().Ref().Table)
	}
	for name, want := range c.known.signals {
		if known[name] != want {
			fail("signal %s is %q, it was %q", name, known[name], want)
		}
	}
	if state := string(b.Events.State()); newer(c.known.state, state) {
		fail("the state is %q, %q had been committed", state, c.known.state)
	}
	c.goOn(b, fail)
}

// records gathers what the chain hands out, by identity.
func (c check) records(chain *buffer.Chain, into map[id]promise) error {
	for after := chain.Released(); ; {
		entries, err := read(chain, after, 1<<20)
		if err != nil || len(entries) == 0 {
			return err
		}
		for _, e := range entries {
			r := e.Record
			i := id{string(r.Stream), r.Epoch.String(), r.First}
			if _, twice := into[i]; twice {
				return fmt.Errorf("%s comes twice", r.Identity)
			}
			into[i] = promise{r.Last, crc32.ChecksumIEEE(r.Payload)}
			after = e.Position
		}
	}
}

// samples checks that the numbers that were promised as a count are all there.
// Nothing of their epochs is released before the count is known.
func (c check) samples(present map[id]promise, fail func(string, ...any)) {
	for epoch, count := range c.known.samples {
		next := uint64(0)
		for next < count {
			i := id{string(record.Telemetry), epoch, next}
			p, ok := present[i]
			if !ok && !c.known.released[i] {
				fail("sample %d of epoch %s is gone", next, epoch)
				return
			}
			if !ok {
				return // the writer goes on to release them
			}
			next = p.last + 1
		}
	}
}

// count is how many sequence numbers of an epoch were promised.
func (c check) count(stream, epoch string) (n uint64) {
	for i, p := range c.known.records {
		if i.stream == stream && i.epoch == epoch {
			n = max(n, p.last+1)
		}
	}
	if stream == string(record.Telemetry) {
		n = max(n, c.known.samples[epoch])
	}
	return n
}

// newer reports whether state a, "run/number", is of a later commit than b.
func newer(a, b string) bool {
	var runA, numberA, runB, numberB int
	fmt.Sscanf(a, "%d/%d", &runA, &numberA)
	if n, _ := fmt.Sscanf(b, "%d/%d", &runB, &numberB); n < 2 {
		return a != ""
	}
	return runA > runB || runA == runB && numberA > numberB
}

// goOn commits and reads as the gateway that starts would.
func (c check) goOn(b *buffer.Buffer, fail func(string, ...any)) {
	after := b.Telemetry.Released()
	payload := []byte("after the cut")
	if err := b.Telemetry.Commit([]buffer.Item{{Format: record.FormatBlock, Payload: payload, Count: 1}}, nil); err != nil {
		fail("commit: %v", err)
		return
	}
	for {
		entries, err := read(b.Telemetry, after, 1<<20)
		if err != nil || len(entries) == 0 {
			fail("what was committed after the cut isn't handed out (%v)", err)
			return
		}
		last := entries[len(entries)-1]
		if last.Record.Epoch == b.Epoch() && bytes.Equal(last.Record.Payload, payload) {
			return
		}
		after = last.Position
	}
}
