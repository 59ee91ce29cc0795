package buffer

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

type tester interface {
	Helper()
	Fatalf(format string, args ...any)
}

func open(t tester, dir string, segmentSize int64) *Buffer {
	t.Helper()
	b, err := Open(Options{Dir: dir, Gateway: "gw", SegmentSize: segmentSize, Log: quiet})
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return b
}

// item carries its number; every fifth is large enough for a bucket of its own.
func item(n uint64) Item {
	size := 200
	if n%5 == 0 {
		size = largeRecord + 200
	}
	return Item{Format: record.FormatBlock, Payload: binary.BigEndian.AppendUint64(make([]byte, size), n), Count: n%3 + 1}
}

func numberOf(e Entry) uint64 {
	return binary.BigEndian.Uint64(e.Record.Payload[len(e.Record.Payload)-8:])
}

func commit(t tester, c *Chain, numbers ...uint64) {
	t.Helper()
	var items []Item
	for _, n := range numbers {
		items = append(items, item(n))
	}
	if err := c.Commit(items, nil); err != nil {
		t.Fatalf("commit: %v", err)
	}
}

func readAll(t tester, c *Chain, after Position) []Entry {
	t.Helper()
	var all []Entry
	r := c.Reader()
	defer r.Close()
	for {
		entries, err := r.Read(after, Newest, 1000)
		if err != nil {
			t.Fatalf("read: %v", err)
		}
		if len(entries) == 0 {
			return all
		}
		all = append(all, entries...)
		after = entries[len(entries)-1].Position
	}
}

func numbers(entries []Entry) []uint64 {
	var out []uint64
	for _, e := range entries {
		out = append(out, numberOf(e))
	}
	return out
}

func TestSequenceNumbersHaveNoHoles(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	commit(t, b.Telemetry, 1, 2)
	commit(t, b.Telemetry, 3)
	first := b.Epoch()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}

	b = open(t, dir, 0)
	defer b.Close()
	if b.Epoch() == first {
		t.Fatal("a restart kept the epoch")
	}
	if b.Starts() != 2 {
		t.Errorf("starts = %d, want 2", b.Starts())
	}
	want := []telemetry.Committed{{Epoch: first.String(), Stream: "telemetry", Count: 2 + 3 + 1}}
	if got := b.Earlier(); !slices.Equal(got, want) {
		t.Errorf("earlier = %v, want %v", got, want)
	}
	commit(t, b.Telemetry, 4)
	var got []string
	for _, e := range readAll(t, b.Telemetry, 0) {
		epoch := "first"
		if e.Record.Epoch == b.Epoch() {
			epoch = "second"
		}
		got = append(got, fmt.Sprintf("%d: %s %d-%d", e.Position, epoch, e.Record.First, e.Record.Last))
	}
	wantRecords := []string{"1: first 0-1", "2: first 2-4", "3: first 5-5", "4: second 0-1"}
	if !slices.Equal(got, wantRecords) {
		t.Errorf("records\n got %q\nwant %q", got, wantRecords)
	}
}

func TestReleaseUnlinksCompleteSegments(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 64<<10)
	defer b.Close()
	var n uint64
	for b.Telemetry.Stats().Segments < 5 {
		n++
		commit(t, b.Telemetry, n)
	}
	before := b.Telemetry.Stats()
	if err := b.Telemetry.Acknowledge(1, Position(n)); err != nil {
		t.Fatal(err)
	}
	after := b.Telemetry.Stats()
	if after.Segments != 1 || after.Waiting != 0 || after.Bytes >= before.Bytes {
		t.Errorf("after releasing everything: %+v, before: %+v", after, before)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "telemetry", "*.db"))
	if len(files) != 1 {
		t.Errorf("files left: %v", files)
	}
}

func TestStateIsCommittedWithRecordsAndOutlivesSegments(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 64<<10)
	state := bytes.Repeat([]byte("s"), 100)
	if err := b.Events.Commit([]Item{item(1)}, state); err != nil {
		t.Fatal(err)
	}
	var n uint64 = 1
	for b.Events.Stats().Segments < 3 {
		n++
		commit(t, b.Events, n)
	}
	if err := b.Events.Acknowledge(1, Position(n)); err != nil {
		t.Fatal(err)
	}
	b.Close()
	b = open(t, dir, 64<<10)
	defer b.Close()
	if got := b.Events.State(); !bytes.Equal(got, state) {
		t.Errorf("state = %q", got)
	}
}

