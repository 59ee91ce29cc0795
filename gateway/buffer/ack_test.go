package buffer

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The set against a plain list of positions.
func TestRangesAreASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r ranges
		var model [66]bool
		for range rapid.IntRange(0, 20).Draw(t, "spans") {
			first := rapid.IntRange(1, 60).Draw(t, "first")
			last := first + rapid.IntRange(-1, 5).Draw(t, "more")
			r.add(Position(first), Position(last))
			for p := first; p <= last; p++ {
				model[p] = true
			}
		}
		for i, s := range r {
			if s.first > s.last || i > 0 && s.first <= r[i-1].last+1 {
				t.Fatalf("spans %v", r)
			}
		}
		from := rapid.IntRange(1, 65).Draw(t, "from")
		to := rapid.IntRange(from-1, 65).Draw(t, "to")
		var want, got []int
		for p := from; p <= to; p++ {
			if !model[p] {
				want = append(want, p)
			}
		}
		for _, s := range r.without(Position(from), Position(to)) {
			for p := s.first; p <= s.last; p++ {
				got = append(got, int(p))
			}
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v without %d-%d: %v, want %v", r, from, to, got, want)
		}
		through := 0
		for model[through+1] {
			through++
		}
		if r.through() != Position(through) {
			t.Fatalf("%v reaches through %d, want %d", r, r.through(), through)
		}
	})
}

// Any sequence of commits, acknowledgements anywhere and restarts hands out
// exactly what was committed and not acknowledged, in order, to every reader, and
// keeps no file that nobody needs.
func TestAcknowledgedRangesAreNeverHandedOutAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "chain")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		b := open(t, dir, 64<<10)
		defer func() { b.Close() }()
		waiting := map[uint64]bool{}
		end := uint64(0)
		t.Repeat(map[string]func(*rapid.T){
			"commit": func(t *rapid.T) {
				var batch []uint64
				for range rapid.IntRange(1, 40).Draw(t, "records") {
					end++
					waiting[end] = true
					batch = append(batch, end)
				}
				commit(t, b.Telemetry, batch...)
			},
			"acknowledge": func(t *rapid.T) {
				if end == 0 {
					t.Skip("nothing there")
				}
				first := rapid.Uint64Range(1, end).Draw(t, "first")
				last := rapid.Uint64Range(first, min(end, first+50)).Draw(t, "last")
				if err := b.Telemetry.Acknowledge(Position(first), Position(last)); err != nil {
					t.Fatal(err)
				}
				for p := first; p <= last; p++ {
					delete(waiting, p)
				}
			},
			"restart": func(t *rapid.T) {
				if err := b.Close(); err != nil {
					t.Fatal(err)
				}
				b = open(t, dir, 64<<10)
			},
			"": func(t *rapid.T) {
				after := rapid.Uint64Range(0, end).Draw(t, "after")
				var want []uint64
				for p := after + 1; p <= end; p++ {
					if waiting[p] {
						want = append(want, p)
					}
				}
				if got := numbers(readAll(t, b.Telemetry, Position(after))); !slices.Equal(got, want) {
					t.Fatalf("after %d: read %v, want %v", after, got, want)
				}
				if got := b.Telemetry.Stats().Waiting; got != uint64(len(waiting)) {
					t.Fatalf("%d records wait, want %d", got, len(waiting))
				}
				if got := b.Telemetry.End(); got != Position(end) {
					t.Fatalf("end %d, want %d", got, end)
				}
				files, _ := filepath.Glob(filepath.Join(dir, "telemetry", "*"))
				if len(files) != len(b.Telemetry.segments) {
					t.Fatalf("%d segments, files %v", len(b.Telemetry.segments), files)
				}
				for _, s := range b.Telemetry.segments[:max(1, len(b.Telemetry.segments))-1] {
					needed := false
					for p := s.first; p <= s.last; p++ {
						needed = needed || waiting[uint64(p)]
					}
					if !needed {
						t.Fatalf("segment %d-%d is kept and nobody needs it", s.first, s.last)
					}
				}
			},
		})
	})
}

// What was acknowledged behind a crash is handed out again; what isn't there any
// more is neither handed out nor lost.
func TestAcknowledgementsThatWereNotSavedCostNothing(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 64<<10)
	n := fill(t, b, 5)
	middle := *b.Telemetry.segments[2]
	b.mu.Lock()
	if err := b.save(); err != nil {
		t.Fatal(err)
	}
	b.mu.Unlock()
	if err := b.Telemetry.Acknowledge(middle.first, middle.last+1); err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir() // as a crash would leave it
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	b.Close()
	b = open(t, copied, 64<<10)
	defer b.Close()
	var want []uint64
	for p := uint64(1); p <= n; p++ {
		if Position(p) < middle.first || Position(p) > middle.last {
			want = append(want, p)
		}
	}
	if got := numbers(readAll(t, b.Telemetry, 0)); !slices.Equal(got, want) {
		t.Errorf("read %v, want all but %d-%d of %d", got, middle.first, middle.last, n)
	}
	if losses := missing(t, b.Telemetry); len(losses) != 0 {
		t.Errorf("what was acknowledged is declared as lost: %+v", losses)
	}
}

