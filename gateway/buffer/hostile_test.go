package buffer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// recordsRoot is the page at which a file's records begin.
func recordsRoot(t *testing.T, path string) (root uint64, p *pageReader) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if p, err = readPages(bytes.NewReader(text), int64(len(text))); err != nil {
		t.Fatal(err)
	}
	p.walk(p.meta.root, func(e element) {
		if bytes.Equal(e.key, bucketRecords) {
			root = binary.LittleEndian.Uint64(e.value)
		}
	})
	return root, p
}

func patch(t *testing.T, path string, at int64, with []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(with, at); err != nil {
		t.Fatal(err)
	}
}

// A branch that leads back to itself, which bbolt would follow until it has no
// memory left, and no process would survive: the file is set aside at the start.
func TestABranchThatLeadsBackIsSetAside(t *testing.T) {
	for _, which := range []int{0, 1, -1} { // of its elements
		dir := t.TempDir()
		b := open(t, dir, 0)
		for n := range uint64(400) {
			commit(t, b.Telemetry, 5*n+1)
		}
		path := b.Telemetry.segments[0].path
		b.Close()
		root, p := recordsRoot(t, path)
		page, err := p.page(root)
		if err != nil || page.flags != branchPage {
			t.Fatalf("the records begin with a page of kind %#x, %v", page.flags, err)
		}
		at := int64(root)*p.pageSize + boltHeader + 16*int64((which+page.count)%page.count) + 8
		patch(t, path, at, binary.LittleEndian.AppendUint64(nil, root))
		b = open(t, dir, 0)
		readAll(t, b.Telemetry, 0)
		if b.Broken() != 1 {
			t.Errorf("element %d: %d files were set aside", which, b.Broken())
		}
		commit(t, b.Telemetry, 1)
		b.Close()
		if entries, _ := entriesOf(t, path+brokenSuffix); len(entries) != 400 {
			t.Errorf("element %d: %d records can still be read", which, len(entries))
		}
	}
}

// A position far from where its file begins, which all later ones would follow.
func TestAPositionThatCantBeIsDamage(t *testing.T) {
	for _, wrong := range []byte{0x40, 0x01} {
		dir := t.TempDir()
		b := open(t, dir, 0)
		commit(t, b.Telemetry, 1, 2, 3, 4, 6, 7, 8, 9)
		path := b.Telemetry.segments[0].path
		b.Close()
		root, p := recordsRoot(t, path)
		p.visited = map[uint64]bool{}
		p.walk(root, func(e element) {
			if bytes.Equal(e.key, keyOf(8)) {
				patch(t, path, int64(e.page)*p.pageSize+e.at-8, []byte{wrong})
			}
		})
		b = open(t, dir, 0)
		commit(t, b.Telemetry, 11)
		if end := b.Telemetry.End(); end > 9 || b.Broken() != 1 {
			t.Errorf("the next record is at position %d; %d files set aside", end, b.Broken())
		}
		b.Close()
	}
}

// A file whose newest meta page is damaged reads as it was before its last commit:
// where another file follows, it is known that something is missing.
func TestLostCommitsOfAFileAreDeclared(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 64<<10)
	all := fill(t, b, 3)
	hurt := b.Telemetry.segments[1]
	before := numbers(readAll(t, b.Telemetry, 0))
	b.Close()
	_, p := recordsRoot(t, hurt.path)
	patch(t, hurt.path, int64(p.meta.transaction%2)*p.pageSize, make([]byte, 512))
	b = open(t, dir, 64<<10)
	defer func() { b.Close() }()
	after := readAll(t, b.Telemetry, 0)
	if len(after) != len(before)-1 {
		t.Fatalf("%d records of %d", len(after), all)
	}
	losses := missing(t, b.Telemetry)
	last := item(uint64(hurt.last))
	if len(losses) != 1 || losses[0].Reason != telemetry.LostUnreadable || losses[0].SeqLast-losses[0].SeqFirst+1 != last.Count {
		t.Errorf("lost %+v, want the %d numbers of record %d", losses, last.Count, hurt.last)
	}
	if err := b.Telemetry.Acknowledge(1, b.Telemetry.End()); err != nil {
		t.Fatal(err)
	}
	if entries, _ := entriesOf(t, hurt.path+brokenSuffix); len(entries) != int(hurt.last-hurt.first+1) {
		t.Errorf("%d records can be read of the file that was set aside", len(entries))
	}
	b.Close()
	b = open(t, dir, 64<<10)
	if losses := missing(t, b.Telemetry); len(losses) > 0 {
		t.Errorf("declared again: %+v", losses)
	}
}

