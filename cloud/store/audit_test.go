package store

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/busbar/busbar/telemetry"
)

func audited(t *testing.T, s *Store, n int) (heads []AuditHead) {
	t.Helper()
	for i := range n {
		write(t, s, func(tx *Tx) error {
			return tx.Audit(Change{At: telemetry.Micros(i), By: "ana", Action: "acknowledge", Subject: fmt.Sprintf("alarm a%d", i), Detail: "bytes \xff and \x00"})
		})
		head, err := s.AuditHead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		heads = append(heads, head)
	}
	return heads
}

// Whatever is done to the rows by somebody with access to the database, the first that
// isn't as it was written is named.
func TestTheAuditNamesTheFirstBrokenRow(t *testing.T) {
	onEngines(t, func(t *testing.T, open opener) {
		s := open(t)
		heads := audited(t, s, 6)
		last := heads[5]
		if head, err := s.VerifyAudit(t.Context(), heads[2]); err != nil || head != last {
			t.Fatalf("untouched: %v, %v, want %v", head, err, last)
		}
		errUndo := errors.New("undo")
		for _, c := range []struct {
			name  string
			known AuditHead
			row   int64 // 0: nothing shows
			query string
		}{
			{"another author", AuditHead{}, 3, `UPDATE audit SET actor = 'bob' WHERE seq = 3`},
			{"another time", AuditHead{}, 1, `UPDATE audit SET at = at + 1 WHERE seq = 1`},
			{"text moved from one field to the next", AuditHead{}, 2, `UPDATE audit SET action = 'acknowledgea', subject = 'larm a1' WHERE seq = 2`},
			{"another hash", AuditHead{}, 4, `UPDATE audit SET hash = (SELECT hash FROM audit WHERE seq = 1) WHERE seq = 4`},
			{"the first is gone", AuditHead{}, 1, `DELETE FROM audit WHERE seq = 1`},
			{"one between is gone", AuditHead{}, 4, `DELETE FROM audit WHERE seq = 4`},
			{"the last are gone, and nobody knows a head", AuditHead{}, 0, `DELETE FROM audit WHERE seq > 4`},
			{"the last are gone", last, 5, `DELETE FROM audit WHERE seq > 4`},
			{"all are gone", last, 1, `DELETE FROM audit`},
		} {
			err := s.Write(t.Context(), func(tx *Tx) error {
				if _, err := tx.Exec(c.query); err != nil {
					t.Fatal(err)
				}
				_, err := tx.verifyAudit(c.known)
				var broken *BrokenAudit
				if errors.As(err, &broken) != (c.row != 0) || c.row != 0 && broken.Seq != c.row {
					t.Errorf("%s: %v, want row %d", c.name, err, c.row)
				}
				return errUndo
			})
			if !errors.Is(err, errUndo) {
				t.Fatal(err)
			}
		}
		// Somebody who makes all rows anew isn't found out by the rows alone.
		write(t, s, func(tx *Tx) error {
			_, err := tx.Exec(`DELETE FROM audit WHERE seq > 3`)
			return err
		})
		for range 4 {
			write(t, s, func(tx *Tx) error { return tx.Audit(Change{By: "mallory", Action: "acknowledge"}) })
		}
		if _, err := s.VerifyAudit(t.Context(), AuditHead{}); err != nil {
			t.Errorf("a new chain: %v", err)
		}
		var broken *BrokenAudit
		if _, err := s.VerifyAudit(t.Context(), last); !errors.As(err, &broken) || broken.Seq != last.Seq {
			t.Errorf("a new chain, with the head of the old: %v", err)
		}
	})
}

func TestAChangeAndItsAuditAreOneTransaction(t *testing.T) {
	onEngines(t, func(t *testing.T, open opener) {
		s := open(t)
		failed := errors.New("later")
		err := s.Write(t.Context(), func(tx *Tx) error {
			if err := tx.Audit(Change{By: "ana", Action: "acknowledge"}); err != nil {
				t.Fatal(err)
			}
			return failed
		})
		if head, headErr := s.AuditHead(t.Context()); !errors.Is(err, failed) || headErr != nil || head.Seq != 0 {
			t.Errorf("%v; head %v, %v", err, head, headErr)
		}
		if _, err := s.NewToken(Via(t.Context(), "session"), "gw", "ana", 3_600_000_000_000, 7); err != nil {
			t.Fatal(err)
		}
		rows, err := s.AuditRows(t.Context(), Page[int64]{Limit: 10})
		if err != nil || len(rows) != 1 || rows[0].Change != (Change{At: 7, By: "ana", Via: "session", Action: "enrolment-token", Subject: "gateway gw", Detail: "for 1h0m0s"}) {
			t.Errorf("%+v, %v", rows, err)
		}
		if rows, err := s.AuditRows(t.Context(), Page[int64]{After: new(int64(1)), Limit: 10}); err != nil || len(rows) != 0 {
			t.Errorf("before the first: %+v, %v", rows, err)
		}
	})
}

// The hash is what docs/security.md says, so that others can check it.
func TestTheHashOfAnAuditRow(t *testing.T) {
	r := AuditRow{Seq: 2, Change: Change{At: 1_700_000_000_000_000, By: "ana", Via: "session", Action: "acknowledge", Subject: "alarm a1", Detail: "crew called"}}
	const want = "f4339a4578f9026fb5a2aa5cc6933ca733952613e3702eb53cf8356e290834db"
	if got := r.link(strings.Repeat("0f", 32)); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestParseAuditHead(t *testing.T) {
	hash := strings.Repeat("0f", 32)
	if h, err := ParseAuditHead("12:" + strings.ToUpper(hash)); err != nil || h != (AuditHead{12, hash}) || h.String() != "12:"+hash {
		t.Errorf("%v, %v", h, err)
	}
	for _, text := range []string{"", "12", "12:", "12:0f", "0:" + hash, "x:" + hash, "12:" + hash + "00"} {
		if _, err := ParseAuditHead(text); err == nil {
			t.Errorf("%q is taken for a head", text)
		}
	}
}
