package buffer

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

const smallest = 16 << 20 // the smallest max_size that a configuration may ask for

// tank is a small buffer whose directory is measured after every operation.
type tank struct {
	t        *testing.T
	dir      string
	b        *Buffer
	writer   *Writer
	encoder  telemetry.Encoder
	random   *rand.Rand
	clock    telemetry.Micros
	largest  int64
	losses   []telemetry.Loss
	given    map[telemetry.SignalID]uint64 // committed, by signal
	declared int
}

func newTank(t *testing.T) *tank {
	k := &tank{t: t, dir: t.TempDir(), random: rand.New(rand.NewPCG(1, 2)), given: map[telemetry.SignalID]uint64{}, clock: 1_700_000_000 * second}
	k.open()
	t.Cleanup(func() { k.b.Close() })
	return k
}

func (k *tank) open() {
	k.t.Helper()
	b, err := Open(Options{Dir: k.dir, Gateway: "gw", MaxSize: smallest, Log: quiet})
	if err != nil {
		k.t.Fatal(err)
	}
	k.b = b
	var definitions []Definition
	for i := range 100 {
		kind := telemetry.Gauge
		switch i % 10 {
		case 7:
			kind = telemetry.Counter
		case 8, 9:
			kind = telemetry.State
		}
		definitions = append(definitions, Definition{Signal: telemetry.Signal{Device: fmt.Sprintf("meter-%d", i/10), Name: fmt.Sprint(i), Kind: kind}})
	}
	if _, err := b.Table().Define(definitions); err != nil {
		k.t.Fatal(err)
	}
	k.writer = b.NewWriter(time.Second, func(losses []telemetry.Loss) error {
		var items []Item
		for i := range losses {
			if l := losses[i]; (l.Step > 0) != (l.Reason == telemetry.LostThinned) {
				k.t.Errorf("step %d of what is %s", l.Step, l.Reason)
			}
			payload, err := json.Marshal(telemetry.Event{Kind: telemetry.SamplesLost, Loss: &losses[i]})
			if err != nil {
				return err
			}
			if len(payload) >= 256<<10 {
				k.t.Errorf("a loss event has %d bytes", len(payload))
			}
			k.losses = append(k.losses, losses[i])
			items = append(items, Item{Format: record.FormatEvent, Payload: payload, Count: 1})
		}
		err := b.Events.Enter(items)
		if err == nil {
			k.declared += len(items)
		}
		k.measure()
		return err
	}, uncounted{})
	k.measure()
}

// measure fails if the directory is too large, or larger than the buffer thinks.
func (k *tank) measure() {
	k.t.Helper()
	var total int64
	filepath.WalkDir(k.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			total += sizeAt(path)
		}
		return nil
	})
	k.largest = max(k.largest, total)
	if total > smallest {
		k.t.Fatalf("%d bytes in the directory, %d are allowed", total, smallest)
	}
}

// exact fails if the buffer's figures aren't those of the directory.
func (k *tank) exact() {
	k.t.Helper()
	size := func(dir string) (n int64) {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if e.Type().IsRegular() && !strings.Contains(e.Name(), brokenSuffix) {
				n += sizeAt(filepath.Join(dir, e.Name()))
			}
		}
		return n
	}
	u := k.b.space.usage()
	if u.telemetry != size(k.b.Telemetry.dir) || u.events != size(k.b.Events.dir) || u.meta != size(k.dir) {
		k.t.Errorf("telemetry %d, events %d, meta %d; on disk %d, %d, %d",
			u.telemetry, u.events, u.meta, size(k.b.Telemetry.dir), size(k.b.Events.dir), size(k.dir))
	}
}

// commit commits n samples of all signals; gauges are noise that doesn't compress.
func (k *tank) commit(n int, state []byte) {
	k.t.Helper()
	samples := make([]telemetry.Sample, n)
	for i := range samples {
		signal := telemetry.SignalID(i%100 + 1)
		if i%100 == 0 {
			k.clock += second
		}
		v := telemetry.FloatValue(k.random.NormFloat64())
		switch k.b.Table().signal(signal).Kind {
		case telemetry.State:
			v = telemetry.BoolValue(k.random.IntN(50) == 0)
		case telemetry.Counter:
			v = telemetry.UintValue(uint64(k.clock))
		}
		samples[i] = telemetry.Sample{Signal: signal, Time: k.clock, Value: v}
		k.given[signal]++
	}
	items, err := k.writer.encode(&k.encoder, samples)
	if err != nil {
		k.t.Fatal(err)
	}
	if err := k.b.Telemetry.Commit(items, state); err != nil {
		k.t.Fatal(err)
	}
	k.measure()
}