func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	defer b.Close()
	_, err := Open(Options{Dir: dir, Gateway: "gw", Log: quiet})
	if err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("second open: %v", err)
	}
}

func TestFullBufferGivesUpTheOldestAndSaysWhat(t *testing.T) {
	const segmentSize = 64 << 10
	b, err := Open(Options{Dir: t.TempDir(), Gateway: "gw", MaxSize: 1 << 20, SegmentSize: segmentSize, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	lost := map[uint64]bool{}
	var seq uint64
	b.NewWriter(time.Second, func(losses []telemetry.Loss) error {
		for _, l := range losses {
			if l.Reason != "buffer-full" || l.Epoch != b.Epoch().String() || l.Stream != "telemetry" {
				t.Fatalf("loss %+v", l)
			}
			for s := l.SeqFirst; s <= l.SeqLast; s++ {
				if lost[s] {
					t.Fatalf("sequence number %d was lost twice", s)
				}
				lost[s] = true
			}
		}
		return nil
	}, uncounted{})
	for n := uint64(0); n < 1500; n++ {
		commit(t, b.Telemetry, n)
		seq += item(n).Count
		if size := b.Telemetry.Stats().Bytes; size > 1<<20 {
			t.Fatalf("%d bytes on disk, at most %d were allowed", size, 1<<20)
		}
	}
	if len(lost) == 0 {
		t.Fatal("nothing was lost: the test doesn't reach the limit")
	}
	for _, e := range readAll(t, b.Telemetry, 0) {
		for s := e.Record.First; s <= e.Record.Last; s++ {
			if lost[s] {
				t.Fatalf("sequence number %d is declared lost and still there", s)
			}
			lost[s] = true
		}
	}
	if uint64(len(lost)) != seq {
		t.Errorf("%d sequence numbers are accounted for, of %d", len(lost), seq)
	}
}

func TestWaitReturnsAtTheCommit(t *testing.T) {
	b := open(t, t.TempDir(), 0)
	defer b.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- b.Telemetry.Wait(ctx, 0) }()
	commit(t, b.Telemetry, 1)
	if err := <-done; err != nil {
		t.Errorf("wait: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := b.Telemetry.Wait(short, 1); err == nil {
		t.Error("wait returned without a commit")
	}
}

// A commit whose last sync fails is in the file and was not acknowledged. What is
// committed next has its positions, whatever it is.
func TestACommitTakesThePlaceOfOneWhoseSyncFailed(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	commit(t, b.Telemetry, 1)
	for _, batch := range [][]uint64{{5, 6, 10}, {6, 5, 10}, {5}} {
		var items []Item
		for _, n := range batch {
			items = append(items, item(n))
		}
		entries, err := b.Telemetry.numbered(items)
		if err == nil {
			err = b.Telemetry.write(entries, nil) // as if its sync had failed
		}
		if err != nil {
			t.Fatalf("%v: %v", batch, err)
		}
	}
	commit(t, b.Telemetry, 7, 8, 9)
	b.Close()
	b = open(t, dir, 0)
	defer b.Close()
	if got := numbers(readAll(t, b.Telemetry, 0)); !slices.Equal(got, []uint64{1, 7, 8, 9}) {
		t.Errorf("read %v", got)
	}
}

// Processes that were killed before they could commit their start are all told of by
// the first that can, as long as anything of them is on disk.
func TestEveryEarlierEpochIsToldOf(t *testing.T) {
	dir := t.TempDir()
	want := map[string]uint64{}
	for n := uint64(1); n <= 3; n++ {
		b := open(t, dir, 0)
		for range n {
			commit(t, b.Telemetry, n)
		}
		want[b.Epoch().String()] = b.Telemetry.Stats().Committed
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	b := open(t, dir, 0)
	defer b.Close()
	got := map[string]uint64{}
	for _, c := range b.Earlier() {
		if c.Stream == string(record.Telemetry) {
			got[c.Epoch] = c.Count
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Who has to know that opening goes on hears of each file.
func TestOpeningTellsItsProgress(t *testing.T) {
	dir := t.TempDir()
	const files = 4
	for n := range uint64(files) { // each start begins one
		b := open(t, dir, 0)
		commit(t, b.Telemetry, n+1)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	heard := 0
	b, err := Open(Options{Dir: dir, Gateway: "gw", Progress: func() { heard++ }, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if heard < files {
		t.Errorf("of %d files it is heard %d times", files, heard)
	}
}
