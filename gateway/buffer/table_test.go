package buffer

import (
	"context"
	"testing"
	"time"

	"github.com/busbar/busbar/telemetry"
)

// A signal whose values get other names keeps its id, on disk as well, and whoever
// waits for changes of the table hears of it; one that isn't defined any more keeps its
// names.
func TestNamesOfValuesAreNoOtherSignal(t *testing.T) {
	dir := t.TempDir()
	define := func(b *Buffer, states telemetry.States, flags telemetry.Flags) telemetry.SignalID {
		t.Helper()
		ids, err := b.Table().Define([]Definition{
			{Signal: telemetry.Signal{Device: "d", Name: "a", Kind: telemetry.State, States: states}, Encoding: "uint16"},
			{Signal: telemetry.Signal{Device: "d", Name: "b", Kind: telemetry.State, Flags: flags}, Encoding: "uint16"},
		})
		if err != nil || ids[1] != ids[0]+1 {
			t.Fatal(ids, err)
		}
		return ids[0]
	}
	b := open(t, dir, 1<<20)
	id := define(b, telemetry.States{0: "off"}, nil)
	first, seen := b.Table().Changes(), b.Table().Signals()
	if again := define(b, telemetry.States{0: "off"}, nil); again != id || b.Table().Changes() != first {
		t.Errorf("the same names: id %d, then %d; %d changes, then %d", id, again, first, b.Table().Changes())
	}
	if again := define(b, telemetry.States{0: "open", 1: "closed"}, telemetry.Flags{3: "late"}); again != id {
		t.Errorf("with other names id %d is %d", id, again)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := b.Table().WaitChanged(ctx, first); err != nil {
		t.Error(err)
	}
	if seen[0].States[0] != "off" {
		t.Errorf("what was handed out has changed: %+v", seen[0])
	}
	ref := b.Table().Ref()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}

	b = open(t, dir, 1<<20)
	defer func() { b.Close() }()
	saved, signals := b.Table().Saved()
	if saved != ref || len(signals) != 2 || signals[0].States[1] != "closed" || signals[1].Flags[3] != "late" {
		t.Errorf("%+v of %+v, was %+v", signals, saved, ref)
	}
	if again := define(b, nil, telemetry.Flags{3: "late"}); again != id || b.Table().Signals()[0].States != nil {
		t.Errorf("without names: id %d, %+v", again, b.Table().Signals()[0])
	}
	ids, err := b.Table().Define([]Definition{{Signal: telemetry.Signal{Device: "d", Name: "b", Kind: telemetry.State}, Encoding: "uint32"}})
	if err != nil || ids[0] != id+2 || b.Table().Signals()[1].Flags[3] != "late" {
		t.Errorf("another type: %v, %v, %+v", ids, err, b.Table().Signals())
	}
}