// A file that can't be read is declared with its numbers, also when its records
// are neither the first nor the last, and only once.
func TestSetAsideFileIsDeclaredWithItsNumbers(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 64<<10)
	fill(t, b, 4)
	hurt := *b.Telemetry.segments[1]
	first, last := hurt.start.seq, b.Telemetry.segments[2].start.seq-1
	epoch := b.Epoch().String()
	if err := b.Telemetry.Acknowledge(1, hurt.first-1); err != nil { // the file before is gone
		t.Fatal(err)
	}
	b.Close()
	overwrite(t, hurt.path, 0, sizeOf(t, hurt.path), 0)
	for round := range 2 {
		b = open(t, dir, 64<<10)
		losses := missing(t, b.Telemetry)
		if round == 1 && len(losses) != 0 {
			t.Errorf("declared again: %+v", losses)
		}
		if round == 0 && (len(losses) != 1 || losses[0].SeqFirst != first || losses[0].SeqLast != last || losses[0].Epoch != epoch) {
			t.Errorf("declared %+v, want %s %d-%d", losses, epoch, first, last)
		}
		b.Close()
	}
}

// Two readers of one chain take different parts, and the one that is behind
// doesn't hold back the other's acknowledgements.
func TestFreshAndBackfillReadersShareAChain(t *testing.T) {
	b := open(t, t.TempDir(), 64<<10)
	defer b.Close()
	fill(t, b, 3)
	start := b.Telemetry.End()
	commit(t, b.Telemetry, uint64(start)+1, uint64(start)+2)
	fresh, backfill := b.Telemetry.Reader(), b.Telemetry.Reader()
	got, err := fresh.Read(start, Newest, 1<<20)
	if err != nil || fmt.Sprint(numbers(got)) != fmt.Sprint([]uint64{uint64(start) + 1, uint64(start) + 2}) {
		t.Fatalf("fresh read %v, %v", numbers(got), err)
	}
	if err := b.Telemetry.Acknowledge(start+1, start+2); err != nil {
		t.Fatal(err)
	}
	var old []uint64
	for after := Position(0); ; {
		got, err := backfill.Read(after, start, 4<<10)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			break
		}
		old = append(old, numbers(got)...)
		after = got[len(got)-1].Position
	}
	if len(old) != int(start) || !slices.IsSorted(old) {
		t.Errorf("backfill read %d records up to %d", len(old), start)
	}
	if got, err := fresh.Read(start, Newest, 1<<20); err != nil || len(got) != 0 {
		t.Errorf("acknowledged records are handed out again: %v, %v", numbers(got), err)
	}
}

// The first segment is begun by the first commit, and few files are open however
// many there are.
func TestFilesAreOpenedLazily(t *testing.T) {
	dir := t.TempDir()
	b := open(t, dir, 64<<10)
	if files, _ := filepath.Glob(filepath.Join(dir, "*", "*")); len(files) != 0 {
		t.Errorf("an open buffer without records has files %v", files)
	}
	fill(t, b, 8)
	b.Close()
	b = open(t, dir, 64<<10)
	defer b.Close()
	readAll(t, b.Telemetry, 0)
	commit(t, b.Telemetry, 1)
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var held []string
	for _, fd := range fds {
		if to, _ := os.Readlink("/proc/self/fd/" + fd.Name()); filepath.Dir(filepath.Dir(to)) == dir {
			held = append(held, to)
		}
	}
	if len(held) != 1 {
		t.Errorf("open: %v, want the one that is being written", held)
	}
}

// Whatever is in meta.db for a stream, it is a mark or none.
func FuzzMark(f *testing.F) {
	f.Add(mark{done: ranges{{1, 5}, {7, 9}}, epoch: 3, committed: 8}.append(nil))
	f.Add(make([]byte, 24))
	f.Add(make([]byte, 40))
	f.Add(bytes.Repeat([]byte{0xff}, 40))
	f.Fuzz(func(t *testing.T, b []byte) {
		m := markIn(b)
		for i, s := range m.done {
			if s.first == 0 || s.first > s.last || s.last > farthest || i > 0 && s.first <= m.done[i-1].last+1 {
				t.Fatalf("%+v", m)
			}
		}
		if again := markIn(m.append(nil)); !again.equal(m) {
			t.Fatalf("%+v, written and read %+v", m, again)
		}
	})
}
