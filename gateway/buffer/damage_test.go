package buffer

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// fill commits records until the chain has so many segments, and returns how
// many records that took.
func fill(t tester, b *Buffer, segments int) (records uint64) {
	for b.Telemetry.Stats().Segments < segments {
		records++
		commit(t, b.Telemetry, records)
	}
	return records
}

func overwrite(t *testing.T, path string, from, length int64, with byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(bytes.Repeat([]byte{with}, int(length)), from); err != nil {
		t.Fatal(err)
	}
}

func sizeOf(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// missing declares what can't be read and returns it.
func missing(t *testing.T, c *Chain) (losses []telemetry.Loss) {
	t.Helper()
	err := c.declareMissing(func(l []telemetry.Loss) error {
		losses = append(losses, l...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return losses
}

func setAsideIn(dir string) int {
	found, _ := filepath.Glob(filepath.Join(dir, "*"+brokenSuffix+"*"))
	return len(found)
}

func TestDamagedSegmentIsKeptAndTheRestIsSent(t *testing.T) {
	damage := map[string]func(t *testing.T, path string){
		"overwritten":            func(t *testing.T, path string) { overwrite(t, path, 0, sizeOf(t, path), 0) },
		"data pages overwritten": func(t *testing.T, path string) { overwrite(t, path, 4*4096, sizeOf(t, path)-4*4096, 0xff) },
		"cut":                    func(t *testing.T, path string) { os.Truncate(path, 20_000) },
		"cut short":              func(t *testing.T, path string) { os.Truncate(path, 9000) },
		"empty":                  func(t *testing.T, path string) { os.Truncate(path, 0) },
	}
	for name, spoil := range damage {
		for _, which := range []string{"a middle one", "the newest"} {
			for _, when := range []string{"before opening", "while open"} {
				t.Run(name+"/"+which+"/"+when, func(t *testing.T) {
					dir := t.TempDir()
					b := open(t, dir, 64<<10)
					defer func() { b.Close() }()
					n := fill(t, b, 4)
					commit(t, b.Telemetry, n+1, n+2)
					n += 2
					hurt := b.Telemetry.segments[1]
					if which == "the newest" {
						hurt = b.Telemetry.segments[3]
					}
					if when == "before opening" {
						b.Close()
						spoil(t, hurt.path)
						b = open(t, dir, 64<<10)
					} else {
						spoil(t, hurt.path)
					}
					entries := readAll(t, b.Telemetry, 0)
					got := numbers(entries)
					for i := uint64(1); i <= n; i++ {
						inHurt := Position(i) >= hurt.first && Position(i) <= hurt.last
						if !slices.Contains(got, i) && !inHurt {
							t.Errorf("record %d, outside the damaged segment %d-%d, is gone", i, hurt.first, hurt.last)
						}
					}
					if !slices.IsSorted(got) {
						t.Errorf("order was lost: %v", got)
					}
					var last Position
					if len(entries) > 0 {
						last = entries[len(entries)-1].Position
					}
					commit(t, b.Telemetry, n+1)
					entries = readAll(t, b.Telemetry, last)
					if len(entries) != 1 || numberOf(entries[0]) != n+1 {
						t.Fatalf("a record committed after the damage is read as %v", numbers(entries))
					}
					if err := b.Telemetry.Acknowledge(1, entries[0].Position); err != nil {
						t.Fatal(err)
					}
					if len(got) < int(n) && b.Broken() == 0 {
						t.Error("records are gone and nothing is reported as unreadable")
					}
					if kept := setAsideIn(filepath.Dir(hurt.path)); len(got) < int(n) && which == "a middle one" && kept != 1 {
						t.Errorf("%d damaged files were kept, want 1", kept)
					}
				})
			}
		}
	}
}

// Whichever page of whichever file is lost, the gateway starts and goes on.
func TestAnyLostPageIsSurvived(t *testing.T) {
	for _, file := range []string{"telemetry", "events", "meta.db"} {
		for page := range int64(14) {
			t.Run(fmt.Sprintf("%s/%d", file, page), func(t *testing.T) {
				dir := t.TempDir()
				b := open(t, dir, 0)
				if _, err := b.Table().Define([]Definition{{Signal: telemetry.Signal{Device: "d", Name: "n"}}}); err != nil {
					t.Fatal(err)
				}
				for n := range uint64(30) {
					commit(t, b.Telemetry, n)
					if err := b.Events.Commit([]Item{item(n)}, []byte("state")); err != nil {
						t.Fatal(err)
					}
				}
				b.Close()
				path := filepath.Join(dir, file)
				if file != "meta.db" {
					files, _ := filepath.Glob(filepath.Join(path, "*.db"))
					path = files[0]
				}
				if page*4096 >= sizeOf(t, path) {
					t.SkipNow()
				}
				random := make([]byte, 4096)
				for i := range random {
					random[i] = byte(rand.Uint32())
				}
				f, err := os.OpenFile(path, os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				f.WriteAt(random, page*4096)
				f.Close()
				for round := range 2 {
					b := open(t, dir, 0)
					readAll(t, b.Telemetry, 0)
					readAll(t, b.Events, 0)
					if _, err := b.Table().Define([]Definition{{Signal: telemetry.Signal{Device: "d", Name: "n"}}}); err != nil {
						t.Errorf("round %d: %v", round, err)
					}
					commit(t, b.Telemetry, 99)
					if err := b.Close(); err != nil {
						t.Errorf("round %d: %v", round, err)
					}
				}
			})
		}
	}
}

func TestOneDamagedRecordCostsOnlyItself(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	var want []uint64
	for n := uint64(1); n <= 20; n++ {
		commit(t, b.Telemetry, n)
		if n != 12 {
			want = append(want, n)
		}
	}
	path := b.Telemetry.segments[0].path
	b.Close()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	payload := item(12).Payload
	for at := 0; ; {
		i := bytes.Index(text[at:], payload[len(payload)-40:])
		if i < 0 {
			break
		}
		overwrite(t, path, int64(at+i), 1, 0x55)
		at += i + 1
	}
	b = open(t, dir, 0)
	defer b.Close()
	if got := numbers(readAll(t, b.Telemetry, 0)); !slices.Equal(got, want) {
		t.Errorf("read %v, want %v", got, want)
	}
	gaps := missing(t, b.Telemetry)
	if len(gaps) != 1 || gaps[0].SeqLast-gaps[0].SeqFirst+1 != item(12).Count || gaps[0].Reason != "unreadable" {
		t.Errorf("gaps %+v", gaps)
	}
	readAll(t, b.Telemetry, 0)
	if again := missing(t, b.Telemetry); len(again) != 0 {
		t.Errorf("the gap was told twice: %+v", again)
	}
}

// What was committed and is gone with its file must still be expected.
func TestCommittedIsRememberedOutsideTheFile(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	commit(t, b.Telemetry, 1, 2, 3)
	epoch, count := b.Epoch(), b.Telemetry.Stats().Committed
	path := b.Telemetry.segments[0].path
	b.Close()
	overwrite(t, path, 0, sizeOf(t, path), 0)
	b = open(t, dir, 0)
	defer b.Close()
	want := telemetry.Committed{Epoch: epoch.String(), Stream: "telemetry", Count: count}
	if got := b.Earlier(); !slices.Contains(got, want) {
		t.Errorf("earlier = %v, want %v", got, want)
	}
}

// An error of the machine says nothing about the files.
func TestPassingErrorSetsNothingAside(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 64<<10)
	defer func() { b.Close() }()
	n := fill(t, b, 4)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 3
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	_, err := b.Telemetry.Reader().Read(0, Newest, 1000)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, syscall.EMFILE) {
		t.Errorf("read: %v", err)
	}
	if got := readAll(t, b.Telemetry, 0); len(got) != int(n) || b.Broken() != 0 {
		t.Errorf("%d of %d records are left, %d files set aside", len(got), n, b.Broken())
	}
}

// A segment that can't be begun costs nothing: the same commit works later.
func TestFailedRotationIsTriedAgain(t *testing.T) {
	b := open(t, t.TempDir(), 64<<10)
	defer b.Close()
	n := fill(t, b, 2)
	for b.Telemetry.current().size < b.Telemetry.segmentSize {
		n++
		commit(t, b.Telemetry, n)
	}
	obstacle := filepath.Join(b.Telemetry.dir, fmt.Sprintf("%s%020d%s%s", segmentPrefix, n+1, segmentSuffix, unfinishedSuffix))
	if err := os.MkdirAll(filepath.Join(obstacle, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := b.Telemetry.Commit([]Item{item(n + 1)}, nil); err == nil {
			t.Fatal("the commit succeeded without a file")
		}
	}
	if err := os.RemoveAll(obstacle); err != nil {
		t.Fatal(err)
	}
	commit(t, b.Telemetry, n+1)
	if got := readAll(t, b.Telemetry, 0); len(got) != int(n+1) {
		t.Errorf("%d of %d records", len(got), n+1)
	}
}

// A released file may be back after a power failure, and newer ones gone.
func TestPositionsGoOnBehindWhatWasReleased(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 0)
	commit(t, b.Telemetry, 1, 2, 3, 4, 5)
	if err := b.Telemetry.Acknowledge(1, 5); err != nil {
		t.Fatal(err)
	}
	path := b.Telemetry.segments[0].path
	b.Close()
	overwrite(t, path, 0, sizeOf(t, path), 0)
	b = open(t, dir, 0)
	defer b.Close()
	commit(t, b.Telemetry, 6)
	if got := numbers(readAll(t, b.Telemetry, b.Telemetry.Released())); !slices.Equal(got, []uint64{6}) {
		t.Errorf("read %v, want the new record", got)
	}
}

// A file that was found damaged while it was written keeps its lock, and must not
// keep a full buffer from making room.
func TestRoomIsMadeBehindAFileThatWasGivenUp(t *testing.T) {
	b := open(t, t.TempDir(), 0)
	defer b.Close()
	commit(t, b.Telemetry, 1)
	b.Telemetry.markUnreadable(b.Telemetry.segments[0], &part{damagedAt: 1}, errDamaged)
	b.Telemetry.abandon(errDamaged)
	commit(t, b.Telemetry, 2)
	b.NewWriter(time.Second, func([]telemetry.Loss) error { return nil }, uncounted{})
	if dropped, err := b.makeRoom(b.Telemetry, telemetry.LostBufferFull); err != nil || !dropped {
		t.Fatal(dropped, err)
	}
	if got := numbers(readAll(t, b.Telemetry, 0)); !slices.Equal(got, []uint64{2}) || b.Broken() != 1 {
		t.Errorf("read %v, %d files set aside", got, b.Broken())
	}
}
