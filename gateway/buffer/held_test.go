package buffer

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry/record"
)

// While the disk takes nothing, what is held is read, acknowledged, and later
// written under the identity and at the position that it was read with.
func TestHeldRecordsKeepTheirIdentity(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	defer func() { b.Close() }()
	events := filepath.Join(dir, "events")
	commit(t, b.Events, 1)
	b.Events.abandon(nil) // the next commit begins a file
	if err := os.Rename(events, events+".away"); err != nil {
		t.Fatal(err)
	}
	for n := uint64(2); n <= 4; n++ {
		if err := b.Events.CommitOrHold([]Item{item(n)}, []byte("state")); err == nil {
			t.Fatal("a commit without a directory succeeded")
		}
	}
	if err := b.Events.Commit([]Item{item(9)}, nil); err == nil {
		t.Fatal("a commit without a directory succeeded")
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

	if err := os.Rename(events+".away", events); err != nil {
		t.Fatal(err)
	}
	commit(t, b.Events, 5)
	if s := b.Events.Stats(); s.Held != 0 || s.Waiting != 4 {
		t.Errorf("%+v", s)
	}
	written := readAll(t, b.Events, 0)
	if got := numbers(written); !slices.Equal(got, []uint64{1, 2, 4, 5}) {
		t.Errorf("read %v", got)
	}
	same := func(a, b Entry) bool { return a.Position == b.Position && a.Record.Identity == b.Record.Identity }
	if !same(written[1], held[0]) || !same(written[2], held[2]) || written[3].Record.First != held[2].Record.Last+1 {
		t.Errorf("held as %v %v, written as %v %v, then %v", held[0].Record.Identity, held[2].Record.Identity,
			written[1].Record.Identity, written[2].Record.Identity, written[3].Record.Identity)
	}
}

// A process that ends while records are held leaves a chain that goes on behind
// what was acknowledged of them.
func TestChainGoesOnBehindHeldRecords(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	events := filepath.Join(dir, "events")
	commit(t, b.Events, 1)
	b.Events.abandon(nil)
	if err := os.Rename(events, events+".away"); err != nil {
		t.Fatal(err)
	}
	for n := uint64(2); n <= 3; n++ {
		b.Events.CommitOrHold([]Item{item(n)}, nil)
	}
	if err := b.Events.Acknowledge(2, 3); err != nil {
		t.Fatal(err)
	}
	b.next = time.Time{}
	if err := b.Save(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(events+".away", events); err != nil {
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
	if len(b.Events.missing) > 0 {
		t.Errorf("missing %v", b.Events.missing)
	}
}
