package buffer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// remount makes a file system that mount made read-only, or writable again.
func remount(t *testing.T, dir string, flags uintptr) {
	t.Helper()
	if err := syscall.Mount("", dir, "", syscall.MS_REMOUNT|flags, "size=6m"); err != nil {
		t.Fatal("remount:", err)
	}
}

func define(b *Buffer, names ...string) ([]telemetry.SignalID, error) {
	var definitions []Definition
	for _, name := range names {
		definitions = append(definitions, Definition{Signal: telemetry.Signal{Device: "d", Name: name}})
	}
	return b.Table().Define(definitions)
}

// holds has an event held that the disk doesn't take.
func holds(t *testing.T, b *Buffer, n uint64) {
	t.Helper()
	if err := b.Events.Hold([]Item{item(n)}, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Events.CommitHeld(); err == nil {
		t.Fatal("the disk takes an event")
	}
}

// A buffer opens on a file system that is read-only, knows what was there, holds
// events, and commits when the file system can be written, without anybody's help.
// An id that was given to a signal meanwhile is told to nobody before it is on disk.
func TestStartsOnAReadOnlyDisk(t *testing.T) {
	if !onSmallDisk(t) {
		return
	}
	dir := mount(t, 6<<20)
	b := open(t, dir, 0)
	if _, err := define(b, "one"); err != nil {
		t.Fatal(err)
	}
	commit(t, b.Telemetry, 1, 2)
	if err := b.Events.Commit([]Item{item(1)}, []byte("state")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(b.Telemetry.Acknowledge(1, 1), b.SaveClockNotes([]byte("notes")), b.Close()); err != nil {
		t.Fatal(err)
	}
	table, earlier := b.Table().Ref(), b.Committed()

	remount(t, dir, syscall.MS_RDONLY)
	for range 2 {
		b = open(t, dir, 0)
		if b.Starts() != 2 || !slices.Equal(b.Earlier(), earlier) || string(b.Events.State()) != "state" {
			t.Errorf("start %d, earlier %+v, state %q", b.Starts(), b.Earlier(), b.Events.State())
		}
		if notes, err := b.ClockNotes(); err != nil || string(notes) != "notes" {
			t.Errorf("notes %q, %v", notes, err)
		}
		if got := numbers(readAll(t, b.Telemetry, 0)); !slices.Equal(got, []uint64{2}) {
			t.Errorf("read %v", got)
		}
		if ids, err := define(b, "one"); err != nil || !slices.Equal(ids, []telemetry.SignalID{1}) {
			t.Errorf("the signal that is on disk has id %v, %v", ids, err)
		}
		if ids, err := define(b, fmt.Sprint("two of epoch ", b.Epoch()), "one"); !errors.Is(err, syscall.EROFS) || !slices.Equal(ids, []telemetry.SignalID{2, 1}) {
			t.Errorf("ids %v, %v", ids, err)
		}
		if ref, signals := b.Table().Saved(); ref != table || len(signals) != 1 {
			t.Errorf("%+v is told as saved, with %v", ref, signals)
		}
		if err := b.Telemetry.Commit([]Item{item(3)}, nil); !errors.Is(err, syscall.EROFS) {
			t.Errorf("commit: %v", err)
		}
		holds(t, b, 2)
		if got := numbers(readAll(t, b.Events, 0)); !slices.Equal(got, []uint64{1, 2}) {
			t.Errorf("events %v", got)
		}
		if since, cause := b.Refused(); since.IsZero() || !errors.Is(cause, syscall.EROFS) {
			t.Error("nothing is said of the bookkeeping")
		}
		if since, cause := b.Events.Refused(); since.IsZero() || !errors.Is(cause, syscall.EROFS) {
			t.Error("nothing is said of the events")
		}
		if b.Epoch().String() == earlier[0].Epoch {
			b.Close() // as a process that ends there: what it held is gone
		}
		earlier = b.Earlier()
		b.Close()
	}

	b = open(t, dir, 0)
	holds(t, b, 2)
	if _, err := define(b, "three"); err == nil {
		t.Error("a signal was written to a read-only disk")
	}
	remount(t, dir, 0)
	commit(t, b.Telemetry, 3)
	commit(t, b.Events, 3)
	if ref, signals := b.Table().Saved(); ref.Table != table.Table || ref.Version != 2 || signals[1].Name != "three" {
		t.Errorf("saved %+v %v", ref, signals)
	}
	if since, cause := b.Refused(); !since.IsZero() {
		t.Errorf("since %v: %v", since, cause)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	b = open(t, dir, 0)
	defer b.Close()
	if signals := b.Table().Signals(); b.Starts() != 3 || len(signals) != 2 || signals[1].Name != "three" {
		t.Errorf("start %d with %v", b.Starts(), signals)
	}
	if got := numbers(readAll(t, b.Telemetry, 0)); !slices.Equal(got, []uint64{2, 3}) {
		t.Errorf("telemetry %v", got)
	}
	if got := numbers(readAll(t, b.Events, 0)); !slices.Equal(got, []uint64{1, 2, 3}) {
		t.Errorf("events %v", got)
	}
}

// Two processes that start on a read-only disk, which neither can lock: when it can
// be written, one of them commits, and the other one never does.
func TestOneOfTwoOnAReadOnlyDiskCommits(t *testing.T) {
	if !onSmallDisk(t) {
		return
	}
	dir := mount(t, 6<<20)
	open(t, dir, 0).Close()
	remount(t, dir, syscall.MS_RDONLY)
	first, second := open(t, dir, 0), open(t, dir, 0)
	defer first.Close()
	defer second.Close()
	holds(t, first, 1)
	holds(t, second, 1)
	remount(t, dir, 0)
	commit(t, first.Events, 2)
	for _, c := range []*Chain{second.Events, second.Telemetry} {
		if err := c.Commit([]Item{item(2)}, nil); !errors.Is(err, errLocked) {
			t.Errorf("%s: %v", c.stream, err)
		}
	}
}

// A first start, with nothing on the disk yet.
func TestFirstStartOnAReadOnlyDisk(t *testing.T) {
	if !onSmallDisk(t) {
		return
	}
	disk := mount(t, 6<<20)
	remount(t, disk, syscall.MS_RDONLY)
	dir := filepath.Join(disk, "buffer")
	b := open(t, dir, 0)
	if ids, err := define(b, "one"); err == nil || !slices.Equal(ids, []telemetry.SignalID{1}) {
		t.Errorf("ids %v, %v", ids, err)
	}
	if ref, _ := b.Table().Saved(); ref.Version != 0 {
		t.Errorf("version %d is told as saved", ref.Version)
	}
	holds(t, b, 1)
	if err := b.Telemetry.Commit([]Item{item(1)}, nil); err == nil {
		t.Error("the disk takes samples")
	}
	remount(t, disk, 0)
	commit(t, b.Telemetry, 1)
	commit(t, b.Events, 2)
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	b = open(t, dir, 0)
	defer b.Close()
	if ref, _ := b.Table().Saved(); ref.Version != 1 || b.Starts() != 2 {
		t.Errorf("version %d, start %d", ref.Version, b.Starts())
	}
	if got := numbers(readAll(t, b.Events, 0)); !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("events %v", got)
	}
}

// loop takes a file's or a directory's place with a symbolic link to itself: it can
// neither be opened nor listed, and isn't damaged. Back takes it away.
func loop(t *testing.T, path string) (back func()) {
	t.Helper()
	if err := errors.Join(os.Rename(path, path+"-away"), os.Symlink(filepath.Base(path), path)); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := errors.Join(os.Remove(path), os.Rename(path+"-away", path)); err != nil {
			t.Fatal(err)
		}
	}
}

// A bookkeeping that can't be read is replaced as soon as it can be. Nothing is
// committed before, since its marks would be taken for those of new records.
func TestBookkeepingThatCantBeReadIsReplaced(t *testing.T) {
	if !onSmallDisk(t) {
		return
	}
	dir := mount(t, 6<<20)
	b := open(t, dir, 0)
	if _, err := define(b, "one"); err != nil {
		t.Fatal(err)
	}
	table := b.Table().Ref().Table
	commit(t, b.Telemetry, 1)
	if err := errors.Join(b.Telemetry.Acknowledge(1, 1), b.Close()); err != nil {
		t.Fatal(err)
	}
	loop(t, filepath.Join(dir, metaName))
	remount(t, dir, syscall.MS_RDONLY)
	var told []telemetry.Damage
	b, err := Open(Options{Dir: dir, Gateway: "gw", Log: quiet, Damaged: func(d telemetry.Damage) error { told = append(told, d); return nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { b.Close() }()
	if _, err := b.ClockNotes(); err == nil {
		t.Error("nothing is said of the notes that can't be read")
	}
	if _, err := define(b, "two"); err == nil || b.Table().Ref().Table == table {
		t.Errorf("ids of the table that can't be read were given away (%v)", err)
	}
	remount(t, dir, 0)
	b.meta.path = "/proc/none/meta.db" // as if this file alone couldn't be written
	for _, c := range []*Chain{b.Events, b.Telemetry} {
		if err := c.Commit([]Item{item(2)}, nil); err == nil {
			t.Errorf("%s are committed beside marks that nobody knows", c.stream)
		}
	}
	b.meta.path = filepath.Join(dir, metaName)
	commit(t, b.Events, 2)
	commit(t, b.Telemetry, 2)
	if n := b.Broken(); n != 1 {
		t.Errorf("%d files set aside, want 1", n)
	}
	b.NewWriter(time.Second, func([]telemetry.Loss) error { return nil }, uncounted{}).keepBooks()
	if len(told) != 1 || told[0].Cause == "" {
		t.Errorf("told %+v", told)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	b = open(t, dir, 0)
	if signals := b.Table().Signals(); len(signals) != 1 || signals[0].Name != "two" {
		t.Errorf("signals %v", signals)
	}
	if got := numbers(readAll(t, b.Telemetry, 0)); !slices.Equal(got, []uint64{1, 2}) {
		t.Errorf("read %v: without marks, everything on disk is sent again", got)
	}
}

// A bookkeeping that may be read and not written gets another file in its place.
func TestBookkeepingThatCantBeWrittenIsWrittenAnew(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	defer func() { b.Close() }()
	if _, err := define(b, "one"); err != nil {
		t.Fatal(err)
	}
	commit(t, b.Telemetry, 1, 2)
	for n, break_ := range []func(){
		func() { b.meta.file.descriptor.Close() },
		func() { overwrite(t, b.meta.path, 0, sizeOf(t, b.meta.path), 0xff) },
		func() { os.Remove(b.meta.path) },
	} {
		break_()
		if err := b.Telemetry.Acknowledge(1, 1); err != nil {
			t.Fatal(err)
		}
		notes := fmt.Append(nil, "notes ", n)
		if err := b.SaveClockNotes(notes); err != nil {
			t.Errorf("case %d: %v", n, err)
		}
		b.next = time.Time{}
		table := b.Table().Ref()
		if err := b.Close(); err != nil {
			t.Errorf("case %d: %v", n, err)
		}
		b = open(t, dir, 0)
		if got, err := b.ClockNotes(); b.Table().Ref() != table || string(got) != string(notes) {
			t.Errorf("case %d: table %+v, want %+v; notes %q, %v", n, b.Table().Ref(), table, got, err)
		}
		if got := numbers(readAll(t, b.Telemetry, 0)); !slices.Equal(got, []uint64{2}) {
			t.Errorf("case %d: read %v", n, got)
		}
	}
}

// A chain whose directory can't be read holds events meanwhile, and goes on behind
// what it finds there.
func TestChainThatCantBeReadIsReadLater(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	commit(t, b.Events, 1, 2, 3)
	commit(t, b.Telemetry, 1)
	if err := errors.Join(b.Events.Acknowledge(1, 1), b.Close()); err != nil {
		t.Fatal(err)
	}
	backEvents, backTelemetry := loop(t, filepath.Join(dir, "events")), loop(t, filepath.Join(dir, "telemetry"))
	b = open(t, dir, 0)
	defer func() { b.Close() }()
	holds(t, b, 4)
	holds(t, b, 5)
	held := readAll(t, b.Events, 0)
	if got := numbers(held); !slices.Equal(got, []uint64{4, 5}) {
		t.Fatalf("held %v", got)
	}
	if err := b.Events.Acknowledge(held[0].Position, held[0].Position); err != nil {
		t.Fatal(err)
	}
	if s := b.Events.Stats(); s.Waiting != 1 {
		t.Errorf("%+v", s)
	}
	b.next = time.Time{}
	if err := b.Save(); err != nil {
		t.Error(err)
	}
	if err := b.Telemetry.Commit([]Item{item(2)}, nil); err == nil {
		t.Error("samples were committed to a chain that can't be read")
	}
	backEvents()
	backTelemetry()
	commit(t, b.Telemetry, 2)
	commit(t, b.Events, 6)
	for range 2 {
		if got := numbers(readAll(t, b.Events, 0)); !slices.Equal(got, []uint64{2, 3, 5, 6}) {
			t.Errorf("events %v", got)
		}
		if got := numbers(readAll(t, b.Telemetry, 0)); !slices.Equal(got, []uint64{1, 2}) {
			t.Errorf("telemetry %v", got)
		}
		if s := b.Events.Stats(); s.Waiting != 4 || len(b.Events.missing) > 0 {
			t.Errorf("%+v, missing %v", s, b.Events.missing)
		}
		b.Close()
		b = open(t, dir, 0)
	}
}

// A segment that can't be opened is left for another start, wherever it is, and
// nothing is declared lost for it.
func TestSegmentThatCantBeOpenedWaits(t *testing.T) {
	for _, which := range []int{0, 1, -1} {
		t.Run(fmt.Sprint(which), func(t *testing.T) {
			dir := t.TempDir()
			b := open(t, dir, 64<<10)
			all := fill(t, b, 3)
			n := len(b.Telemetry.segments)
			shut := b.Telemetry.segments[(which+n)%n]
			b.Close()
			back := loop(t, shut.path)
			b = open(t, dir, 64<<10)
			var losses []telemetry.Loss
			w := b.NewWriter(time.Second, func(l []telemetry.Loss) error { losses = append(losses, l...); return nil }, uncounted{})
			commit(t, b.Telemetry, 1000)
			got := readAll(t, b.Telemetry, 0)
			if len(got) != int(all)+1-int(shut.last-shut.first+1) {
				t.Errorf("%d records of %d, without positions %d-%d", len(got), all+1, shut.first, shut.last)
			}
			if s := b.Telemetry.Stats(); s.Waiting != uint64(len(got)) || s.Broken != 1 {
				t.Errorf("%+v, want %d waiting", s, len(got))
			}
			for _, e := range got {
				if err := b.Telemetry.Acknowledge(e.Position, e.Position); err != nil {
					t.Fatal(err)
				}
			}
			w.keepBooks()
			if err := b.Close(); err != nil || len(losses) > 0 {
				t.Errorf("%v, lost %+v", err, losses)
			}
			back()
			b = open(t, dir, 64<<10)
			defer b.Close()
			got = readAll(t, b.Telemetry, 0)
			if len(got) != int(shut.last-shut.first+1) || got[0].Position != shut.first {
				t.Errorf("%d records wait from %v on, want positions %d-%d", len(got), got, shut.first, shut.last)
			}
		})
	}
}

// A damaged file on a read-only disk is set aside when that is possible, and never
// overwritten.
func TestDamageOnAReadOnlyDisk(t *testing.T) {
	if !onSmallDisk(t) {
		return
	}
	for _, which := range []int{0, -1} {
		dir := mount(t, 6<<20)
		b := open(t, dir, 64<<10)
		all := fill(t, b, 3)
		n := len(b.Telemetry.segments)
		hurt := b.Telemetry.segments[(which+n)%n]
		b.Close()
		overwrite(t, hurt.path, 0, sizeOf(t, hurt.path), 0)
		remount(t, dir, syscall.MS_RDONLY)
		b = open(t, dir, 64<<10)
		if got := len(readAll(t, b.Telemetry, 0)); got != int(all)-int(hurt.last-hurt.first+1) {
			t.Errorf("%d records of %d", got, all)
		}
		if b.Broken() != 1 {
			t.Errorf("%d files are told to be unreadable", b.Broken())
		}
		if err := b.Telemetry.Commit([]Item{item(1000)}, nil); !errors.Is(err, syscall.EROFS) {
			t.Errorf("commit: %v", err)
		}
		remount(t, dir, 0)
		commit(t, b.Telemetry, 1000)
		b.NewWriter(time.Second, func([]telemetry.Loss) error { return nil }, uncounted{}).keepBooks()
		if _, err := os.Stat(hurt.path + brokenSuffix); err != nil || b.Broken() != 1 {
			t.Errorf("it wasn't set aside: %v, %d", err, b.Broken())
		}
		u := b.space.usage()
		if u.aside != hurt.size || u.telemetry != b.Telemetry.Stats().Bytes {
			t.Errorf("%+v, %d bytes of segments", u, b.Telemetry.Stats().Bytes)
		}
		b.Close()
	}
}

// A file that comes to be where the next segment begins is never overwritten, as
// when another file system is mounted over the directory of a buffer that is open.
func TestAForeignSegmentIsKept(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	defer b.Close()
	path := filepath.Join(dir, string(record.Telemetry), fmt.Sprintf("%s%020d%s", segmentPrefix, 1, segmentSuffix))
	content := binary.BigEndian.AppendUint64(nil, 12345)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Telemetry.Commit([]Item{item(1)}, nil); err == nil {
		t.Error("a commit took a foreign file's place")
	}
	if kept, err := os.ReadFile(path); err != nil || string(kept) != string(content) {
		t.Errorf("it is overwritten: %d bytes, %v", len(kept), err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	commit(t, b.Telemetry, 1)
}
