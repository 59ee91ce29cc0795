package control

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// What was refused before it began is no operation, after which the next had to wait.
func TestARefusalDelaysNothing(t *testing.T) {
	f, a := newField(t, nil)
	s := a.Select(t.Context(), ask("Pos", on, "Ana", ""))
	f.earthed.Value = on
	f.expect(t, "interlocked", a.Operate(t.Context(), ask("Pos", on, "Ana", s.ID)), refused, Interlocked)
	f.earthed.Value = off
	s = a.Select(t.Context(), ask("Pos", on, "Ana", ""))
	f.auditErr = errors.New("disk full")
	if got := a.Operate(t.Context(), ask("Pos", on, "Ana", s.ID)); got.Cause != NoAudit {
		t.Errorf("%+v", got)
	}
	f.auditErr = nil
	s = a.Select(t.Context(), ask("Pos", on, "Ana", ""))
	f.expect(t, "at once", a.Operate(t.Context(), ask("Pos", on, "Ana", s.ID)), done, "")
}

// A configuration that comes while an operation waits for its turn ends it, also if it
// has been written down that it begins.
// While control is off, whoever asks is a stranger, whatever for.
func TestStrangersOfAGatewayWithoutControl(t *testing.T) {
	f, a := newField(t, func(o *Options) { o.Enabled = false })
	for range 100 {
		if got := a.Cancel(ask("Pos", on, "Ana", "x")); got.Cause != Disabled {
			t.Fatalf("%+v", got)
		}
	}
	if n := len(f.told()); n != mostStrangers {
		t.Errorf("%d are written down", n)
	}
}

// Names that come from outside don't fill the log either.
func TestLongNamesAreLoggedInShort(t *testing.T) {
	var logged strings.Builder
	_, a := newField(t, func(o *Options) {
		o.Log = slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	long := strings.Repeat("a", 10_000)
	for range mostRefusals + 1 {
		a.Operate(t.Context(), Request{Device: long, Signal: long, Value: on, By: long})
	}
	if n := logged.Len() / (mostRefusals + 1); n == 0 || n > 1000 {
		t.Errorf("%d bytes a refusal", n)
	}
}
