package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestATargetIsToldFromWhereItWas(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		add := func() (seq int64) {
			write(t, s, func(tx *Tx) (err error) { seq, err = tx.AddFact("alarm", 1, "x"); return err })
			return seq
		}
		old := add()
		get := func(name string) NotifyTarget {
			t.Helper()
			n, err := s.NotifyTarget(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		first := get("desk")
		if first.After != old || first.Failing != 0 {
			t.Fatalf("a new one is at %+v, want %d", first, old)
		}
		next := add()
		if again := get("desk"); again != first {
			t.Errorf("it is at %+v, was at %+v", again, first)
		}
		if err := s.MoveNotifyTarget(t.Context(), first, NotifyTarget{"desk", next, 7}); err != nil {
			t.Fatal(err)
		}
		if at := get("desk"); at != (NotifyTarget{"desk", next, 7}) {
			t.Errorf("it is at %+v", at)
		}
		if err := s.MoveNotifyTarget(t.Context(), first, NotifyTarget{"desk", next, 0}); !errors.Is(err, ErrFenced) {
			t.Errorf("moved from where it isn't: %v", err)
		}
		get("other")
		add()
		if gone, err := s.KeepNotifyTargets(t.Context(), []string{"other"}); err != nil || len(gone) != 1 || gone[0] != (Forgotten{"desk", 1}) {
			t.Fatalf("%+v, %v", gone, err)
		}
		newest := add()
		if at := get("desk"); at.After != newest || at.Failing != 0 {
			t.Errorf("one that was away is at %+v, want %d", at, newest)
		}
	})
}

func TestRefusalsAreKeptAndBounded(t *testing.T) {
	onEngines(t, func(t *testing.T, opened opener) {
		s := opened(t)
		at, err := s.NotifyTarget(t.Context(), "desk")
		if err != nil {
			t.Fatal(err)
		}
		var list []Refusal
		for i := range mostRefusals + 10 {
			list = append(list, Refusal{int64(i + 1), 5, fmt.Sprint(i, strings.Repeat("ä", refusalCause))})
		}
		to := at
		to.After = mostRefusals + 10
		if err := s.MoveNotifyTarget(t.Context(), at, to, list...); err != nil {
			t.Fatal(err)
		}
		kept := func() (n, first, last, longest int64) {
			err := s.Read(t.Context(), func(tx *Tx) error {
				return tx.QueryRow(`SELECT COUNT(*), COALESCE(MIN(fact), 0), COALESCE(MAX(fact), 0), COALESCE(MAX(LENGTH(cause)), 0) FROM notify_refusal`, nil, &n, &first, &last, &longest)
			})
			if err != nil {
				t.Fatal(err)
			}
			return n, first, last, longest
		}
		if n, first, last, longest := kept(); n != mostRefusals || first != 11 || last != mostRefusals+10 || longest > refusalCause {
			t.Fatalf("%d refusals, from %d to %d, of %d characters", n, first, last, longest)
		}
		if _, err := s.KeepNotifyTargets(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if n, _, _, _ := kept(); n != 0 {
			t.Errorf("%d are left of a target that is gone", n)
		}
	})
}