func (k *tank) thin() {
	k.t.Helper()
	for k.b.fullness() > thinFrom {
		s := k.b.Telemetry.thinnable()
		if s == nil {
			return
		}
		if err := k.b.thin(k.t.Context(), s); err != nil {
			k.t.Fatal(err)
		}
		k.measure()
	}
}

// balance checks that every sample that was committed is either handed out or
// declared, by signal and in all, and every sequence number likewise.
func (k *tank) balance() {
	k.t.Helper()
	have := map[telemetry.SignalID]uint64{}
	var decoder telemetry.Decoder
	numbers := map[string]ranges{}
	cover := func(epoch string, first, last uint64) {
		r := numbers[epoch]
		r.add(Position(first)+1, Position(last)+1)
		numbers[epoch] = r
	}
	r := k.b.Telemetry.Reader()
	defer r.Close()
	for after := Position(0); ; {
		entries, err := r.Read(after, Newest, 1<<20)
		if err != nil {
			k.t.Fatal(err)
		}
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			_, samples, err := decoder.Block(e.Record.Payload, nil)
			if err != nil {
				k.t.Fatal(err)
			}
			for _, s := range samples {
				have[s.Signal]++
			}
			cover(e.Record.Epoch.String(), e.Record.First, e.Record.Last)
			after = e.Position
		}
	}
	var bySignal, byDevice uint64
	for _, l := range k.losses {
		if l.Stream != string(record.Telemetry) {
			continue
		}
		cover(l.Epoch, l.SeqFirst, l.SeqLast)
		for _, s := range l.Signals {
			have[s.Signal] += s.Count
			bySignal += s.Count
		}
		for _, d := range l.Devices {
			byDevice += d.Count
		}
	}
	if bySignal != byDevice {
		k.t.Errorf("%d samples are declared by signal, %d by device", bySignal, byDevice)
	}
	for signal, n := range k.given {
		if have[signal] != n {
			k.t.Fatalf("signal %d: %d samples were committed, %d are there or declared", signal, n, have[signal])
		}
	}
	for epoch, r := range numbers {
		if len(r) != 1 || r[0].first != 1 {
			k.t.Errorf("epoch %s: numbers %v", epoch, r)
		}
	}
}

// Far more than fits is committed, thinned ahead or not, with restarts: the
// directory never exceeds its size, and nothing is lost without a word.
func TestDirectoryNeverExceedsItsSize(t *testing.T) {
	for _, ahead := range []bool{true, false} {
		t.Run(fmt.Sprintf("thinned ahead %v", ahead), func(t *testing.T) {
			k := newTank(t)
			state := make([]byte, 20_000)
			for i := range 600 {
				k.commit(10_000, state)
				if ahead {
					k.thin()
				}
				if i%200 == 199 {
					if err := k.b.Close(); err != nil {
						t.Fatal(err)
					}
					k.open()
				}
			}
			k.exact()
			k.balance()
			reasons := map[telemetry.LossReason]int{}
			for _, l := range k.losses {
				reasons[l.Reason]++
			}
			t.Logf("at most %d bytes, %d losses %v, %d segments", k.largest, len(k.losses), reasons, k.b.Telemetry.Stats().Segments)
			if ahead != (reasons[telemetry.LostThinned] > 0) {
				t.Errorf("losses %v", reasons)
			}
		})
	}
}

// Events take their reserve and what is free, telemetry never takes it, and when
// events alone fill their share the oldest are given up and declared: whether they
// are committed one by one, or held and committed together.
func TestEventsHaveTheirShare(t *testing.T) {
	for _, together := range []int{0, 1, 100} {
		t.Run(fmt.Sprintf("held=%d", together), func(t *testing.T) {
			t.Parallel()
			fillWithEvents(t, together)
		})
	}
}

