package buffer

import (
	"context"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/telemetry/record"
)

// full makes a tank with a few complete segments.
func full(t *testing.T) *tank {
	k := newTank(t)
	for k.b.Telemetry.Stats().Segments < 4 {
		k.commit(10_000, []byte("state"))
	}
	return k
}

func (k *tank) copy() *tank {
	k.t.Helper()
	dir := k.t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(k.dir)); err != nil {
		k.t.Fatal(err)
	}
	other := &tank{t: k.t, dir: dir, random: k.random, given: k.given, clock: k.clock, losses: slices.Clone(k.losses)}
	other.open()
	k.t.Cleanup(func() { other.b.Close() })
	return other
}

// A crash before, at and behind the replacement leaves a whole file, and what it
// hasn't is declared.
func TestCrashWhileThinning(t *testing.T) {
	k := full(t)
	s := k.b.Telemetry.segments[0]
	old, records := sizeAt(s.path), uint64(s.last)
	declare := k.b.declare
	k.b.declare = func(losses []telemetry.Loss) error {
		before := k.copy()
		if got := len(readAll(t, before.b.Telemetry, 0)); got != int(k.b.Telemetry.End()) {
			t.Errorf("a crash before the declaration leaves %d records of %d", got, k.b.Telemetry.End())
		}
		before.balance()
		if files, _ := filepath.Glob(filepath.Join(before.dir, "telemetry", "*"+unfinishedSuffix)); len(files) > 0 {
			t.Errorf("left over: %v", files)
		}
		return declare(losses)
	}
	if err := k.b.thin(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if size := sizeAt(s.path); size >= old*2/3 {
		t.Errorf("%d bytes were thinned to %d", old, size)
	}
	k.balance()
	after := k.copy() // the marks don't know of it
	after.balance()
	if losses := missing(t, after.b.Telemetry); len(losses) > 0 {
		t.Errorf("what was merged is declared as unreadable: %+v", losses)
	}
	if got := after.b.Telemetry.segments[0]; got.generation != everyNth {
		t.Errorf("generation %d", got.generation)
	}
	if waiting := k.b.Telemetry.Stats().Waiting; waiting >= uint64(k.b.Telemetry.End())-records/2 {
		t.Errorf("%d records wait", waiting)
	}
}

// A loss that can't be declared doesn't happen.
func TestNothingIsThinnedUndeclared(t *testing.T) {
	k := full(t)
	refused := errors.New("refused")
	k.b.declare = func([]telemetry.Loss) error { return refused }
	if err := k.b.thin(t.Context(), k.b.Telemetry.segments[0]); !errors.Is(err, refused) {
		t.Errorf("thin: %v", err)
	}
	if dropped, err := k.b.makeRoom(k.b.Telemetry, telemetry.LostBufferFull); dropped || !errors.Is(err, refused) {
		t.Errorf("dropped %v: %v", dropped, err)
	}
	k.losses = nil
	k.exact()
	k.balance()
}

// What a reader holds is neither thinned nor dropped while something else is left.
func TestWhatIsHandedOutIsLeftAlone(t *testing.T) {
	k := full(t)
	c := k.b.Telemetry
	first := c.segments[0]
	r := c.Reader()
	entries, err := r.Read(0, Newest, 1)
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	if s := c.thinnable(); s == first {
		t.Error("a segment that is handed out would be thinned")
	}
	if err := k.b.thin(t.Context(), first); !errors.Is(err, errInUse) {
		t.Errorf("thin: %v", err)
	}
	if _, err := k.b.makeRoom(c, telemetry.LostBufferFull); err != nil {
		t.Fatal(err)
	}
	if c.segments[0] != first {
		t.Error("the segment that is handed out was dropped")
	}
	r.Close()
	if s := c.thinnable(); s != first {
		t.Error("a segment that was handed back isn't thinned")
	}
	k.balance()
}

// What is handed out, or acknowledged, while its thinned file is being made is not
// replaced by that.
func TestThinningNoticesThatItCameTooLate(t *testing.T) {
	for _, acknowledged := range []bool{false, true} {
		k := full(t)
		c := k.b.Telemetry
		w := k.b.newThinned(c.segments[0])
		if err := w.write(t.Context()); err != nil {
			t.Fatal(err)
		}
		r := c.Reader()
		entries, err := r.Read(0, Newest, 1)
		if err != nil || len(entries) != 1 {
			t.Fatal(entries, err)
		}
		if acknowledged {
			if err := c.Acknowledge(1, 1); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.replace(); !errors.Is(err, errInUse) {
			t.Errorf("acknowledged %v: replace: %v", acknowledged, err)
		}
		if len(k.losses) > 0 {
			t.Errorf("declared %+v", k.losses)
		}
	}
}

// Acknowledged parts of a segment stay acknowledged when the rest is thinned, also
// if the acknowledgement wasn't saved.
func TestThinningAPartlyAcknowledgedSegment(t *testing.T) {
	k := full(t)
	c := k.b.Telemetry
	s := c.segments[0]
	if err := c.Acknowledge(3, 5); err != nil {
		t.Fatal(err)
	}
	for _, generation := range []int{everyNth, perMinute, statesOnly} {
		if err := k.b.thin(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if s.generation != generation {
			t.Fatalf("generation %d, want %d", s.generation, generation)
		}
	}
	copied := k.copy()
	for _, k := range []*tank{k, copied} {
		var last uint64
		for _, e := range readAll(t, k.b.Telemetry, 0) {
			if e.Position <= s.last && e.Record.Format != record.FormatThinned {
				t.Errorf("position %d has format %s", e.Position, e.Record.Format)
			}
			if e.Record.First < last {
				t.Errorf("numbers %d-%d after %d", e.Record.First, e.Record.Last, last)
			}
			last = e.Record.Last
			if e.Record.First <= 40_000 && e.Record.Last >= 20_000 {
				t.Errorf("numbers %d-%d were acknowledged", e.Record.First, e.Record.Last)
			}
		}
		if losses := missing(t, k.b.Telemetry); len(losses) > 0 {
			t.Errorf("declared: %+v", losses)
		}
	}
}

func TestThinnedRecordsAreSigned(t *testing.T) {
	k := newTank(t)
	signed := map[[32]byte]bool{}
	k.b.Telemetry.sign = func(r *record.Record) error {
		signed[sha256.Sum256(append([]byte(r.Identity.String()+r.Format), r.Payload...))] = true
		return nil
	}
	for k.b.Telemetry.Stats().Segments < 2 {
		k.commit(10_000, nil)
	}
	if err := k.b.thin(context.Background(), k.b.Telemetry.segments[0]); err != nil {
		t.Fatal(err)
	}
	for _, e := range readAll(t, k.b.Telemetry, 0) {
		if !signed[sha256.Sum256(append([]byte(e.Record.Identity.String()+e.Record.Format), e.Record.Payload...))] {
			t.Errorf("%s (%s) isn't signed", e.Record.Identity, e.Record.Format)
		}
	}
}