// A wrong list of free pages in the bookkeeping would let bbolt overwrite what is in
// use. It is written anew, and nothing is forgotten.
func TestAWrongListOfFreePagesCostsNothing(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	var names []string
	for n := range 200 {
		names = append(names, fmt.Sprint("signal ", n))
	}
	if _, err := define(b, names...); err != nil {
		t.Fatal(err)
	}
	commit(t, b.Telemetry, 1, 2)
	if err := errors.Join(b.Telemetry.Acknowledge(1, 1), b.Close()); err != nil {
		t.Fatal(err)
	}
	table, path := b.Table().Ref(), filepath.Join(dir, metaName)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := readPages(bytes.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	var free []byte // every page that has definitions
	p.walk(p.meta.root, func(e element) {
		if bytes.Equal(e.key, bucketSignals) {
			p.within(e, func(e element) {
				if id := binary.LittleEndian.AppendUint64(nil, e.page); !bytes.HasSuffix(free, id) {
					free = append(free, id...)
				}
			})
		}
	})
	list := int64(p.meta.freelist) * p.pageSize
	patch(t, path, list+10, binary.LittleEndian.AppendUint16(nil, uint16(len(free)/8)))
	patch(t, path, list+boltHeader, free)
	for n := range 3 {
		b = open(t, dir, 0)
		if b.Table().Ref() != table || b.Starts() != uint64(n+2) {
			t.Errorf("table %+v, want %+v; start %d", b.Table().Ref(), table, b.Starts())
		}
		if got := numbers(readAll(t, b.Telemetry, 0)); !slices.Equal(got, []uint64{2}) {
			t.Errorf("read %v", got)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	if n := setAsideIn(dir); n != 1 {
		t.Errorf("%d files were set aside", n)
	}
}

// Whichever bit of the bookkeeping flips, no record that wasn't acknowledged is
// passed over, and no id gets another meaning.
func TestAnyFlippedBitIsSurvived(t *testing.T) {
	from := t.TempDir()
	b := open(t, from, 64<<10)
	if _, err := define(b, "one", "two"); err != nil {
		t.Fatal(err)
	}
	fill(t, b, 4)
	last := b.Telemetry.segments[0].last
	if err := errors.Join(b.Telemetry.Acknowledge(1, last), b.Telemetry.Acknowledge(last+10, last+10), b.Close()); err != nil {
		t.Fatal(err)
	}
	table, signals := b.Table().Ref(), b.Table().Signals()
	b = open(t, from, 64<<10)
	waiting := numbers(readAll(t, b.Telemetry, 0))
	b.Close()
	good, err := os.ReadFile(filepath.Join(from, metaName))
	if err != nil {
		t.Fatal(err)
	}
	p, err := readPages(bytes.NewReader(good), int64(len(good)))
	if err != nil {
		t.Fatal(err)
	}
	// Half of the bytes in use, and few of the others.
	var places []int
	p.walk(p.meta.root, func(e element) {
		for at := range int(p.pageSize) {
			places = append(places, int(int64(e.page)*p.pageSize)+at)
		}
	})
	slices.Sort(places)
	places = slices.Compact(places)
	for at := range int(2 * p.pageSize) {
		places = append(places, at)
	}
	random := rand.New(rand.NewPCG(1, 2))
	inUse := func(at int) bool { return good[at] != 0 && random.IntN(2) == 0 || random.IntN(80) == 0 }
	places = slices.DeleteFunc(places, func(at int) bool { return !inUse(at) })
	dir := t.TempDir()
	for _, at := range places {
		if err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(from))); err != nil {
			t.Fatal(err)
		}
		patch(t, filepath.Join(dir, metaName), int64(at), []byte{good[at] ^ 1<<random.IntN(8)})
		b, err := Open(Options{Dir: dir, Gateway: "gw", SegmentSize: 64 << 10, Log: quiet})
		if errors.Is(err, errNewer) {
			continue
		}
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		got := numbers(readAll(t, b.Telemetry, 0))
		for _, n := range waiting {
			if !slices.Contains(got, n) {
				t.Errorf("byte %d: record %d is passed over", at, n)
				break
			}
		}
		if b.Table().Ref().Table == table.Table && !reflect.DeepEqual(b.Table().Signals(), signals) {
			t.Errorf("byte %d: the table has signals %+v", at, b.Table().Signals())
		}
		b.Close()
	}
	t.Logf("%d bytes", len(places))
}

// A file that can't be removed makes no room: giving up others for the same commit
// would cost them for nothing.
func TestNothingIsGivenUpWhereNothingCanBeRemoved(t *testing.T) {
	if !onSmallDisk(t) {
		return
	}
	b, err := Open(Options{Dir: mount(t, 6<<20), Gateway: "gw", MaxSize: 4 << 20, SegmentSize: 256 << 10, Log: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	big := Item{Format: "x", Payload: make([]byte, 50_000), Count: 1}
	for err == nil {
		err = b.Telemetry.Commit([]Item{big}, nil)
	}
	if !errors.Is(err, errNoRoom) {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(b.Telemetry.dir, "*"))
	if err != nil || len(paths) < 5 {
		t.Fatal(paths, err)
	}
	for _, path := range paths { // what is mounted on can't be removed
		if err := syscall.Mount(path, path, "", syscall.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
	}
	var losses []telemetry.Loss
	declareInto(t, b, &losses)
	if err := b.Telemetry.Commit([]Item{big}, nil); err == nil {
		t.Fatal("there was room")
	}
	if n := b.Telemetry.Stats().Dropped; n != 1 || len(losses) != 1 {
		t.Errorf("%d segments were given up, %d losses declared", n, len(losses))
	}
	for _, path := range paths {
		if err := syscall.Unmount(path, syscall.MNT_DETACH); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Telemetry.Commit([]Item{big}, nil); err != nil {
		t.Errorf("when files can be removed again: %v", err)
	}
}

// A new file that takes an empty one's place and then isn't certain to have a name
// ends the writing of the empty one, which has lost its own.
func TestACommitNeverGoesIntoAFileWithoutAName(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	if err := b.Events.Commit(nil, []byte("state")); err != nil { // a file without records
		t.Fatal(err)
	}
	b.Events.commits.Lock()
	limitFiles(t, 1, func() { // enough for the file, and not for its directory
		if err := b.Events.begin(); !errors.Is(err, syscall.EMFILE) {
			t.Errorf("begin: %v", err)
		}
	})
	b.Events.commits.Unlock()
	commit(t, b.Events, 1)
	b.Close()
	b = open(t, dir, 0)
	defer b.Close()
	if got := numbers(readAll(t, b.Events, 0)); !slices.Equal(got, []uint64{1}) || string(b.Events.State()) != "state" {
		t.Errorf("after a restart there is %v, state %q", got, b.Events.State())
	}
}

// limitFiles lets f open only so many more files.
func limitFiles(t *testing.T, more int, f func()) {
	t.Helper()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	limit := before
	limit.Cur = 256
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before)
	var taken []int
	defer func() {
		for _, fd := range taken {
			syscall.Close(fd)
		}
	}()
	for {
		fd, err := syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		if err != nil {
			break
		}
		taken = append(taken, fd)
	}
	for range more {
		syscall.Close(taken[len(taken)-1])
		taken = taken[:len(taken)-1]
	}
	f()
}

// While the file system is away, nothing that was on it is taken for lost.
func TestNothingIsLostWithTheFileSystemAway(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 64<<10)
	defer func() { b.Close() }()
	all := fill(t, b, 3)
	b.Close()
	b = open(t, dir, 64<<10)
	path := filepath.Join(dir, "telemetry")
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	r := b.Telemetry.Reader()
	if _, err := r.Read(0, Newest, 1000); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("read: %v", err)
	}
	r.Close()
	var losses []telemetry.Loss
	b.NewWriter(time.Second, func(l []telemetry.Loss) error { losses = append(losses, l...); return nil }, uncounted{}).keepBooks()
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, b.Telemetry, 0); len(got) != int(all) || len(losses) > 0 {
		t.Errorf("%d records of %d, lost %+v", len(got), all, losses)
	}
}

// FuzzSegment opens what may be left of a segment's file, through bbolt: it is read
// or refused, and never ends the process.
func FuzzSegment(f *testing.F) {
	dir := f.TempDir()
	b := open(f, dir, 0)
	for n := range uint64(60) {
		if err := b.Telemetry.Commit([]Item{item(n)}, []byte("state")); err != nil {
			f.Fatal(err)
		}
	}
	path := b.Telemetry.segments[0].path
	b.Close()
	good, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	for _, at := range []uint32{8, 16, 4096 + 16, 2*4096 + 8, 3*4096 + 10, 4*4096 + 12, 5*4096 + 16, 6*4096 + 24} {
		f.Add(at, uint64(0), uint32(0))
		f.Add(at, ^uint64(0), uint32(1<<20))
		f.Add(at, uint64(3), uint32(9000))
	}
	at := filepath.Join(f.TempDir(), filepath.Base(path))
	f.Fuzz(func(t *testing.T, place uint32, with uint64, cut uint32) {
		text := bytes.Clone(good)
		binary.LittleEndian.PutUint64(text[int(place)%(len(text)-7):], with)
		if n := int(cut); n > 0 && n < len(text) {
			text = text[:n]
		}
		if err := os.WriteFile(at, text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := survey(at, 1)
		if err != nil {
			return
		}
		readState(at)
		open, err := openFile(at)
		if err != nil {
			return
		}
		defer func() { open.end(err) }()
		records := 0
		err = scan(open.DB, s.first, s.last, func(e Entry) bool {
			records++
			return records < 1000
		})
	})
}

// FuzzMeta opens what may be left of the bookkeeping: the buffer opens, and what is
// written to it then is there at the next start.
func FuzzMeta(f *testing.F) {
	from := f.TempDir()
	b := open(f, from, 0)
	if _, err := define(b, "one", "two"); err != nil {
		f.Fatal(err)
	}
	commit(f, b.Telemetry, 1)
	b.Close()
	good, err := os.ReadFile(filepath.Join(from, metaName))
	if err != nil {
		f.Fatal(err)
	}
	for _, at := range []uint32{16, 80, 4096 + 16, 2*4096 + 10, 3*4096 + 8, 4*4096 + 20, 5*4096 + 16} {
		f.Add(at, ^uint64(0))
		f.Add(at, uint64(2))
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, place uint32, with uint64) {
		text := bytes.Clone(good)
		binary.LittleEndian.PutUint64(text[int(place)%(len(text)-7):], with)
		if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700), os.WriteFile(filepath.Join(dir, metaName), text, 0o600)); err != nil {
			t.Fatal(err)
		}
		var ref telemetry.TableRef
		for n := range 2 {
			b, err := Open(Options{Dir: dir, Gateway: "gw", Log: quiet})
			if errors.Is(err, errNewer) {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := define(b, fmt.Sprint("three of ", len(text))); err != nil {
				t.Fatal(err)
			}
			if n > 0 && b.Table().Ref() != ref {
				t.Errorf("the table is %+v, it was %+v", b.Table().Ref(), ref)
			}
			ref = b.Table().Ref()
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