func fillWithEvents(t *testing.T, together int) {
	k := newTank(t)
	for range 250 {
		k.commit(10_000, nil)
	}
	u := k.b.space.usage()
	reserve := k.b.space.reserve
	if free := u.limit - u.telemetry - u.meta; free < reserve {
		t.Errorf("telemetry left %d bytes, %d are reserved for events", free, reserve)
	}
	event := Item{Format: record.FormatEvent, Payload: make([]byte, 3000), Count: 1}
	committed := uint64(k.declared)
	for range 2500 / max(1, together) {
		var err error
		if together == 0 {
			err = k.b.Events.Commit([]Item{event}, []byte("state"))
		} else {
			for range together {
				hold(t, k.b.Events, []byte("state"))
				if err := k.b.Events.Hold([]Item{event}, nil); err != nil {
					t.Fatal(err)
				}
			}
			err = k.b.Events.CommitHeld()
		}
		if err != nil {
			t.Fatal(err)
		}
		committed += uint64(max(1, together))
		k.measure()
	}
	lost := ranges{}
	for _, l := range k.losses {
		if l.Stream == string(record.Events) {
			lost.add(Position(l.SeqFirst)+1, Position(l.SeqLast)+1)
		}
	}
	if len(lost) == 0 {
		t.Fatal("the events don't reach their limit: the test tests nothing")
	}
	if k.declared != len(k.losses) {
		t.Errorf("%d of %d losses found room before they happened", k.declared, len(k.losses))
	}
	kept := k.b.Events.Stats().Waiting
	if all := k.b.Events.Stats().Committed; kept+lost.count() != all || all < committed {
		t.Errorf("%d events committed, %d kept, %d declared as lost", all, kept, lost.count())
	}
	if string(k.b.Events.State()) != "state" {
		t.Error("the state is gone")
	}
	if got := k.b.Events.Stats().Bytes; got < reserve/2 {
		t.Errorf("events have %d bytes, their reserve is %d", got, reserve)
	}
	k.exact()
}

// Files that were set aside count, but live data keeps a quarter.
func TestFilesSetAsideCount(t *testing.T) {
	s := space{limit: 100, reserve: 8}
	if got := s.live(); got != 100 {
		t.Errorf("live %d", got)
	}
	s.aside = 60
	if got := s.live(); got != 40 {
		t.Errorf("live %d", got)
	}
	s.aside = 1000
	if got := s.live(); got != 25 {
		t.Errorf("live %d", got)
	}
}

// After max_size was made smaller, telemetry shrinks to its new share and events
// stay.
func TestSmallerSizeCostsTelemetryOnly(t *testing.T) {
	dir := t.TempDir()
	b, err := Open(Options{Dir: dir, Gateway: "gw", MaxSize: 64 << 20, SegmentSize: 1 << 20, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	big := Item{Format: record.FormatBlock, Payload: make([]byte, 100_000), Count: 1}
	for range 300 {
		if err := b.Telemetry.Commit([]Item{big}, nil); err != nil {
			t.Fatal(err)
		}
	}
	commit(t, b.Events, 1, 2, 3)
	b.Close()
	if b, err = Open(Options{Dir: dir, Gateway: "gw", MaxSize: smallest, Log: quiet}); err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var losses []telemetry.Loss
	w := declareInto(t, b, &losses)
	commit(t, b.Events, 4)
	if err := b.Telemetry.Commit([]Item{big}, nil); err != nil {
		t.Fatal(err)
	}
	u := b.space.usage()
	if total := u.telemetry + u.events + u.meta; total > smallest || u.telemetry > u.share {
		t.Errorf("%+v", u)
	}
	w.keepBooks()
	var lost uint64
	for _, l := range losses {
		if l.Stream != string(record.Telemetry) {
			t.Errorf("lost %+v", l)
		}
		lost += l.SeqLast - l.SeqFirst + 1
	}
	if kept := b.Telemetry.Stats().Waiting; kept+lost != 301 {
		t.Errorf("%d blocks are kept, %d declared as lost, of 301", kept, lost)
	}
	if waiting := b.Events.Stats().Waiting; waiting < 4 {
		t.Errorf("%d events left", waiting)
	}
}
