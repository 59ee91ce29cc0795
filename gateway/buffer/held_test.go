package buffer

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// signed opens a buffer whose signatures are counted.
func signed(t *testing.T, dir string, signatures *byte) *Buffer {
	t.Helper()
	sign := func(r *record.Record) error {
		*signatures++
		r.Seal = record.Seal{KeyID: record.KeyID{7}, Signature: [64]byte{*signatures}}
		return nil
	}
	b, err := Open(Options{Dir: dir, Gateway: "gw", Sign: sign, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// occupy keeps the disk of a chain from taking a commit until release is called.
func occupy(t *testing.T, c *Chain) (release func()) {
	t.Helper()
	tx, err := c.writing.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	return func() { tx.Rollback() }
}

// awayWith takes the directory of a chain, whose next commit begins a file, until
// back is called.
func awayWith(t *testing.T, c *Chain) (back func()) {
	t.Helper()
	c.abandon(nil)
	if err := os.Rename(c.dir, c.dir+".away"); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := os.Rename(c.dir+".away", c.dir); err != nil {
			t.Fatal(err)
		}
	}
}

func hold(t tester, c *Chain, state []byte, numbers ...uint64) {
	t.Helper()
	var items []Item
	for _, n := range numbers {
		items = append(items, item(n))
	}
	if err := c.Hold(items, state); err != nil {
		t.Fatalf("hold: %v", err)
	}
}

func commits(t *testing.T, c *Chain) (n int) {
	t.Helper()
	if err := c.writing.View(func(tx *bolt.Tx) error { n = tx.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

// While a commit is under way, what is held is read and acknowledged; it is written
// later, together and with the newest state, as it was read.
func TestHeldRecordsDontWaitForACommit(t *testing.T) {
	dir := t.TempDir()
	var signatures byte
	b := signed(t, dir, &signatures)
	commit(t, b.Events, 1)
	before := commits(t, b.Events)
	release := occupy(t, b.Events)
	hold(t, b.Events, []byte("first"), 2)
	first := make(chan error, 1)
	go func() { first <- b.Events.CommitHeld() }()
	for underway := 0; underway == 0; time.Sleep(time.Millisecond) {
		b.Events.mu.Lock()
		underway = b.Events.underway
		b.Events.mu.Unlock()
	}
	hold(t, b.Events, []byte("second"), 3)
	hold(t, b.Events, []byte("third"), 4, 5)
	reader := b.Events.Reader()
	defer reader.Close()
	if err := b.Events.Wait(t.Context(), 4); err != nil {
		t.Error(err)
	}
	read, err := reader.Read(1, Newest, 1<<20)
	if got := numbers(read); err != nil || !slices.Equal(got, []uint64{2, 3, 4, 5}) {
		t.Fatalf("read %v, %v", got, err)
	}
	if err := b.Events.Acknowledge(2, 4); err != nil {
		t.Error(err)
	}
	if s := b.Events.Stats(); s.Held != 4 || s.Waiting != 2 || s.Committed != item(1).Count || s.Numbered != read[3].Record.Last+1 {
		t.Errorf("%+v", s)
	}
	release()
	if err := <-first; err != nil || string(b.Events.State()) != "first" {
		t.Errorf("%v, with state %s", err, b.Events.State())
	}
	if err := b.Events.CommitHeld(); err != nil || string(b.Events.State()) != "third" {
		t.Errorf("%v, with state %s", err, b.Events.State())
	}
	if n := commits(t, b.Events) - before; n != 2 {
		t.Errorf("%d commits, want 2", n)
	}
	if s := b.Events.Stats(); s.Held != 0 || s.Waiting != 2 || s.Committed != s.Numbered {
		t.Errorf("%+v", s)
	}
	b.Events.done = nil // as if the acknowledgements had been forgotten
	written := readAll(t, b.Events, 1)
	if !reflect.DeepEqual(written, read) || signatures != 5 {
		t.Errorf("read %+v\nwritten %+v\n%d signatures", read, written, signatures)
	}
	b.Close()
}

// While the disk takes nothing, what is held is read, acknowledged, and later
// written under the identity and at the position that it was read with.
func TestHeldRecordsKeepTheirIdentity(t *testing.T) {
	b := open(t, t.TempDir(), 0)
	defer func() { b.Close() }()
	commit(t, b.Events, 1)
	back := awayWith(t, b.Events)
	for n := uint64(2); n <= 4; n++ {
		hold(t, b.Events, []byte("state"), n)
		if err := b.Events.CommitHeld(); err == nil {
			t.Fatal("a commit without a directory succeeded")
		}
	}
	if err := b.Events.Commit([]Item{item(9)}, nil); err == nil {
		t.Fatal("a commit without a directory succeeded")
	}
	if err := b.Events.Enter([]Item{item(9)}); err == nil || errors.Is(err, ErrHeld) {
		t.Fatalf("entered while the disk fails: %v", err)
	}
	if err := b.Events.Wait(t.Context(), 3); err != nil || b.Events.End() != 4 {
		t.Errorf("the end is %d, %v", b.Events.End(), err)
	}
	reader := b.Events.Reader()
	defer reader.Close()
	held, err := reader.Read(1, Newest, 1<<20)
	if got := numbers(held); err != nil || !slices.Equal(got, []uint64{2, 3, 4}) {
		t.Fatalf("read %v, %v", got, err)
	}
	if err := b.Events.Acknowledge(3, 3); err != nil {
		t.Error(err)
	}
	if s := b.Events.Stats(); s.Held != 3 || s.Waiting != 3 || s.FailingSince.IsZero() {
		t.Errorf("%+v", s)
	}

	back()
	commit(t, b.Events, 5)
	if s := b.Events.Stats(); s.Held != 0 || s.Waiting != 4 {
		t.Errorf("%+v", s)
	}
	written := readAll(t, b.Events, 0)
	if got := numbers(written); !slices.Equal(got, []uint64{1, 2, 4, 5}) {
		t.Errorf("read %v", got)
	}
	if !reflect.DeepEqual(written[1], held[0]) || !reflect.DeepEqual(written[2], held[2]) || written[3].Record.First != held[2].Record.Last+1 {
		t.Errorf("held as %v %v, written as %v %v, then %v", held[0].Record.Identity, held[2].Record.Identity,
			written[1].Record.Identity, written[2].Record.Identity, written[3].Record.Identity)
	}
	if string(b.Events.State()) != "state" {
		t.Errorf("state %s", b.Events.State())
	}
}

// A process that ends while records are held leaves a chain that goes on behind
// what was acknowledged of them.
func TestChainGoesOnBehindHeldRecords(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	commit(t, b.Events, 1)
	hold(t, b.Events, []byte("state"), 2, 3)
	if err := b.Events.Acknowledge(2, 3); err != nil {
		t.Fatal(err)
	}
	b.next = time.Time{}
	if err := b.Save(); err != nil {
		t.Fatal(err)
	}
	b.Close()
	b = open(t, dir, 0)
	defer b.Close()
	commit(t, b.Events, 4)
	entries := readAll(t, b.Events, 0)
	if got := numbers(entries); !slices.Equal(got, []uint64{1, 4}) {
		t.Errorf("read %v", got)
	}
	for _, c := range b.Earlier() {
		if c.Stream == string(record.Events) && c.Count != item(1).Count {
			t.Errorf("the epoch before is told to have committed %d", c.Count)
		}
	}
	if len(b.Events.missing) > 0 || len(b.Events.State()) > 0 {
		t.Errorf("missing %v, state %s", b.Events.missing, b.Events.State())
	}
}

// The state on disk is never newer than the records: it goes with the last of them.
func TestStateGoesWithTheLastOfManyHeld(t *testing.T) {
	b := open(t, t.TempDir(), 0)
	defer b.Close()
	commit(t, b.Events, 1)
	for n := range uint64(heldTogether + 10) {
		hold(t, b.Events, fmt.Appendf(nil, "%d", n), n)
	}
	if entries, state := b.Events.takeHeld(heldTogether); len(entries) != heldTogether || state != nil {
		t.Errorf("%d records at once, with state %s", len(entries), state)
	}
	before := commits(t, b.Events)
	if err := b.Events.CommitHeld(); err != nil {
		t.Fatal(err)
	}
	if n := commits(t, b.Events) - before; n != 2 || string(b.Events.State()) != fmt.Sprint(heldTogether+9) {
		t.Errorf("%d commits, state %s", n, b.Events.State())
	}
}

// A state alone is committed too, and one whose commit fails is tried again unless
// there is a newer one.
func TestHeldStateIsCommitted(t *testing.T) {
	b := open(t, t.TempDir(), 0)
	defer b.Close()
	commit(t, b.Events, 1)
	hold(t, b.Events, []byte("alone"))
	if err := b.Events.CommitHeld(); err != nil || string(b.Events.State()) != "alone" {
		t.Errorf("%v, state %s", err, b.Events.State())
	}
	back := awayWith(t, b.Events)
	hold(t, b.Events, []byte("later"))
	if b.Events.CommitHeld() == nil {
		t.Fatal("a commit without a directory succeeded")
	}
	back()
	if err := b.Events.CommitHeld(); err != nil || string(b.Events.State()) != "later" {
		t.Errorf("%v, state %s", err, b.Events.State())
	}
}

// What memory can't hold is given up from the oldest on, and declared, but for what
// the log has acknowledged; the numbers of all others stay as they are.
func TestHeldRecordsAreBounded(t *testing.T) {
	for _, large := range []bool{false, true} {
		t.Run(fmt.Sprintf("large=%v", large), func(t *testing.T) {
			dir := t.TempDir()
			b := open(t, dir, 0)
			c := b.Events
			commit(t, c, 1)
			back := awayWith(t, c)
			payload, most := 100, mostHeld
			if large {
				payload, most = 64<<10, mostHeldBytes/(64<<10)
			}
			const more = 100
			add := func(n int) {
				for range n {
					if err := c.Hold([]Item{{record.FormatEvent, make([]byte, payload), 1}}, []byte("state")); err != nil {
						t.Fatal(err)
					}
				}
			}
			add(most)
			if err := c.Acknowledge(2, 41); err != nil { // the log has 40 of them
				t.Fatal(err)
			}
			add(more)
			s := c.Stats()
			if s.Held != most || s.Numbered != item(1).Count+uint64(most+more) || s.Waiting != uint64(1+most) {
				t.Errorf("%+v", s)
			}
			if c.CommitHeld() == nil {
				t.Fatal("a commit without a directory succeeded")
			}
			back()
			var losses []telemetry.Loss
			b.NewWriter(time.Second, func(l []telemetry.Loss) error { losses = append(losses, l...); return c.Enter([]Item{item(0)}) }, uncounted{}).keepBooks()
			first := item(1).Count + 40
			want := []telemetry.Loss{{Epoch: b.Epoch().String(), Stream: "events", SeqFirst: first, SeqLast: first + more - 40 - 1, Reason: telemetry.LostDiscarded}}
			if !reflect.DeepEqual(losses, want) {
				t.Errorf("declared %+v, want %+v", losses, want)
			}
			if s := c.Stats(); s.Held != 0 || s.Committed != s.Numbered {
				t.Errorf("%+v", s)
			}
			committed := c.Stats().Committed
			for range 2 {
				next := c.End() - Position(most)
				for _, e := range readAll(t, c, 1) {
					if e.Position != next {
						t.Fatalf("read position %d, want %d", e.Position, next)
					}
					next++
				}
				if next != c.End()+1 || string(c.State()) != "state" || len(c.missing) > 0 {
					t.Errorf("the last is %d of %d, state %s, missing %v", next-1, c.End(), c.State(), c.missing)
				}
				b.Close()
				b = open(t, dir, 0)
				c = b.Events
			}
			if e := b.Earlier(); len(e) != 1 || e[0].Count != committed {
				t.Errorf("%+v, want %d", e, committed)
			}
			b.Close()
		})
	}
}

// Events are held by several, read by one that acknowledges them, and committed, on
// a disk that comes and goes, in files that are begun and removed meanwhile: they
// are read once, in order and without a gap, and so they are on disk.
func TestHeldAndCommittedAtOnce(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 32<<10)
	c := b.Events
	ctx, stop := context.WithCancel(t.Context())
	var committing, holding, others sync.WaitGroup
	var failures, recoveries int
	committing.Go(func() {
		c.KeepCommitting(ctx, func(err error) {
			if err != nil {
				failures++
			} else {
				recoveries++
			}
		})
	})
	const each, writers = 300, 4
	for w := range uint64(writers) {
		holding.Go(func() {
			for n := range uint64(each) {
				if w == 0 && n%4 == 0 {
					c.Enter([]Item{item(n)}) // it may be refused
				} else {
					hold(t, c, fmt.Appendf(nil, "%d", n), n, n+1)
				}
				if n%20 == 0 {
					time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
				}
			}
		})
	}
	others.Go(func() { // commits fail now and then
		for range 5 {
			time.Sleep(10 * time.Millisecond)
			c.commits.Lock()
			c.abandon(nil)
			away := os.Rename(c.dir, c.dir+".away")
			c.commits.Unlock()
			time.Sleep(3 * time.Millisecond)
			if away == nil {
				away = os.Rename(c.dir+".away", c.dir)
			}
			if away != nil {
				t.Error(away)
			}
		}
	})
	var read []Entry
	var position atomic.Uint64 // that was read last
	reading, enough := context.WithCancel(t.Context())
	others.Go(func() {
		r := c.Reader()
		defer r.Close()
		var after Position
		for c.Wait(reading, after) == nil {
			entries, err := r.Read(after, c.End(), 8<<10)
			if err != nil {
				continue // its file is away
			}
			for _, e := range entries {
				read = append(read, e)
				after = e.Position
				position.Store(uint64(after))
				if rand.IntN(3) > 0 {
					c.Acknowledge(e.Position, e.Position) // a file that is away is removed later
				}
			}
		}
	})
	holding.Wait()
	total := c.Stats().Numbered
	deadline := time.Now().Add(time.Minute)
	for c.Stats().Held > 0 || position.Load() < uint64(c.End()) {
		if time.Sleep(time.Millisecond); time.Now().After(deadline) {
			t.Fatalf("read %d: %+v", position.Load(), c.Stats())
		}
	}
	stop()
	committing.Wait()
	enough()
	others.Wait()
	seq := uint64(0)
	for i, e := range read {
		if e.Position != Position(i)+1 || e.Record.First != seq {
			t.Fatalf("read %d: position %d, number %d, want %d", i, e.Position, e.Record.First, seq)
		}
		seq = e.Record.Last + 1
	}
	if seq != total || failures != recoveries {
		t.Errorf("read %d of %d, failed %d times and recovered %d times", seq, total, failures, recoveries)
	}
	kept := readAll(t, c, 0)
	b.Close()
	b = open(t, dir, 32<<10)
	defer b.Close()
	if again := readAll(t, b.Events, 0); !reflect.DeepEqual(again, kept) || len(kept) == 0 {
		t.Errorf("%d records before, %d after opening it again", len(kept), len(again))
	}
	for _, e := range kept {
		if !reflect.DeepEqual(e, read[e.Position-1]) {
			t.Errorf("position %d: read %v, committed %v", e.Position, read[e.Position-1].Record.Identity, e.Record.Identity)
		}
	}
	if e := b.Earlier(); len(e) != 1 || e[0].Count != total {
		t.Errorf("%+v, want %d", e, total)
	}
}

// A buffer without room for all that is held takes what fits.
func TestHeldRecordsAreWrittenInParts(t *testing.T) {
	b, err := Open(Options{Dir: filepath.Join(t.TempDir(), "b"), Gateway: "gw", MaxSize: 8 << 20, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	commit(t, b.Events, 1)
	for n := range uint64(200) {
		hold(t, b.Events, []byte("state"), n)
	}
	b.space.mu.Lock()
	b.space.limit = b.space.used[eventsLane] + b.space.used[telemetryLane] + b.space.books() + b.space.declarations() + 1<<20
	b.space.mu.Unlock()
	if err := b.Events.CommitHeld(); err != nil {
		t.Fatal(err)
	}
	if s := b.Events.Stats(); s.Held != 0 || string(b.Events.State()) != "state" {
		t.Errorf("%+v, state %s", s, b.Events.State())
	}
}
